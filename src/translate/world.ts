// What translation may look at. Every method is a recorded read: pilot implements World on the
// incremental engine, and whatever called a method is computed again when that answer changes.
// So: read as little as you need, and read it here.
import type {
  DestinationRuleConfig,
  EnvoyFilterConfig,
  GatewayConfig,
  PeerAuthenticationConfig,
  ProxyConfigConfig,
  SidecarConfig,
  VirtualServiceConfig,
} from '../config/config.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import type { KeyPair, TrustedCa } from '../model/credential.ts';
import type { Hostname } from '../model/hostname.ts';
import type { NetworkGateway } from '../model/network.ts';
import type { Endpoint, Service } from '../model/service.ts';

export interface World {
  meshConfig(): MeshConfig;

  /**
   * One service as clients of `clientNamespace` see it (exportTo; of several with this name: the one of
   * that namespace, else Kubernetes', else the oldest); undefined if they see none. Without a
   * namespace visibility is not asked.
   */
  service(hostname: Hostname, clientNamespace?: string): Service | undefined;
  /** All services that `namespace` may see (exportTo), one per hostname, sorted by creation time, then hostname. */
  servicesVisibleTo(namespace: string): readonly Service[];
  /** As servicesVisibleTo, but with every one of several services with the same hostname. */
  servicesExportedTo(namespace: string): readonly Service[];
  /** Services of one namespace that select these workload labels, or name this address in endpoints of their own. */
  servicesOfWorkload(
    namespace: string,
    labels: Readonly<Record<string, string>>,
    ipAddresses: readonly string[],
  ): readonly Service[];
  /**
   * Every endpoint of one service port, sorted by address; terminating ones are left out. Two
   * namespaces may define the same hostname: `serviceNamespace` says whose is meant (absent: that of
   * `service(hostname)`).
   */
  endpoints(hostname: Hostname, servicePort: number, serviceNamespace?: string): readonly Endpoint[];
  /** Every gateway into a network, from Services and MeshNetworks, sorted by address and port; empty: one network. */
  networkGateways(): readonly NetworkGateway[];
  /**
   * Number of a named port of the workload with this address: a Pod's container port (terminating
   * Pods too: they still drain), a WorkloadEntry's port.
   */
  workloadPort(ipAddress: string, portName: string): number | undefined;
  /**
   * Names of the labels that some selector which can meet workloads of `namespace` mentions
   * (Services, Sidecars and DestinationRules of it, all Gateways, and sourceLabels of all
   * VirtualServices), sorted. Other labels cannot
   * change a proxy's configuration.
   */
  selectorLabelNames(namespace: string): readonly string[];
  /**
   * Of these, the names of labels by which clients are told apart (Sidecars of the namespace,
   * DestinationRules, sourceLabels of VirtualServices), sorted.
   */
  clientLabelNames(namespace: string): readonly string[];
  /** Of these, the names of labels by which endpoints are compared with a proxy (failoverPriority and the like), sorted. */
  placeLabelNames(): readonly string[];
  /**
   * Whether anything in the mesh is for clients of this namespace alone. If not, and no Sidecar governs them, they see
   * the services, rules and routes that clients of the namespace `` would see, which is nobody's.
   */
  isNamespaceApart(namespace: string): boolean;

  /**
   * VirtualServices bound to a gateway (`namespace/name`, or `mesh`), visible to `namespace`
   * (exportTo), oldest first.
   */
  virtualServicesFor(gateway: string, namespace: string): readonly VirtualServiceConfig[];
  /** The DestinationRules whose host covers `hostname` and that `namespace` can see; oldest first. */
  destinationRulesFor(hostname: Hostname, namespace: string): readonly DestinationRuleConfig[];
  /** Gateways whose selector these workload labels satisfy, or that name Services instead, oldest first. */
  gatewaysSelecting(namespace: string, labels: Readonly<Record<string, string>>): readonly GatewayConfig[];
  /** Sidecars of one namespace, oldest first. */
  sidecars(namespace: string): readonly SidecarConfig[];
  /** PeerAuthentications of one namespace, oldest first. */
  peerAuthentications(namespace: string): readonly PeerAuthenticationConfig[];
  /** EnvoyFilters of one namespace, oldest first. */
  envoyFilters(namespace: string): readonly EnvoyFilterConfig[];
  /** ProxyConfigs of one namespace, oldest first. */
  proxyConfigs(namespace: string): readonly ProxyConfigConfig[];

  /** Whether there is such a Secret, good or not. */
  hasSecret(namespace: string, name: string): boolean;
  /** The certificate and key of a Secret; undefined where there never were usable ones. */
  keyPair(namespace: string, name: string): KeyPair | undefined;
  /** The certificates of authorities in a Secret or ConfigMap; undefined where there never were usable ones. */
  trustedCa(kind: 'Secret' | 'ConfigMap', namespace: string, name: string): TrustedCa | undefined;
  /** Whether a service account may read the Secrets of its namespace. Not recorded: it does not change. */
  mayReadSecrets(namespace: string, serviceAccount: string): boolean;

  /**
   * A value computed once and shared until something that it read changes. `key` names it: the same
   * key must always mean the same computation.
   */
  derive<T>(key: string, compute: () => T): T;
}
