// What the conversion may look at. Pilot implements it on the incremental engine, where each call is a recorded
// read; tests and commands implement it on a list of objects.
import type { ServiceEntrySpec } from '../api/gen/istio-types.js';
import type { Config } from '../config/config.ts';
import type {
  BackendTlsPolicyConfig,
  GatewayClassConfig,
  KubeGatewayConfig,
  ListenerSetConfig,
  ReferenceGrantConfig,
  RouteConfig,
} from '../config/gateway-api-types.ts';
import type { ConfigMap, KubeServiceSpec, Secret } from '../config/kube-types.ts';

/** One object, of a kind as `kindKey` gives it. */
export interface ObjectKey {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `Kind/namespace/name` */
export function objectKey({ kind, namespace, name }: ObjectKey): string {
  return `${kind}/${namespace}/${name}`;
}

/** What service discovery knows of one service of one namespace. */
export interface DiscoveredService {
  readonly ports: readonly {
    readonly servicePort: number;
    /** The ports of its endpoints; empty: there are none. */
    readonly endpointPorts: readonly number[];
  }[];
  /** Cluster IPs. */
  readonly addresses: readonly string[];
  /** What a load balancer gave it, and its external IPs: addresses and host names. */
  readonly externalAddresses: readonly string[];
  readonly isLoadBalancer: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

export interface GatewayApiObjects {
  domainSuffix(): string;
  gatewayClass(name: string): GatewayClassConfig | undefined;
  gateway(namespace: string, name: string): KubeGatewayConfig | undefined;
  listenerSet(namespace: string, name: string): ListenerSetConfig | undefined;
  /** The ListenerSets that name this Gateway as their parent. */
  listenerSetsOf(namespace: string, name: string): readonly ListenerSetConfig[];
  /** The ReferenceGrants of one namespace. */
  referenceGrants(namespace: string): readonly ReferenceGrantConfig[];
  /** Routes that name this Gateway, ListenerSet, Service or ServiceEntry among their parents. */
  routesOf(parent: ObjectKey): readonly RouteConfig[];
  /** Routes that name this Service or ServiceEntry among their backends. */
  routesTo(backend: ObjectKey): readonly RouteConfig[];
  /** BackendTLSPolicies that name this Service or ServiceEntry among their targets. */
  tlsPoliciesOf(target: ObjectKey): readonly BackendTlsPolicyConfig[];
  namespaces(): readonly Config[];
  namespace(name: string): Config | undefined;
  service(namespace: string, name: string): Config<KubeServiceSpec> | undefined;
  serviceEntry(namespace: string, name: string): Config<ServiceEntrySpec> | undefined;
  secret(namespace: string, name: string): Config<Secret> | undefined;
  configMap(namespace: string, name: string): Config<ConfigMap> | undefined;
  /** Whether there is a service of that hostname and namespace. */
  isDiscovered(hostname: string, namespace: string): boolean;
  /** The service of that hostname and namespace, with its endpoints: for status alone, for they come and go. */
  discovered(hostname: string, namespace: string): DiscoveredService | undefined;
  /** Namespaces with a service of that hostname, sorted. */
  namespacesOf(hostname: string): readonly string[];
  route(key: ObjectKey): RouteConfig | undefined;
  /**
   * As World.derive: `key` names the computation, which must follow from the key alone: it reads every object
   * from here, not from the call that asked first.
   */
  derive<T>(key: string, compute: () => T): T;
}
