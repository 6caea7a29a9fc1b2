// Gateways, VirtualServices and DestinationRules that are made of Ingresses and Gateway API objects, and the
// status of these: the conversions of their rooms on the incremental engine.
import type { Collection, Derived, Graph, Index } from '../../collections/index.ts';
import type {
  Config,
  DestinationRuleConfig,
  GatewayConfig,
  ServiceEntryConfig,
  VirtualServiceConfig,
} from '../../config/config.ts';
import { configKey, kubeGatewayKind } from '../../config/config.ts';
import type {
  BackendTlsPolicyConfig,
  GatewayClassConfig,
  KubeGatewayConfig,
  ListenerSetConfig,
  ReferenceGrantConfig,
  RouteConfig,
} from '../../config/gateway-api-types.ts';
import type { IngressClassConfig, IngressConfig } from '../../config/ingress-types.ts';
import type { ConfigMap, KubeServiceSpec, Secret } from '../../config/kube-types.ts';
import { externalAddresses } from '../../config/service-addresses.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { sameConfig } from '../../config/store.ts';
import { policyTargets } from '../../gateway-api/backend-tls.ts';
import {
  destinationRulesOf,
  gatewaysOf,
  ownersOfGateway,
  routeKinds,
  statusOf,
  virtualServicesOf,
} from '../../gateway-api/conversion.ts';
import type { DiscoveredService, GatewayApiObjects, ObjectKey } from '../../gateway-api/objects.ts';
import { objectKey } from '../../gateway-api/objects.ts';
import { listenerSetParent, routeBackends, routeParentKeys } from '../../gateway-api/words.ts';
import { isServed } from '../../ingress/class-selection.ts';
import { ingressGateway, ingressGatewayName } from '../../ingress/gateway.ts';
import { ingressStatus } from '../../ingress/status.ts';
import { ingressHosts, ingressVirtualService } from '../../ingress/virtual-services.ts';
import { meshGateway } from '../../model/gateway-name.ts';
import type { Hostname } from '../../model/hostname.ts';
import { hostnameCovers } from '../../model/hostname.ts';
import type { Registry } from '../../registry/registry.ts';

/** Kinds of which others are made; with those that these refer to. */
export const madeOfKinds = [
  'BackendTLSPolicy',
  'ConfigMap',
  'GRPCRoute',
  'Gateway.gateway.networking.k8s.io',
  'GatewayClass',
  'HTTPRoute',
  'Ingress',
  'IngressClass',
  'ListenerSet',
  'ReferenceGrant',
  'Secret',
  'TCPRoute',
  'TLSRoute',
] as const;

type SourceKind = (typeof madeOfKinds)[number] | 'Namespace' | 'Node' | 'Pod' | 'Service' | 'ServiceEntry';

export interface MadeConfigsOptions {
  readonly graph: Graph;
  /** The objects of a kind, by `configKey`. */
  readonly input: (kind: SourceKind) => Collection<Config>;
  readonly registry: Registry;
  /** A recorded read. */
  readonly meshConfig: () => MeshConfig;
}

/** One object's status. */
export interface StatusEntry {
  readonly config: Config;
  readonly status: unknown;
}

/** All methods are recorded reads. */
export class MadeConfigs {
  readonly #options: MadeConfigsOptions;
  readonly #objects: GatewayApiObjects;
  readonly #ingresses: Collection<IngressConfig>;
  readonly #ingressesByHost: Index<IngressConfig>;
  readonly #ingressesByGateway: Index<IngressConfig>;
  readonly #podsByNamespace: Index<Config>;
  readonly #routesByParent: readonly Index<RouteConfig>[];
  readonly #ofIngressHost: Derived<string, VirtualServiceConfig | undefined>;
  readonly #gateways: Derived<'all', readonly GatewayConfig[]>;
  readonly #virtualServices: Derived<string, readonly VirtualServiceConfig[]>;
  readonly #destinationRules: Derived<'all', readonly DestinationRuleConfig[]>;

  constructor(options: MadeConfigsOptions) {
    this.#options = options;
    const { graph, meshConfig } = options;
    const classes = this.#input<IngressClassConfig>('IngressClass');
    this.#ingresses = this.#input<IngressConfig>('Ingress').map(
      'ingresses-served',
      (config) => {
        const name = config.spec.ingressClassName;
        const found =
          name === undefined ? undefined : classes.get(keyOf({ kind: 'IngressClass', namespace: '', name }));
        return isServed(meshConfig(), config, found) ? config : undefined;
      },
      (a, b) => sameConfig(a as Config, b as Config),
    );
    this.#ingressesByHost = this.#ingresses.index('ingresses-by-host', ingressHosts);
    this.#ingressesByGateway = this.#ingresses.index('ingresses-by-gateway', (config) => [
      ingressGatewayName(config),
    ]);
    this.#podsByNamespace = this.#input('Pod').index('pods-by-namespace', ({ namespace }) => [namespace]);
    this.#routesByParent = this.#routeIndexes('parent', (route) => {
      const parents = routeParentKeys(route);
      const isForMesh = parents.some((key) => key.startsWith('Service/') || key.startsWith('ServiceEntry/'));
      return isForMesh ? [...parents, meshGateway] : parents;
    });
    this.#objects = this.#gatewayApiObjects();
    this.#ofIngressHost = graph.derived({
      name: 'virtual-service-of-ingress-host',
      compute: (host: string) =>
        ingressVirtualService(host, this.#ingressesByHost.get(host), meshConfig(), (namespace, name) =>
          this.#service(namespace, name),
        ),
    });
    this.#gateways = graph.derived({
      name: 'gateways-made',
      compute: (_all: 'all') => [
        ...this.#ingresses.values().map((ingress) => ingressGateway(ingress, meshConfig())),
        ...this.#input<KubeGatewayConfig>(kubeGatewayKind)
          .values()
          .flatMap((gateway) => gatewaysOf(this.#objects, gateway)),
      ],
    });
    this.#virtualServices = graph.derived({
      name: 'virtual-services-made',
      compute: (gateway: string) => [...this.#ofIngresses(gateway), ...this.#ofRoutes(gateway)],
    });
    this.#destinationRules = graph.derived({
      name: 'destination-rules-made',
      compute: (_all: 'all') => {
        const targets = this.#input<BackendTlsPolicyConfig>('BackendTLSPolicy')
          .values()
          .flatMap(policyTargets);
        const unique = new Map(targets.map((target) => [objectKey(target), target]));
        return [...unique.values()].flatMap((target) => destinationRulesOf(this.#objects, target));
      },
    });
  }

  gateways(): readonly GatewayConfig[] {
    return this.#gateways.get('all');
  }

  /** Those bound to a gateway: `namespace/name`, or `mesh`. */
  virtualServicesOf(gateway: string): readonly VirtualServiceConfig[] {
    return this.#virtualServices.get(gateway);
  }

  destinationRules(): readonly DestinationRuleConfig[] {
    return this.#destinationRules.get('all');
  }

  /** Those whose host covers the hostname. */
  destinationRulesOf(hostname: Hostname): readonly DestinationRuleConfig[] {
    return this.#destinationRules
      .get('all')
      .filter(({ spec }) => hostnameCovers((spec.host ?? '').toLowerCase(), hostname));
  }

  /** The status that an object should have; undefined: it has none, or it is not ours to judge. */
  statusOf(config: Config): unknown {
    if (config.kind !== 'Ingress') return statusOf(this.#objects, config);
    if (!this.#ingresses.has(configKey(config))) return undefined;
    return ingressStatus(this.#options.meshConfig(), {
      service: (namespace, name) => this.#service(namespace, name),
      pods: (namespace) => this.#podsByNamespace.get(namespace),
      node: (name) => this.#input('Node').get(keyOf({ kind: 'Node', namespace: '', name })),
    });
  }

  /** Every object that has a status of ours, by kind, namespace and name. */
  statuses(): readonly StatusEntry[] {
    const judged = [
      'GatewayClass',
      kubeGatewayKind,
      'ListenerSet',
      ...routeKinds,
      'BackendTLSPolicy',
      'Ingress',
    ] as const;
    return judged.flatMap((kind) =>
      [...this.#input(kind).values()]
        .sort((a, b) => (configKey(a) < configKey(b) ? -1 : 1))
        .flatMap((config) => {
          const status = this.statusOf(config);
          return status === undefined ? [] : [{ config, status }];
        }),
    );
  }

  #ofIngresses(gateway: string): readonly VirtualServiceConfig[] {
    const slash = gateway.indexOf('/');
    if (slash < 0 || gateway.slice(0, slash) !== this.#options.meshConfig().rootNamespace) return [];
    const hosts = this.#ingressesByGateway.get(gateway.slice(slash + 1)).flatMap(ingressHosts);
    return [...new Set(hosts)].flatMap((host) => {
      const config = this.#ofIngressHost.get(host);
      // Of Ingresses that share a host the oldest one's gateway has it.
      return config?.spec.gateways?.includes(gateway) === true ? [config] : [];
    });
  }

  #ofRoutes(gateway: string): readonly VirtualServiceConfig[] {
    const words = gateway === meshGateway ? [meshGateway] : ownersOfGateway(gateway).map(objectKey);
    const routes = words.flatMap((word) => this.#routesByParent.flatMap((index) => index.get(word)));
    return routes.length === 0 ? [] : virtualServicesOf(this.#objects, gateway, routes);
  }

  #routeIndexes(
    name: string,
    wordsOf: (route: RouteConfig) => readonly string[],
  ): readonly Index<RouteConfig>[] {
    return routeKinds.map((kind) => this.#input<RouteConfig>(kind).index(`${kind}/by-${name}`, wordsOf));
  }

  #gatewayApiObjects(): GatewayApiObjects {
    const { graph, meshConfig, registry } = this.#options;
    const routesByBackend = this.#routeIndexes('backend', routeBackends);
    const setsByGateway = this.#input<ListenerSetConfig>('ListenerSet').index(
      'listener-sets-by-gateway',
      (set) => {
        const parent = listenerSetParent(set);
        return parent === undefined ? [] : [parent];
      },
    );
    const grantsByNamespace = this.#input<ReferenceGrantConfig>('ReferenceGrant').index(
      'reference-grants-by-namespace',
      ({ namespace }) => [namespace],
    );
    const policiesByTarget = this.#input<BackendTlsPolicyConfig>('BackendTLSPolicy').index(
      'tls-policies-by-target',
      (policy) => policyTargets(policy).map(objectKey),
    );
    // An object of a kind has that kind's spec: who asks says which.
    const get = (kind: SourceKind, namespace: string, name: string): never =>
      this.#input(kind).get(keyOf({ kind, namespace, name })) as never;
    const isDiscovered = (hostname: string, namespace: string): boolean =>
      registry.service(hostname, namespace)?.namespace === namespace;
    return {
      domainSuffix: () => meshConfig().domainSuffix,
      gatewayClass: (name): GatewayClassConfig | undefined => get('GatewayClass', '', name),
      gateway: (namespace, name): KubeGatewayConfig | undefined => get(kubeGatewayKind, namespace, name),
      listenerSet: (namespace, name): ListenerSetConfig | undefined => get('ListenerSet', namespace, name),
      listenerSetsOf: (namespace, name) =>
        setsByGateway.get(objectKey({ kind: kubeGatewayKind, namespace, name })),
      referenceGrants: (namespace) => grantsByNamespace.get(namespace),
      route: ({ kind, namespace, name }): RouteConfig | undefined =>
        get(kind as (typeof routeKinds)[number], namespace, name),
      routesOf: (parent) => this.#routesByParent.flatMap((index) => index.get(objectKey(parent))),
      routesTo: (backend) => routesByBackend.flatMap((index) => index.get(objectKey(backend))),
      tlsPoliciesOf: (target) => policiesByTarget.get(objectKey(target)),
      namespaces: () => this.#input('Namespace').values(),
      namespace: (name) => get('Namespace', '', name),
      service: (namespace, name) => this.#service(namespace, name),
      serviceEntry: (namespace, name): ServiceEntryConfig | undefined => get('ServiceEntry', namespace, name),
      secret: (namespace, name): Config<Secret> | undefined => get('Secret', namespace, name),
      configMap: (namespace, name): Config<ConfigMap> | undefined => get('ConfigMap', namespace, name),
      isDiscovered,
      discovered: (hostname, namespace) =>
        isDiscovered(hostname, namespace) ? this.#discovered(hostname, namespace) : undefined,
      namespacesOf: (hostname) =>
        registry
          .services()
          .filter((service) => service.hostname === hostname)
          .map(({ namespace }) => namespace)
          .sort(),
      derive: (key, compute) => graph.derive(key, compute),
    };
  }

  #discovered(hostname: string, namespace: string): DiscoveredService | undefined {
    const { registry } = this.#options;
    const service = registry.service(hostname, namespace);
    if (service === undefined) return undefined;
    const kube = service.registry === 'Kubernetes' ? this.#service(namespace, service.name) : undefined;
    return {
      ports: service.ports.map(({ servicePort }) => ({
        servicePort,
        endpointPorts: registry
          .endpoints(hostname, servicePort, namespace)
          .map(({ endpointPort }) => endpointPort),
      })),
      addresses: service.addresses,
      externalAddresses: kube === undefined ? [] : externalAddresses(kube),
      isLoadBalancer: kube?.spec.type === 'LoadBalancer',
      labels: service.labels,
    };
  }

  #service(namespace: string, name: string): Config<KubeServiceSpec> | undefined {
    return this.#input<Config<KubeServiceSpec>>('Service').get(keyOf({ kind: 'Service', namespace, name }));
  }

  /** The store has checked the objects of a kind against its schema: that gives their type. */
  #input<Typed extends Config = Config>(kind: SourceKind): Collection<Typed> {
    return this.#options.input(kind) as unknown as Collection<Typed>;
  }
}

function keyOf(key: ObjectKey): string {
  return configKey(key);
}
