// Who a proxy says it is: the node id and the metadata that a control plane reads.
//
// The id's form and the metadata keys are Istio's (`pkg/model/proxy.go`, `pkg/bootstrap`); the keys
// that begin with FAIRLEAD_ are ours, for pods that share one machine's network.
import type { ToldProxyConfig } from '../config/proxy-config.ts';
import type { JsonValue } from '@bufbuild/protobuf';
import { istioCompatVersion } from '../base/version.ts';
import type { GatewayBind, ProxyType } from '../model/proxy-node.ts';
import type { Locality } from '../model/service.ts';

/**
 * How an app's connections come to its proxy: the data behind `INTERCEPTION_MODE`.
 * `loopback` is for a pod that is a process on this machine (model/proxy-node.ts: LOOPBACK).
 */
export type Interception =
  | {
      readonly mode: 'loopback';
      /** Where the app listens; absent on gateways, which have no app. */
      readonly appAddress?: string;
      /** Port of the proxy's HTTP proxy listener; 0: none. */
      readonly httpProxyPort: number;
      readonly gatewayBinds: readonly GatewayBind[];
    }
  | { readonly mode: 'redirect' | 'tproxy' | 'none' };

export interface PodPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol: string;
}

export interface NodeIdentity {
  readonly type: ProxyType;
  /** The first is the primary one. */
  readonly ipAddresses: readonly [string, ...string[]];
  readonly podName: string;
  readonly namespace: string;
  /** Suffix of Kubernetes names, `cluster.local`. */
  readonly domainSuffix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** Name of the Deployment, StatefulSet or bare Pod. */
  readonly workloadName: string;
  /** `kubernetes://apis/apps/v1/namespaces/NS/deployments/NAME`; empty for none. */
  readonly owner: string;
  readonly podPorts: readonly PodPort[];
  readonly appContainers: readonly string[];
  readonly clusterId: string;
  readonly meshId: string;
  readonly network: string;
  /** Name of the machine. */
  readonly machineName: string;
  readonly locality: Locality;
  readonly interception: Interception;
  /** What its ProxyConfig says otherwise than the mesh's; absent: nothing. */
  readonly proxyConfig?: ToldProxyConfig | undefined;
  /** Whether an agent serves it `default` and `ROOTCA` over SDS. Absent: no. */
  readonly hasCertificates?: boolean;
  /** ProxyConfig's proxyMetadata: what begins with ISTIO_META_ is metadata without that. */
  readonly proxyMetadata?: Readonly<Record<string, string>>;
}

/** The labels and addresses of a pod are enough for most; the rest are Istio's defaults for one cluster. */
export const defaultNodeIdentity = {
  domainSuffix: 'cluster.local',
  annotations: {},
  serviceAccount: 'default',
  owner: '',
  podPorts: [],
  appContainers: [],
  clusterId: 'Kubernetes',
  meshId: 'cluster.local',
  network: '',
  machineName: 'localhost',
  locality: { region: '', zone: '', subzone: '' },
} as const satisfies Partial<NodeIdentity>;

/** `sidecar~127.66.0.2~reviews-v1-5f.default~default.svc.cluster.local` */
export function formatNodeId(node: NodeIdentity): string {
  const [ip] = node.ipAddresses;
  return `${node.type}~${ip}~${node.podName}.${node.namespace}~${node.namespace}.svc.${node.domainSuffix}`;
}

/** `node.cluster`: Istio's service cluster, `<app, else workload>.<namespace>`. Source: Istio `serviceClusterOrDefault`. */
export function serviceCluster({
  labels,
  workloadName,
  namespace,
}: Pick<NodeIdentity, 'labels' | 'workloadName' | 'namespace'>): string {
  const workload = workloadName === '' ? 'istio-proxy' : workloadName;
  return [appOf(labels) ?? workload, namespace].filter((part) => part !== '').join('.');
}

/** The labels by which people name an application, the first of them that is there. Source: Istio `GetApp`. */
export function appOf(labels: Readonly<Record<string, string>>): string | undefined {
  return labels['app'] ?? labels['app.kubernetes.io/name'] ?? labels['service.istio.io/canonical-name'];
}

/** `node.metadata`, in the types that Istio's agent gives each key. Keys without a value are left out. */
export function nodeMetadata(node: NodeIdentity): Record<string, JsonValue> {
  const metadata: Record<string, JsonValue> = {
    NAME: node.podName,
    NAMESPACE: node.namespace,
    INSTANCE_IPS: node.ipAddresses.join(','),
    LABELS: { ...node.labels },
    SERVICE_ACCOUNT: node.serviceAccount,
    WORKLOAD_NAME: node.workloadName,
    CLUSTER_ID: node.clusterId,
    MESH_ID: node.meshId,
    NODE_NAME: node.machineName,
    ISTIO_VERSION: istioCompatVersion,
    // This agent has no CA to ask yet: see docs/decisions/0010.
    ...(node.hasCertificates === true ? {} : { FAIRLEAD_WORKLOAD_CERTIFICATES: 'none' }),
    ENVOY_STATUS_PORT: 15021,
    ENVOY_PROMETHEUS_PORT: 15090,
    POD_PORTS: JSON.stringify(node.podPorts),
    APP_CONTAINERS: node.appContainers.join(','),
    ...interceptionMetadata(node.interception),
  };
  if (Object.keys(node.annotations).length > 0) metadata['ANNOTATIONS'] = { ...node.annotations };
  if (node.owner !== '') metadata['OWNER'] = node.owner;
  if (node.network !== '') metadata['NETWORK'] = node.network;
  if (node.proxyConfig !== undefined)
    metadata['PROXY_CONFIG'] = JSON.parse(JSON.stringify(node.proxyConfig)) as JsonValue;
  for (const [name, value] of Object.entries(node.proxyMetadata ?? {}))
    if (name.startsWith(metadataPrefix)) metadata[name.slice(metadataPrefix.length)] = value;
  return metadata;
}

/** Variables of an agent that are node metadata, as Istio has them. */
const metadataPrefix = 'ISTIO_META_';

/** `["127.0.0.1:8080->8080", "[::1]:8080->8080"]` */
export function formatGatewayBinds(binds: readonly GatewayBind[]): string[] {
  return binds.map(({ address, port, targetPort }) => {
    const host = address.includes(':') ? `[${address}]` : address;
    return `${host}:${port}->${targetPort}`;
  });
}

function interceptionMetadata(interception: Interception): Record<string, JsonValue> {
  if (interception.mode !== 'loopback') return { INTERCEPTION_MODE: interception.mode.toUpperCase() };
  const metadata: Record<string, JsonValue> = { INTERCEPTION_MODE: 'LOOPBACK' };
  if (interception.appAddress !== undefined) metadata['FAIRLEAD_APP_ADDRESS'] = interception.appAddress;
  if (interception.httpProxyPort !== 0)
    metadata['FAIRLEAD_HTTP_PROXY_PORT'] = String(interception.httpProxyPort);
  if (interception.gatewayBinds.length > 0)
    metadata['FAIRLEAD_GATEWAY_BINDS'] = formatGatewayBinds(interception.gatewayBinds);
  return metadata;
}
