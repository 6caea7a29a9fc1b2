// What of a proxy counts (ProxyScope), and what such a proxy sees: its Sidecar, services and VirtualServices.
import type { SidecarConfig, VirtualServiceConfig } from '../config/config.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import { formatClusterName } from '../model/cluster-name.ts';
import type { Hostname } from '../model/hostname.ts';
import { hostnameCovers, hostnamesOverlap, resolveHost } from '../model/hostname.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Service } from '../model/service.ts';
import { labelsMatch } from '../model/service.ts';
import type { ProxyScope } from './resource.ts';
import type { World } from './world.ts';

/**
 * Reduces a node to what its configuration depends on: `scope.node` keeps only labels that a selector
 * mentions; id, pod, workload and service account are emptied; and an address that cannot
 * matter becomes the unspecified address of its family. It matters where the proxy binds to it
 * (LOOPBACK, NONE), where a service names it as an endpoint, and where a named target port must be
 * looked up on the workload. So the replicas of a Deployment share one scope.
 */
export function proxyScope(world: World, node: ProxyNode): ProxyScope {
  const labels = relevantLabels(world, node);
  const canonical: ProxyNode = {
    ...node,
    id: '',
    podName: '',
    workloadName: '',
    serviceAccount: '',
    labels,
    ipAddresses: addressMatters(world, node, labels)
      ? node.ipAddresses
      : node.ipAddresses.map((address) => (address.includes(':') ? '::' : '0.0.0.0')),
  };
  return { key: canonicalText(canonical), node: canonical };
}

/**
 * The Sidecar that governs this proxy: of its namespace one that selects it, else one without selector,
 * else the root namespace's without selector; the oldest of each. Routers have none.
 * Source: Istio Sidecar reference, "workloadSelector".
 */
export function sidecarOf(world: World, scope: ProxyScope): SidecarConfig | undefined {
  return sidecarFor(world, scope.node.type, scope.node.namespace, scope.node.labels);
}

function sidecarFor(
  world: World,
  type: ProxyNode['type'],
  namespace: string,
  labels: Readonly<Record<string, string>>,
): SidecarConfig | undefined {
  if (type !== 'sidecar') return undefined;
  const { rootNamespace } = world.meshConfig();
  const own = world.sidecars(namespace);
  return (
    own.find(({ spec }) => {
      const selector = spec.workloadSelector?.labels;
      return selector !== undefined && labelsMatch(selector, labels);
    }) ??
    own.find(isNamespaceWide) ??
    (namespace === rootNamespace ? undefined : world.sidecars(rootNamespace).find(isNamespaceWide))
  );
}

/** Where traffic to unknown destinations goes: the Sidecar's word, else the mesh's. */
export function outboundTrafficPolicyOf(
  world: World,
  scope: ProxyScope,
): MeshConfig['outboundTrafficPolicy'] {
  const policy = sidecarOf(world, scope)?.spec.outboundTrafficPolicy;
  if (policy === undefined) return world.meshConfig().outboundTrafficPolicy;
  // The reference's default mode of a policy that is present is REGISTRY_ONLY (enum value 0).
  return policy.mode === 'ALLOW_ANY' ? 'ALLOW_ANY' : 'REGISTRY_ONLY';
}

/** The cluster of the Sidecar's egressProxy, which gets what would pass through; undefined without one. */
export function egressProxyCluster(world: World, scope: ProxyScope): string | undefined {
  const proxy = sidecarOf(world, scope)?.spec.outboundTrafficPolicy?.egressProxy;
  const servicePort = proxy?.port?.number;
  // Validation asks for both, and for a full name.
  if (proxy?.host === undefined || servicePort === undefined) return undefined;
  const subset = proxy.subset ?? '';
  return formatClusterName({ direction: 'outbound', servicePort, subset, hostname: proxy.host });
}

/**
 * The services that this proxy sees, after exportTo and Sidecar egress, one per hostname, in the
 * World's order. Destinations of visible VirtualServices are seen, too; of them only the ports that
 * the VirtualServices name. Aliases (ExternalName) are among them.
 */
export function visibleServices(world: World, scope: ProxyScope): readonly Service[] {
  return servicesThrough(world, scope.node.namespace, egressImports(world, scope));
}

/** One service as this proxy sees it; undefined if it does not. Cheaper than `visibleServices`. */
export function visibleService(world: World, scope: ProxyScope, hostname: Hostname): Service | undefined {
  const { namespace } = scope.node;
  const service = world.service(hostname, namespace);
  const imports = service === undefined ? undefined : egressImports(world, scope);
  if (service === undefined || imports === undefined) return service;
  const destinations = world.derive(`egress-destinations/${imports.key}`, () =>
    importedDestinations(world, namespace, imports),
  );
  return seenThrough(imports, destinations, service);
}

/** Hostnames of the visible aliases (ExternalName Services) that end at this service, sorted. */
export function aliasesOf(world: World, scope: ProxyScope, hostname: Hostname): readonly Hostname[] {
  const { namespace } = scope.node;
  const imports = egressImports(world, scope);
  // What is derived must follow from the key alone: not from this scope, which shares the key with others.
  const aliases = world.derive(`aliases/${imports?.key ?? namespace}`, () => {
    const services = servicesThrough(world, namespace, imports);
    const targets = new Map<Hostname, Hostname>();
    for (const { resolution, aliasOf, hostname: name } of services) {
      if (resolution === 'alias' && aliasOf !== undefined) targets.set(name, aliasOf);
    }
    const byTarget: Record<Hostname, Hostname[]> = {};
    for (const name of [...targets.keys()].sort()) {
      const end = endOfAlias(targets, name);
      if (end !== undefined) (byTarget[end] ??= []).push(name);
    }
    return byTarget;
  });
  return aliases[hostname] ?? [];
}

/**
 * The VirtualServices bound to `mesh` that this proxy sees, after exportTo and Sidecar egress, oldest
 * first. One is imported if a host of it and an egress host of its namespace cover one another.
 */
export function visibleVirtualServices(world: World, scope: ProxyScope): readonly VirtualServiceConfig[] {
  const { namespace } = scope.node;
  const all = world.virtualServicesFor('mesh', namespace);
  const imports = egressImports(world, scope);
  return imports === undefined ? all : all.filter((config) => importsVirtualService(world, imports, config));
}

/** One entry of a Sidecar's egress hosts: `namespace/host`. */
interface ImportedHost {
  /** `*`: any namespace. */
  readonly namespace: string;
  readonly host: Hostname;
  /** `~namespace/host`: not this one. */
  readonly excluded: boolean;
}

interface EgressImports {
  /** Equal for proxies that import the same. */
  readonly key: string;
  readonly hosts: readonly ImportedHost[];
}

function servicesThrough(
  world: World,
  namespace: string,
  imports: EgressImports | undefined,
): readonly Service[] {
  if (imports === undefined) return world.servicesVisibleTo(namespace);
  return world.derive(`visible-services/${imports.key}`, () => {
    const destinations = importedDestinations(world, namespace, imports);
    return world
      .servicesVisibleTo(namespace)
      .flatMap((service) => seenThrough(imports, destinations, service) ?? []);
  });
}

/** Undefined: everything that is exported. */
function egressImports(world: World, scope: ProxyScope): EgressImports | undefined {
  const egress = sidecarOf(world, scope)?.spec.egress;
  if (egress === undefined || egress.length === 0) return undefined;
  const texts = egress.flatMap((listener) => listener.hosts ?? []);
  const hosts = texts.flatMap((text) => parseImportedHost(text, scope.node.namespace) ?? []);
  return { key: `${scope.node.namespace}/${texts.join(',')}`, hosts };
}

/** `~/*` excludes everything (no egress at all); a text without a slash is no import. */
function parseImportedHost(text: string, ownNamespace: string): ImportedHost | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const host = text.slice(slash + 1).toLowerCase();
  const excluded = text.startsWith('~');
  const written = text.slice(excluded ? 1 : 0, slash);
  const namespace = written === '.' ? ownNamespace : written === '' ? '*' : written;
  return { namespace, host, excluded };
}

function importsHost(
  imports: EgressImports,
  namespace: string,
  hostname: Hostname,
  matches: (imported: Hostname, name: Hostname) => boolean,
): boolean {
  const near = imports.hosts.filter((entry) => entry.namespace === '*' || entry.namespace === namespace);
  if (near.some((entry) => entry.excluded && hostnameCovers(entry.host, hostname))) return false;
  return near.some((entry) => !entry.excluded && matches(entry.host, hostname));
}

function importsVirtualService(world: World, imports: EgressImports, config: VirtualServiceConfig): boolean {
  const { domainSuffix } = world.meshConfig();
  return (config.spec.hosts ?? []).some((host) =>
    importsHost(
      imports,
      config.namespace,
      resolveHost(host, config.namespace, domainSuffix),
      hostnamesOverlap,
    ),
  );
}

/** Hostname -> the ports that VirtualServices send to; undefined: all of them. */
type Destinations = ReadonlyMap<Hostname, readonly number[] | undefined>;

function importedDestinations(world: World, namespace: string, imports: EgressImports): Destinations {
  const { domainSuffix } = world.meshConfig();
  const destinations = new Map<Hostname, readonly number[] | undefined>();
  for (const config of world.virtualServicesFor('mesh', namespace)) {
    if (!importsVirtualService(world, imports, config)) continue;
    for (const { host, port } of destinationsOf(config.spec, namespace)) {
      const hostname = resolveHost(host, config.namespace, domainSuffix);
      const known = destinations.has(hostname) ? destinations.get(hostname) : [];
      destinations.set(hostname, known === undefined || port === undefined ? undefined : [...known, port]);
    }
  }
  return destinations;
}

function destinationsOf(
  spec: VirtualServiceSpec,
  namespace: string,
): { host: string; port: number | undefined }[] {
  const rules = (spec.http ?? []).filter(({ match = [] }) => appliesIn(match, namespace));
  const http = rules.flatMap((rule) => [
    ...(rule.route ?? []).map((route) => route.destination),
    rule.mirror,
    ...(rule.mirrors ?? []).map((mirror) => mirror.destination),
  ]);
  const streams = [...(spec.tcp ?? []), ...(spec.tls ?? [])]
    .filter(({ match = [] }) => appliesIn(match, namespace))
    .flatMap((rule) => (rule.route ?? []).map((route) => route.destination));
  return [...http, ...streams].flatMap((destination) =>
    destination?.host === undefined ? [] : [{ host: destination.host, port: destination.port?.number }],
  );
}

/** Whether a rule may match for clients of this namespace. */
function appliesIn(
  match: readonly { readonly sourceNamespace?: string | undefined }[],
  namespace: string,
): boolean {
  return (
    match.length === 0 ||
    match.some(({ sourceNamespace = '' }) => sourceNamespace === '' || sourceNamespace === namespace)
  );
}

/** The service, or what of its ports is seen; undefined where it is not. */
function seenThrough(
  imports: EgressImports,
  destinations: Destinations,
  service: Service,
): Service | undefined {
  if (importsHost(imports, service.namespace, service.hostname, hostnameCovers)) return service;
  if (!destinations.has(service.hostname)) return undefined;
  const numbers = destinations.get(service.hostname);
  if (numbers === undefined) return service;
  const ports = service.ports.filter((port) => numbers.includes(port.servicePort));
  return ports.length === 0
    ? undefined
    : ports.length === service.ports.length
      ? service
      : { ...service, ports };
}

/** Follows aliases of aliases; undefined for those that go in a circle. */
function endOfAlias(targets: ReadonlyMap<Hostname, Hostname>, start: Hostname): Hostname | undefined {
  let name = start;
  for (let steps = 0; steps <= targets.size; steps++) {
    const next = targets.get(name);
    if (next === undefined) return name;
    name = next;
  }
  return undefined;
}

function isNamespaceWide(sidecar: SidecarConfig): boolean {
  return Object.keys(sidecar.spec.workloadSelector?.labels ?? {}).length === 0;
}

function relevantLabels(world: World, node: ProxyNode): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const name of world.selectorLabelNames(node.namespace)) {
    const value = node.labels[name];
    if (value !== undefined) labels[name] = value;
  }
  return labels;
}

function addressMatters(world: World, node: ProxyNode, labels: Readonly<Record<string, string>>): boolean {
  if (node.interceptionMode === 'LOOPBACK' || node.interceptionMode === 'NONE') return true;
  // Its listeners stand on the pod's own address.
  const sidecar = sidecarFor(world, node.type, node.namespace, labels);
  if ((sidecar?.spec.ingress ?? []).length > 0) return true;
  const selecting = world.servicesOfWorkload(node.namespace, labels, []);
  if (selecting.some((service) => service.ports.some((port) => typeof port.targetPort === 'string')))
    return true;
  return world.servicesOfWorkload(node.namespace, labels, node.ipAddresses).length > selecting.length;
}

/** JSON with sorted keys: equal texts for equal values. */
function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
