// A World over a list of objects, without any memory: every read is computed anew.
import { Graph } from '../../src/collections/index.ts';
import type {
  Config,
  DestinationRuleConfig,
  GatewayConfig,
  ServiceEntryConfig,
  SidecarConfig,
  VirtualServiceConfig,
  WorkloadEntryConfig,
} from '../../src/config/config.ts';
import { compareAge, configKey } from '../../src/config/config.ts';
import type { EndpointSlice, KubeEndpoints, KubeServiceSpec, PodSpec } from '../../src/config/kube-types.ts';
import type { MeshConfig } from '../../src/config/mesh-config.ts';
import { defaultMeshConfig } from '../../src/config/mesh-config.ts';
import { readText } from '../../src/config/reader.ts';
import { resolveGatewayName } from '../../src/model/gateway-name.ts';
import { hostnameCovers, resolveHost } from '../../src/model/hostname.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { labelsMatch } from '../../src/model/service.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { createRegistry } from '../../src/registry/registry.ts';
import type { World } from '../../src/translate/world.ts';

/** The World that these objects make. */
export function worldOf(configs: readonly Config[], mesh: Partial<MeshConfig> = {}): World {
  return new ListWorld(configs, { ...defaultMeshConfig, ...mesh });
}

/** The World of a YAML text. Throws where something in it is wrong. */
export function worldOfYaml(text: string, mesh: Partial<MeshConfig> = {}, file = 'in.yaml'): World {
  return worldOf(configsOfYaml(text, file), mesh);
}

/** The objects of a YAML text. Throws where something in it is wrong. */
export function configsOfYaml(text: string, file = 'in.yaml'): readonly Config[] {
  const { configs, diagnostics } = readText(file, text);
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0)
    throw new Error(
      errors
        .map(({ position, message, fieldPath }) => `${position.line}: ${fieldPath.join('.')}: ${message}`)
        .join('\n'),
    );
  return configs;
}

/** A connected proxy: a sidecar of namespace `default` at 10.1.0.1, but for what is given. */
export function proxyNode(part: Partial<ProxyNode> = {}): ProxyNode {
  const { type = 'sidecar', namespace = 'default', podName = 'pod', ipAddresses = ['10.1.0.1'] } = part;
  return {
    id: `${type}~${ipAddresses[0] ?? ''}~${podName}.${namespace}~${namespace}.svc.cluster.local`,
    type,
    ipAddresses,
    podName,
    namespace,
    dnsDomain: `${namespace}.svc.cluster.local`,
    labels: {},
    serviceAccount: 'default',
    workloadName: podName,
    clusterId: 'Kubernetes',
    network: '',
    locality: { region: '', zone: '', subzone: '' },
    istioVersion: '1.32.0',
    interceptionMode: 'REDIRECT',
    adminPort: 15000,
    http10: false,
    ...part,
  };
}

class ListWorld implements World {
  readonly #mesh: MeshConfig;
  readonly #byKind = new Map<string, Config[]>();
  readonly #registry: Registry;

  constructor(configs: readonly Config[], mesh: MeshConfig) {
    this.#mesh = mesh;
    for (const config of [...configs].sort(compareAge)) {
      const list = this.#byKind.get(config.kind) ?? [];
      this.#byKind.set(config.kind, [...list, config]);
    }
    const graph = new Graph();
    const input = <Spec>(kind: string) => {
      const collection = graph.input<Config<Spec>>(kind);
      graph.batch(() => {
        for (const config of this.#list<Spec>(kind)) collection.set(configKey(config), config);
      });
      return collection;
    };
    this.#registry = createRegistry({
      graph,
      meshConfig: () => mesh,
      sources: {
        services: input<KubeServiceSpec>('Service'),
        pods: input<PodSpec>('Pod'),
        endpointSlices: input<EndpointSlice>('EndpointSlice'),
        endpoints: input<KubeEndpoints>('Endpoints'),
        serviceEntries: input<ServiceEntryConfig['spec']>('ServiceEntry'),
        workloadEntries: input<WorkloadEntryConfig['spec']>('WorkloadEntry'),
        nodes: input<unknown>('Node'),
      },
    });
  }

  meshConfig(): MeshConfig {
    return this.#mesh;
  }

  service: World['service'] = (...key) => this.#registry.service(...key);
  servicesVisibleTo: World['servicesVisibleTo'] = (namespace) => this.#registry.servicesVisibleTo(namespace);
  servicesOfWorkload: World['servicesOfWorkload'] = (...key) => this.#registry.servicesOfWorkload(...key);
  endpoints: World['endpoints'] = (...key) => this.#registry.endpoints(...key);
  workloadPort: World['workloadPort'] = (...key) => this.#registry.workloadPort(...key);

  selectorLabelNames(namespace: string): readonly string[] {
    const selectors = [
      ...this.sidecars(namespace).map(({ spec }) => spec.workloadSelector?.labels),
      ...this.#list<DestinationRuleConfig['spec']>('DestinationRule').map(
        ({ spec }) => spec.workloadSelector?.matchLabels,
      ),
      ...this.#list<GatewayConfig['spec']>('Gateway').map(({ spec }) => spec.selector),
    ];
    for (const { spec } of this.#list<VirtualServiceConfig['spec']>('VirtualService'))
      for (const { match = [] } of [...(spec.http ?? []), ...(spec.tls ?? []), ...(spec.tcp ?? [])])
        for (const { sourceLabels } of match) selectors.push(sourceLabels);
    const names = selectors.flatMap((selector) => Object.keys(selector ?? {}));
    return [...new Set([...names, ...this.#registry.selectorLabelNames(namespace)])].sort();
  }

  virtualServicesFor(gateway: string, namespace: string): readonly VirtualServiceConfig[] {
    return this.#list<VirtualServiceConfig['spec']>('VirtualService').filter((config) => {
      const named = config.spec.gateways ?? [];
      const gateways = (named.length === 0 ? ['mesh'] : named).map((name) =>
        resolveGatewayName(name, config.namespace),
      );
      return (
        gateways.includes(gateway) && this.#sees(namespace, config, this.#mesh.defaultVirtualServiceExportTo)
      );
    });
  }

  destinationRulesFor(hostname: string, namespace: string): readonly DestinationRuleConfig[] {
    return this.#list<DestinationRuleConfig['spec']>('DestinationRule').filter((config) => {
      const host = resolveHost(config.spec.host ?? '', config.namespace, this.#mesh.domainSuffix);
      if (!hostnameCovers(host, hostname)) return false;
      if (config.spec.workloadSelector !== undefined) return config.namespace === namespace;
      return this.#sees(namespace, config, this.#mesh.defaultDestinationRuleExportTo);
    });
  }

  gatewaysSelecting(_namespace: string, labels: Readonly<Record<string, string>>): readonly GatewayConfig[] {
    return this.#list<GatewayConfig['spec']>('Gateway').filter(({ spec }) =>
      labelsMatch(spec.selector ?? {}, labels),
    );
  }

  sidecars(namespace: string): readonly SidecarConfig[] {
    return this.#list<SidecarConfig['spec']>('Sidecar').filter((config) => config.namespace === namespace);
  }

  derive<T>(_key: string, compute: () => T): T {
    return compute();
  }

  #list<Spec>(kind: string): readonly Config<Spec>[] {
    return (this.#byKind.get(kind) ?? []) as readonly Config<Spec>[];
  }

  #sees(
    namespace: string,
    config: Config<{ readonly exportTo?: readonly string[] | undefined }>,
    defaults: readonly string[],
  ): boolean {
    const exportTo = config.spec.exportTo ?? [];
    return (exportTo.length === 0 ? defaults : exportTo).some(
      (to) => to === '*' || to === namespace || (to === '.' && config.namespace === namespace),
    );
  }
}
