// Structural schemas of the Kubernetes kinds, for the fields that we read (kube-types.ts). All other fields
// are accepted: their types are Kubernetes' business.
import type { ObjectSchema, Schema } from './schema.ts';

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const texts: Schema = { type: 'array', items: text };
const labels: Schema = { type: 'map', values: text };
const port: Schema = { type: 'integer', min: 1, max: 65_535 };
const count: Schema = { type: 'integer', min: 0, max: 2_147_483_647 };
const targetPort: Schema = { type: 'int-or-string' };
const protocol: Schema = { type: 'string', enum: ['TCP', 'UDP', 'SCTP'] };

function open(properties: Readonly<Record<string, Schema>>, ...required: string[]): ObjectSchema {
  return { type: 'object', properties, required, open: true };
}

function listOf(items: Schema): Schema {
  return { type: 'array', items };
}

const keyRef = open({ name: text, key: text, optional: flag }, 'key');

const probe = open({
  httpGet: open(
    {
      path: text,
      port: targetPort,
      host: text,
      scheme: { type: 'string', enum: ['HTTP', 'HTTPS'] },
      httpHeaders: listOf(open({ name: text, value: text }, 'name', 'value')),
    },
    'port',
  ),
  tcpSocket: open({ port: targetPort, host: text }, 'port'),
  exec: open({ command: texts }),
  grpc: open({ port, service: text }, 'port'),
  initialDelaySeconds: count,
  periodSeconds: count,
  timeoutSeconds: count,
  successThreshold: count,
  failureThreshold: count,
});

const container = open(
  {
    name: text,
    image: text,
    command: texts,
    args: texts,
    workingDir: text,
    env: listOf(
      open(
        {
          name: text,
          value: text,
          valueFrom: open({
            fieldRef: open({ fieldPath: text }, 'fieldPath'),
            configMapKeyRef: keyRef,
            secretKeyRef: keyRef,
            resourceFieldRef: open({ resource: text }, 'resource'),
          }),
        },
        'name',
      ),
    ),
    envFrom: listOf(
      open({
        prefix: text,
        configMapRef: open({ name: text, optional: flag }),
        secretRef: open({ name: text, optional: flag }),
      }),
    ),
    ports: listOf(open({ name: text, containerPort: port, protocol }, 'containerPort')),
    readinessProbe: probe,
    livenessProbe: probe,
    startupProbe: probe,
    volumeMounts: listOf(
      open({ name: text, mountPath: text, subPath: text, readOnly: flag }, 'name', 'mountPath'),
    ),
    restartPolicy: text,
  },
  'name',
);

const fileItems = listOf(open({ key: text, path: text }, 'key', 'path'));

const podSpec = open({
  containers: listOf(container),
  initContainers: listOf(container),
  serviceAccountName: text,
  nodeName: text,
  hostNetwork: flag,
  hostname: text,
  subdomain: text,
  restartPolicy: { type: 'string', enum: ['Always', 'OnFailure', 'Never'] },
  terminationGracePeriodSeconds: count,
  volumes: listOf(
    open(
      {
        name: text,
        configMap: open({ name: text, items: fileItems, optional: flag }),
        secret: open({ secretName: text, items: fileItems, optional: flag }),
        hostPath: open({ path: text }, 'path'),
      },
      'name',
    ),
  ),
});

const labelSelector = open({
  matchLabels: labels,
  matchExpressions: listOf(
    open(
      {
        key: text,
        operator: { type: 'string', enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
        values: texts,
      },
      'key',
      'operator',
    ),
  ),
});

const podTemplate = open({ metadata: open({ labels, annotations: labels }), spec: podSpec });

const workloadSpec = { replicas: count, selector: labelSelector, template: podTemplate };

const endpointPort = open({ name: text, port, protocol, appProtocol: text });

const objectReference = open({ kind: text, namespace: text, name: text });

const endpointAddress = open({ ip: text, hostname: text, nodeName: text, targetRef: objectReference }, 'ip');

const podStatus = open({
  phase: { type: 'string', enum: ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] },
  podIP: text,
  podIPs: listOf(open({ ip: text })),
  hostIP: text,
  conditions: listOf(open({ type: text, status: text }, 'type', 'status')),
});

const serviceSpec = open({
  type: { type: 'string', enum: ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] },
  clusterIP: text,
  clusterIPs: texts,
  externalIPs: texts,
  externalName: text,
  selector: labels,
  ports: listOf(open({ name: text, protocol, appProtocol: text, port, targetPort, nodePort: count }, 'port')),
  publishNotReadyAddresses: flag,
  internalTrafficPolicy: { type: 'string', enum: ['Cluster', 'Local'] },
  trafficDistribution: text,
});

/** By kind: the schema of the object without apiVersion, kind and metadata. */
export const kubeSchemas: Readonly<Record<string, ObjectSchema>> = {
  Namespace: open({}),
  Node: open({ status: open({ addresses: listOf(open({ type: text, address: text })) }) }),
  ServiceAccount: open({}),
  ConfigMap: open({ data: labels, binaryData: labels }),
  Secret: open({ type: text, data: labels, stringData: labels }),
  Service: open(
    {
      spec: serviceSpec,
      status: open({ loadBalancer: open({ ingress: listOf(open({ ip: text, hostname: text })) }) }),
    },
    'spec',
  ),
  Pod: open({ spec: podSpec, status: podStatus }, 'spec'),
  Deployment: open({ spec: open(workloadSpec, 'template') }, 'spec'),
  StatefulSet: open({ spec: open({ ...workloadSpec, serviceName: text }, 'template') }, 'spec'),
  Endpoints: open({
    subsets: listOf(
      open({
        addresses: listOf(endpointAddress),
        notReadyAddresses: listOf(endpointAddress),
        ports: listOf(endpointPort),
      }),
    ),
  }),
  EndpointSlice: open(
    {
      addressType: { type: 'string', enum: ['IPv4', 'IPv6', 'FQDN'] },
      ports: listOf(endpointPort),
      endpoints: listOf(
        open(
          {
            addresses: texts,
            conditions: open({ ready: flag, serving: flag, terminating: flag }),
            hostname: text,
            nodeName: text,
            zone: text,
            targetRef: objectReference,
          },
          'addresses',
        ),
      ),
    },
    'addressType',
  ),
};
