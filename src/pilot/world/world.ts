// The World that translation reads, on the incremental engine: objects in, recorded reads out.
import type { Collection, Derived, Graph, Index, Input } from '../../collections/index.ts';
import type {
  Config,
  DestinationRuleConfig,
  EnvoyFilterConfig,
  GatewayConfig,
  PeerAuthenticationConfig,
  ProxyConfigConfig,
  SidecarConfig,
  VirtualServiceConfig,
} from '../../config/config.ts';
import { compareAge, configKey } from '../../config/config.ts';
import { placeLabels, placeLabelsOf, placeLabelsOfService } from '../../translate/endpoint/place-labels.ts';
import { selectedLabelNames } from '../../config/envoy-filter/select.ts';
import { isDelegate, isRoot, withDelegates } from '../../config/delegates.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import type { ConfigChange } from '../../config/store.ts';
import { sameConfig } from '../../config/store.ts';
import { isExportedTo } from '../../model/export.ts';
import { meshGateway, resolveGatewayName } from '../../model/gateway-name.ts';
import { servicesOfGateway } from '../../model/gateway-origin.ts';
import type { KeyPair, TrustedCa } from '../../model/credential.ts';
import type { Hostname } from '../../model/hostname.ts';
import { hostnameCovers, isWildcard, resolveHost } from '../../model/hostname.ts';
import type { NetworkGateway } from '../../model/network.ts';
import type { Endpoint, Service } from '../../model/service.ts';
import { labelsMatch } from '../../model/labels.ts';
import type { Registry, RegistrySources } from '../../registry/registry.ts';
import { createRegistry } from '../../registry/registry.ts';
import { isVisible } from '../../registry/service-conflicts.ts';
import type { World } from '../../translate/world.ts';
import { Credentials } from './credentials.ts';
import type { StatusEntry } from './made-configs.ts';
import { MadeConfigs, madeOfKinds } from './made-configs.ts';
import { namespacesApart } from './namespaces-apart.ts';

/** Kinds that proxies' configuration is made of; changes of others move nothing. */
export const worldKinds = [
  'DestinationRule',
  'EndpointSlice',
  'Endpoints',
  'EnvoyFilter',
  'Gateway',
  'Namespace',
  'Node',
  'PeerAuthentication',
  'Pod',
  'ProxyConfig',
  'Service',
  'ServiceEntry',
  'Sidecar',
  'VirtualService',
  'WorkloadEntry',
  'WorkloadGroup',
  ...madeOfKinds,
] as const;
type WorldKind = (typeof worldKinds)[number];

/** Kinds whose status others write, and nobody here reads. */
const unreadKinds: ReadonlySet<string> = new Set<WorldKind>([
  'DestinationRule',
  'EnvoyFilter',
  'Gateway',
  'PeerAuthentication',
  'ProxyConfig',
  'ServiceEntry',
  'Sidecar',
  'VirtualService',
]);

/** `config` with the status of `other`, and the generation that belongs to it. */
function withStatusOf(other: Config, config: Config): Config {
  const { status: _status, generation: _generation, ...rest } = config;
  return {
    ...rest,
    ...(other.status === undefined ? {} : { status: other.status }),
    ...(other.generation === undefined ? {} : { generation: other.generation }),
  };
}

interface HostRule {
  readonly host: Hostname;
  readonly config: DestinationRuleConfig;
}

type Labels = Readonly<Record<string, string>>;

/** What is fixed as long as the control plane runs. */
export interface PilotFeatures {
  /** Gateways are for pods of their own namespace alone. Istio: PILOT_SCOPE_GATEWAY_TO_NAMESPACE. Default: of any. */
  readonly scopeGatewaysToNamespace?: boolean;
}

/** How Secrets are read. */
export interface SecretSettings {
  /** See Credentials. */
  readonly nowMs?: () => number;
  readonly complain?: (line: string) => void;
  /** Whether a service account may read the Secrets of its namespace. Default: every one may. */
  readonly mayRead?: (namespace: string, serviceAccount: string) => boolean;
}

export class PilotWorld implements World {
  readonly #graph: Graph;
  readonly #features: PilotFeatures;
  readonly #mesh: Input<MeshConfig>;
  readonly #inputs: ReadonlyMap<string, Input<Config>>;
  readonly #registry: Registry;
  readonly #unwell: Input<readonly string[]>;
  /** What Ingresses and Gateway API objects stand for. */
  readonly #made: MadeConfigs;
  readonly #secrets: SecretSettings;
  readonly #credentials: Credentials;
  readonly #virtualServices: Derived<{ gateway: string; namespace: string }, readonly VirtualServiceConfig[]>;
  readonly #rulesByHost: Index<HostRule>;
  readonly #gateways: Derived<'all', readonly GatewayConfig[]>;
  readonly #selected: Derived<Labels, readonly GatewayConfig[]>;
  readonly #sidecars: Derived<string, readonly SidecarConfig[]>;
  readonly #peerAuthentications: Derived<string, readonly PeerAuthenticationConfig[]>;
  readonly #envoyFilters: Derived<string, readonly EnvoyFilterConfig[]>;
  readonly #proxyConfigs: Derived<string, readonly ProxyConfigConfig[]>;
  readonly #selectorLabels: Derived<string, readonly string[]>;
  readonly #gatewayLabels: Derived<'all', readonly string[]>;
  readonly #placeLabels: Derived<'all', readonly string[]>;
  readonly #clientLabels: Derived<string, readonly string[]>;
  readonly #commonClientLabels: Derived<'all', readonly string[]>;
  readonly #exportedServices: Derived<string, readonly Service[]>;
  readonly #apart: Derived<string, boolean>;

  constructor(graph: Graph, mesh: MeshConfig, features: PilotFeatures = {}, secrets: SecretSettings = {}) {
    this.#graph = graph;
    this.#features = features;
    this.#secrets = secrets;
    this.#mesh = graph.input<MeshConfig>('mesh');
    this.#mesh.set('mesh', mesh);
    this.#inputs = new Map(
      worldKinds.map((kind) => [
        kind,
        graph.input<Config>(kind, (a, b) =>
          sameConfig(
            a as Config,
            unreadKinds.has(kind) ? withStatusOf(a as Config, b as Config) : (b as Config),
          ),
        ),
      ]),
    );
    this.#unwell = graph.input<readonly string[]>('unwell-endpoints');
    this.#registry = createRegistry({ graph, sources: this.#sources(), meshConfig: () => this.meshConfig() });
    this.#made = new MadeConfigs({
      graph,
      input: (kind) => this.#input(kind),
      registry: this.#registry,
      meshConfig: () => this.meshConfig(),
    });
    this.#credentials = new Credentials({ graph, input: (kind) => this.#input(kind), ...secrets });
    this.#virtualServices = this.#deriveVirtualServices();
    this.#rulesByHost = this.#input<DestinationRuleConfig>('DestinationRule')
      .map('destination-rule-hosts', (config) => ({ host: this.#ruleHost(config), config }))
      // Wildcards are few: one word for all of them, and a look at each.
      .index('destination-rules-by-host', ({ host }) => [isWildcard(host) ? '*' : host]);
    this.#gateways = graph.derived({
      name: 'gateways',
      compute: (_all: 'all') =>
        byAge([...this.#input<GatewayConfig>('Gateway').values(), ...this.#made.gateways()]),
    });
    this.#selected = graph.derived({
      name: 'gateways-selecting',
      key: (labels: Labels) => JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))),
      compute: (labels: Labels) =>
        this.#gateways
          .get('all')
          .filter(
            (config) =>
              servicesOfGateway(config) !== undefined || labelsMatch(config.spec.selector ?? {}, labels),
          ),
    });
    this.#sidecars = this.#byNamespace<SidecarConfig>('Sidecar');
    this.#peerAuthentications = this.#byNamespace<PeerAuthenticationConfig>('PeerAuthentication');
    this.#envoyFilters = this.#byNamespace<EnvoyFilterConfig>('EnvoyFilter');
    this.#proxyConfigs = this.#byNamespace<ProxyConfigConfig>('ProxyConfig');
    this.#gatewayLabels = graph.derived({
      name: 'gateway-selector-labels',
      compute: (_all: 'all') => labelNames(this.#gateways.get('all').map(({ spec }) => spec.selector)),
    });
    this.#placeLabels = graph.derived({
      name: 'labels-of-places',
      compute: (_all: 'all') =>
        sorted([
          ...placeLabels(this.meshConfig().localityLbSetting),
          ...placeLabels(this.meshConfig().zoneAwareLbSetting),
          ...this.#input<DestinationRuleConfig>('DestinationRule').values().flatMap(placeLabelsOf),
          ...this.#registry.services().flatMap(placeLabelsOfService),
        ]),
    });
    this.#commonClientLabels = graph.derived({
      name: 'common-client-labels',
      compute: (_all: 'all') =>
        labelNames([
          ...this.#input<DestinationRuleConfig>('DestinationRule')
            .values()
            .map(({ spec }) => spec.workloadSelector?.matchLabels),
          ...this.#input<VirtualServiceConfig>('VirtualService').values().flatMap(sourceLabelsOf),
        ]),
    });
    this.#clientLabels = graph.derived({
      name: 'client-labels',
      compute: (namespace: string) =>
        sorted([
          ...this.#commonClientLabels.get('all'),
          ...labelNames(this.sidecars(namespace).map(({ spec }) => spec.workloadSelector?.labels)),
        ]),
    });
    this.#exportedServices = graph.derived({
      name: 'services-exported-to',
      compute: (namespace: string) =>
        this.#registry.services().filter((service) => isVisible(service, namespace)),
    });
    this.#apart = namespacesApart({
      graph,
      meshConfig: () => this.meshConfig(),
      services: () => this.#registry.services(),
      destinationRules: () => [
        ...this.#input<DestinationRuleConfig>('DestinationRule').values(),
        ...this.#made.destinationRules(),
      ],
      virtualServices: () => [
        ...this.#input<VirtualServiceConfig>('VirtualService').values(),
        ...this.#made.virtualServicesOf(meshGateway),
      ],
      hasOwnRules: (namespace) =>
        this.sidecars(namespace).length > 0 || this.envoyFilters(namespace).length > 0,
    });
    this.#selectorLabels = graph.derived({
      name: 'selector-labels',
      compute: (namespace: string) =>
        sorted([
          ...this.#gatewayLabels.get('all'),
          ...this.#placeLabels.get('all'),
          ...this.#clientLabels.get(namespace),
          ...labelNames(this.peerAuthentications(namespace).map(({ spec }) => spec.selector?.matchLabels)),
          ...selectedLabelNames(this.envoyFilters(namespace)),
          ...selectedLabelNames(this.envoyFilters(this.meshConfig().rootNamespace)),
          ...this.#registry.selectorLabelNames(namespace),
        ]),
    });
  }

  /** Takes changes in, as one batch. Objects of kinds that are not worldKinds are passed over. */
  apply(changes: readonly ConfigChange[]): void {
    this.#graph.batch(() => {
      for (const { key, before, after } of changes) {
        const input = this.#inputs.get((after ?? before)?.kind ?? '');
        if (after === undefined) input?.delete(key);
        else input?.set(key, after);
      }
    });
  }

  /** Endpoints (`address:port`) of a service (`namespace/hostname`) that failed the checks of all who check them. */
  setUnwell(service: string, endpoints: readonly string[]): void {
    if (endpoints.length === 0) this.#unwell.delete(service);
    else this.#unwell.set(service, endpoints);
  }

  setMeshConfig(mesh: MeshConfig): void {
    this.#mesh.set('mesh', mesh);
  }

  meshConfig(): MeshConfig {
    // Set by the constructor, never deleted.
    return this.#mesh.get('mesh') as MeshConfig;
  }

  /** Every service, whoever sees it. */
  services(): readonly Service[] {
    return this.#registry.services();
  }

  service(hostname: Hostname, clientNamespace?: string): Service | undefined {
    return this.#registry.service(hostname, clientNamespace);
  }

  servicesVisibleTo(namespace: string): readonly Service[] {
    return this.#registry.servicesVisibleTo(namespace);
  }

  servicesExportedTo(namespace: string): readonly Service[] {
    return this.#exportedServices.get(namespace);
  }

  servicesOfWorkload(namespace: string, labels: Labels, ipAddresses: readonly string[]): readonly Service[] {
    return this.#registry.servicesOfWorkload(namespace, labels, ipAddresses);
  }

  endpoints(hostname: Hostname, servicePort: number, serviceNamespace?: string): readonly Endpoint[] {
    return this.#registry.endpoints(hostname, servicePort, serviceNamespace);
  }

  networkGateways(): readonly NetworkGateway[] {
    return this.#registry.networkGateways();
  }

  workloadPort(ipAddress: string, portName: string): number | undefined {
    return this.#registry.workloadPort(ipAddress, portName);
  }

  selectorLabelNames(namespace: string): readonly string[] {
    return this.#selectorLabels.get(namespace);
  }

  clientLabelNames(namespace: string): readonly string[] {
    return this.#clientLabels.get(namespace);
  }

  placeLabelNames(): readonly string[] {
    return this.#placeLabels.get('all');
  }

  isNamespaceApart(namespace: string): boolean {
    return this.#apart.get(namespace);
  }

  virtualServicesFor(gateway: string, namespace: string): readonly VirtualServiceConfig[] {
    return this.#virtualServices.get({ gateway, namespace });
  }

  destinationRulesFor(hostname: Hostname, namespace: string): readonly DestinationRuleConfig[] {
    const exact = isWildcard(hostname) ? [] : this.#rulesByHost.get(hostname);
    const wildcards = this.#rulesByHost.get('*').filter(({ host }) => hostnameCovers(host, hostname));
    const defaults = this.meshConfig().defaultDestinationRuleExportTo;
    const written = [...exact, ...wildcards].map(({ config }) => config);
    const seen = [...written, ...this.#made.destinationRulesOf(hostname)].filter((config) =>
      // A rule for chosen workloads is for those of its own namespace.
      config.spec.workloadSelector === undefined
        ? isExported(config, namespace, defaults)
        : config.namespace === namespace,
    );
    return byAge(seen);
  }

  gatewaysSelecting(namespace: string, labels: Labels): readonly GatewayConfig[] {
    const selected = this.#selected.get(labels);
    if (this.#features.scopeGatewaysToNamespace !== true) return selected;
    return selected.filter((config) => config.namespace === namespace);
  }

  sidecars(namespace: string): readonly SidecarConfig[] {
    return this.#sidecars.get(namespace);
  }

  peerAuthentications(namespace: string): readonly PeerAuthenticationConfig[] {
    return this.#peerAuthentications.get(namespace);
  }

  envoyFilters(namespace: string): readonly EnvoyFilterConfig[] {
    return this.#envoyFilters.get(namespace);
  }

  proxyConfigs(namespace: string): readonly ProxyConfigConfig[] {
    return this.#proxyConfigs.get(namespace);
  }

  hasSecret(namespace: string, name: string): boolean {
    return this.#credentials.has(namespace, name);
  }

  keyPair(namespace: string, name: string): KeyPair | undefined {
    return this.#credentials.keyPair(namespace, name);
  }

  trustedCa(kind: 'Secret' | 'ConfigMap', namespace: string, name: string): TrustedCa | undefined {
    return this.#credentials.trustedCa(kind, namespace, name);
  }

  mayReadSecrets(namespace: string, serviceAccount: string): boolean {
    return this.#secrets.mayRead?.(namespace, serviceAccount) ?? true;
  }

  /** The status that each Ingress and Gateway API object of ours should have. Recorded. */
  statuses(): readonly StatusEntry[] {
    return this.#made.statuses();
  }

  derive<T>(key: string, compute: () => T): T {
    return this.#graph.derive(key, compute);
  }

  /** The objects of a kind, by namespace, oldest first. */
  #byNamespace<Typed extends Config>(kind: WorldKind): Derived<string, readonly Typed[]> {
    const index = this.#input<Typed>(kind).index(`${kind}/by-namespace`, ({ namespace }) => [namespace]);
    return this.#graph.derived({
      name: `${kind}/of-namespace`,
      compute: (namespace: string) => byAge(index.get(namespace)),
    });
  }

  #deriveVirtualServices(): Derived<{ gateway: string; namespace: string }, readonly VirtualServiceConfig[]> {
    const graph = this.#graph;
    const written = this.#input<VirtualServiceConfig>('VirtualService');
    // Delegates are bound to nothing: they only lend their rules.
    const byGateway = written.index('virtual-services-by-gateway', (config) =>
      isDelegate(config) ? [] : gatewaysOf(config),
    );
    const merged = graph.derived({
      name: 'virtual-service-with-delegates',
      key: (root: VirtualServiceConfig) => configKey(root),
      compute: (root: VirtualServiceConfig) => this.#withDelegates(written, configKey(root)),
    });
    const all = graph.derived({
      name: 'virtual-services-of-gateway',
      compute: (gateway: string) =>
        byAge([...byGateway.get(gateway), ...this.#made.virtualServicesOf(gateway)]).flatMap((config) =>
          isRoot(config) ? (merged.get(config) ?? []) : config,
        ),
    });
    return graph.derived({
      name: 'virtual-services-for',
      key: ({ gateway, namespace }) => `${gateway}|${namespace}`,
      compute: ({ gateway, namespace }: { gateway: string; namespace: string }) => {
        const defaults = this.meshConfig().defaultVirtualServiceExportTo;
        return all.get(gateway).filter((config) => isExported(config, namespace, defaults));
      },
    });
  }

  /** By key, for the object itself may have changed since. */
  #withDelegates(
    written: Collection<VirtualServiceConfig>,
    rootKey: string,
  ): VirtualServiceConfig | undefined {
    const root = written.get(rootKey);
    if (root === undefined) return undefined;
    const { domainSuffix, defaultVirtualServiceExportTo } = this.meshConfig();
    const delegateOf = (key: { readonly namespace: string; readonly name: string }) => {
      const found = written.get(configKey({ kind: root.kind, ...key }));
      const mayUse =
        found !== undefined &&
        isDelegate(found) &&
        isExported(found, root.namespace, defaultVirtualServiceExportTo);
      return mayUse ? found : undefined;
    };
    return withDelegates(root, delegateOf, domainSuffix);
  }

  #ruleHost(config: DestinationRuleConfig): Hostname {
    return resolveHost(config.spec.host ?? '', config.namespace, this.meshConfig().domainSuffix);
  }

  #sources(): RegistrySources {
    return {
      services: this.#input('Service'),
      pods: this.#input('Pod'),
      endpointSlices: this.#input('EndpointSlice'),
      endpoints: this.#input('Endpoints'),
      serviceEntries: this.#input('ServiceEntry'),
      workloadEntries: this.#input('WorkloadEntry'),
      nodes: this.#input('Node'),
      namespaces: this.#input('Namespace'),
      unwell: this.#unwell,
    };
  }

  /** The store has checked the objects of a kind against its schema: that gives their type. */
  #input<Typed extends Config>(kind: WorldKind): Collection<Typed> {
    return this.#inputs.get(kind) as unknown as Collection<Typed>;
  }
}

function byAge<Typed extends Config>(configs: readonly Typed[]): readonly Typed[] {
  return [...configs].sort(compareAge);
}

/** `mesh`, or `namespace/name` of each gateway that it names. */
function gatewaysOf({ namespace, spec }: VirtualServiceConfig): readonly string[] {
  const names = spec.gateways ?? [];
  if (names.length === 0) return ['mesh'];
  return names.map((name) => resolveGatewayName(name, namespace));
}

/** Labels by which its rules choose among clients. */
function sourceLabelsOf({ spec }: VirtualServiceConfig): readonly (Labels | undefined)[] {
  return [...(spec.http ?? []), ...(spec.tls ?? []), ...(spec.tcp ?? [])].flatMap((rule) =>
    (rule.match ?? []).map(({ sourceLabels }) => sourceLabels),
  );
}

function isExported(
  config: Config<{ readonly exportTo?: readonly string[] | undefined }>,
  namespace: string,
  defaults: readonly string[],
): boolean {
  const exportTo = config.spec.exportTo ?? [];
  return isExportedTo(exportTo.length === 0 ? defaults : exportTo, config.namespace, namespace);
}

function labelNames(selectors: readonly (Labels | undefined)[]): readonly string[] {
  return sorted(selectors.flatMap((selector) => Object.keys(selector ?? {})));
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}
