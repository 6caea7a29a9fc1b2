// The parts of Kubernetes objects that we read. Fields that are not here are accepted and not read.
import type { LabelSelector, Labels } from '../model/labels.ts';

/** `spec` of a v1 Service. */
export interface KubeServiceSpec {
  readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  /** `None`: headless. */
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly externalIPs?: readonly string[];
  readonly externalName?: string;
  readonly selector?: Labels;
  readonly ports?: readonly KubeServicePort[];
  readonly publishNotReadyAddresses?: boolean;
  readonly internalTrafficPolicy?: 'Cluster' | 'Local';
  readonly trafficDistribution?: string;
}

/** `status` of a v1 Service. */
export interface KubeServiceStatus {
  readonly loadBalancer?: {
    readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[];
  };
}

/** A v1 Node without metadata. */
export interface KubeNode {
  readonly status?: { readonly addresses?: readonly { readonly type?: string; readonly address?: string }[] };
}

export interface KubeServicePort {
  readonly name?: string;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol?: string;
  readonly port: number;
  /** A number, or the name of a container port. Absent: the same as `port`. */
  readonly targetPort?: number | string;
  readonly nodePort?: number;
}

/** `spec` of a v1 Pod, and of every pod template. */
export interface PodSpec {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly serviceAccountName?: string;
  readonly nodeName?: string;
  readonly hostNetwork?: boolean;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds?: number;
  readonly volumes?: readonly Volume[];
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly {
    readonly prefix?: string;
    readonly configMapRef?: { readonly name?: string; readonly optional?: boolean };
    readonly secretRef?: { readonly name?: string; readonly optional?: boolean };
  }[];
  readonly ports?: readonly ContainerPort[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
  readonly restartPolicy?: string;
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly hostPort?: number;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly configMapKeyRef?: { readonly name?: string; readonly key: string; readonly optional?: boolean };
    readonly secretKeyRef?: { readonly name?: string; readonly key: string; readonly optional?: boolean };
    readonly resourceFieldRef?: { readonly resource: string };
  };
}

export interface Probe {
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number | string;
    readonly host?: string;
    readonly scheme?: 'HTTP' | 'HTTPS';
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
  readonly exec?: { readonly command?: readonly string[] };
  readonly grpc?: { readonly port: number; readonly service?: string };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly successThreshold?: number;
  readonly failureThreshold?: number;
}

export interface Volume {
  readonly name: string;
  readonly configMap?: {
    readonly name?: string;
    readonly items?: readonly { readonly key: string; readonly path: string }[];
    readonly optional?: boolean;
  };
  readonly secret?: {
    readonly secretName?: string;
    readonly items?: readonly { readonly key: string; readonly path: string }[];
    readonly optional?: boolean;
  };
  readonly emptyDir?: Readonly<Record<string, unknown>>;
  readonly hostPath?: { readonly path: string };
}

/** `status` of a v1 Pod. */
export interface PodStatus {
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip?: string }[];
  readonly hostIP?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

export interface PodTemplateSpec {
  readonly metadata?: { readonly labels?: Labels; readonly annotations?: Labels };
  readonly spec?: PodSpec;
}

/** `spec` of an apps/v1 Deployment. */
export interface DeploymentSpec {
  /** Absent: 1. */
  readonly replicas?: number;
  readonly selector?: LabelSelector;
  readonly template?: PodTemplateSpec;
  readonly minReadySeconds?: number;
  readonly strategy?: {
    readonly type?: 'RollingUpdate' | 'Recreate';
    readonly rollingUpdate?: {
      /** A number, or a percentage of `replicas`. */
      readonly maxSurge?: number | string;
      readonly maxUnavailable?: number | string;
    };
  };
}

/** `spec` of an apps/v1 StatefulSet. */
export interface StatefulSetSpec {
  readonly replicas?: number;
  readonly serviceName?: string;
  readonly selector?: LabelSelector;
  readonly template?: PodTemplateSpec;
  readonly podManagementPolicy?: 'OrderedReady' | 'Parallel';
}

/** A v1 Endpoints, whole. */
export interface KubeEndpoints {
  readonly subsets?: readonly {
    readonly addresses?: readonly KubeEndpointAddress[];
    readonly notReadyAddresses?: readonly KubeEndpointAddress[];
    readonly ports?: readonly KubeEndpointPort[];
  }[];
}

export interface KubeEndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: ObjectReference;
}

export interface KubeEndpointPort {
  readonly name?: string;
  readonly port?: number;
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol?: string;
}

export interface ObjectReference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** A discovery.k8s.io/v1 EndpointSlice, whole. The label `kubernetes.io/service-name` names its Service. */
export interface EndpointSlice {
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports?: readonly KubeEndpointPort[];
  readonly endpoints?: readonly EndpointSliceEndpoint[];
}

export interface EndpointSliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly targetRef?: ObjectReference;
}

/** A v1 ConfigMap, whole. */
export interface ConfigMap {
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

/** A v1 Secret, whole; `data` is base64. */
export interface Secret {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
}
