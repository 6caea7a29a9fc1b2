// What of a proxy counts (ProxyScope), and what such a proxy sees: its Sidecar and services.
import { createHash } from 'node:crypto';
import type { SidecarConfig } from '../config/config.ts';
import { metadataNames } from '../config/envoy-filter/select.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { formatClusterName } from '../model/cluster-name.ts';
import type { Hostname } from '../model/hostname.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Service } from '../model/service.ts';
import { labelsMatch } from '../model/labels.ts';
import { addressFamilyOf } from './cluster/cluster-input.ts';
import { labelsWithPlace } from './endpoint/place-labels.ts';
import type { EgressListener } from './egress-listeners.ts';
import { egressListenersOf, importedServices, listenerServices, withAddresses } from './egress-listeners.ts';
import { envoyFiltersNear } from './envoy-filter/patches.ts';
import type { ProxyScope } from './resource.ts';
import type { World } from './world.ts';

/**
 * Reduces a node to what its configuration depends on: `scope.node` keeps only labels that a selector
 * mentions, and metadata that an EnvoyFilter does; id, pod, workload and service account are emptied; and an address that cannot
 * matter becomes the unspecified address of its family. It matters where the proxy binds to it
 * (LOOPBACK, NONE), where a service names it as an endpoint, and where a named target port must be
 * looked up on the workload. So the replicas of a Deployment share one scope.
 */
export function proxyScope(world: World, node: ProxyNode): ProxyScope {
  const labels = relevantLabels(world, node);
  // Who it has shown to be counts for secrets alone (secret/identity-scope.ts).
  const { metadata, identity: _identity, ...others } = node;
  const canonical: ProxyNode = {
    ...others,
    ...relevantMetadata(world, node.namespace, metadata),
    id: '',
    podName: '',
    workloadName: '',
    serviceAccount: '',
    // What counts of it is among the labels.
    nodeName: '',
    labels,
    ipAddresses: addressMatters(world, node, labels) ? node.ipAddresses : node.ipAddresses.map(unspecified),
  };
  return scopeOf(canonical);
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

/** The egress listeners of this proxy, in their order; gateways have one that imports everything. */
export function egressListeners(world: World, scope: ProxyScope): readonly EgressListener[] {
  const { namespace, dnsCapture, ipAddresses } = scope.node;
  const allocated = dnsCapture === true ? addressFamilyOf(ipAddresses) : undefined;
  return egressListenersOf(sidecarOf(world, scope), namespace, allocated);
}

/**
 * The services that this proxy sees, after exportTo and Sidecar egress, one per hostname, in the
 * World's order. Destinations of visible VirtualServices are seen, too; of them only the ports that
 * the VirtualServices name. Aliases (ExternalName) are among them. They have clusters; listeners and routes
 * are made of what each egress listener imports (`listenerServices`).
 */
export function visibleServices(world: World, scope: ProxyScope): readonly Service[] {
  return servicesThrough(world, egressListeners(world, scope));
}

/** By hostname. Whoever needs only a few reads them one by one (`visibleService`), not to depend on all. */
export function visibleServicesByName(world: World, scope: ProxyScope): ReadonlyMap<Hostname, Service> {
  const listeners = egressListeners(world, scope);
  return world.derive(
    `visible-services-by-name/${keyOf(listeners)}`,
    () => new Map(servicesThrough(world, listeners).map((service) => [service.hostname, service])),
  );
}

/** One service as this proxy sees it; undefined if it does not. */
export function visibleService(world: World, scope: ProxyScope, hostname: Hostname): Service | undefined {
  const listeners = egressListeners(world, scope);
  if (importsAll(listeners)) {
    const service = world.service(hostname, scope.node.namespace);
    const [only] = listeners;
    return service === undefined || only === undefined ? service : withAddresses(service, only);
  }
  return world.derive(`visible-service/${hostname}/${keyOf(listeners)}`, () =>
    visibleServicesByName(world, scope).get(hostname),
  );
}

/** The hostnames of the aliases that end at a service, sorted. */
export function aliasesOf(world: World, scope: ProxyScope, hostname: Hostname): readonly Hostname[] {
  return aliasesByTarget(world, scope).get(hostname) ?? [];
}

/** By service: the hostnames of the visible aliases (ExternalName Services) that end at it, sorted. */
export function aliasesByTarget(world: World, scope: ProxyScope): ReadonlyMap<Hostname, readonly Hostname[]> {
  const listeners = egressListeners(world, scope);
  return world.derive(`aliases/${keyOf(listeners)}`, () => {
    const targets = new Map<Hostname, Hostname>();
    for (const { resolution, aliasOf, hostname: name } of servicesThrough(world, listeners)) {
      if (resolution === 'alias' && aliasOf !== undefined) targets.set(name, aliasOf);
    }
    const byTarget = new Map<Hostname, Hostname[]>();
    for (const name of [...targets.keys()].sort()) {
      const end = endOfAlias(targets, name);
      if (end !== undefined) byTarget.set(end, [...(byTarget.get(end) ?? []), name]);
    }
    return byTarget;
  });
}

function servicesThrough(world: World, listeners: readonly EgressListener[]): readonly Service[] {
  const [only] = listeners;
  if (only !== undefined && importsAll(listeners)) return listenerServices(world, only);
  return world.derive(`visible-services/${keyOf(listeners)}`, () => importedServices(world, listeners));
}

function importsAll(listeners: readonly EgressListener[]): boolean {
  return listeners.every(({ hosts }) => hosts === undefined);
}

/** What is derived by it must follow from it alone: not from a scope, which shares it with others. */
function keyOf(listeners: readonly EgressListener[]): string {
  return listeners.map(({ key }) => key).join(';');
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
  // An application without a proxy has no filter chain for both: its own label says which it takes.
  const own = node.generator === undefined ? [] : ['security.istio.io/tlsMode'];
  return pick(labelsWithPlace(node), [...world.selectorLabelNames(node.namespace), ...own]);
}

/** The labels with these names. */
export function pick(
  labels: Readonly<Record<string, string>>,
  names: readonly string[],
): Readonly<Record<string, string>> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = labels[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}

/** The address of its family that means none. */
export function unspecified(address: string): string {
  return address.includes(':') ? '::' : '0.0.0.0';
}

function relevantMetadata(
  world: World,
  namespace: string,
  metadata: ProxyNode['metadata'] = {},
): Pick<ProxyNode, 'metadata'> {
  const names = metadataNames(envoyFiltersNear(world, namespace)).filter((name) =>
    Object.hasOwn(metadata, name),
  );
  if (names.length === 0) return {};
  return { metadata: Object.fromEntries(names.map((name) => [name, metadata[name] ?? ''])) };
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

/** The scope of a node that says nothing but what counts. */
export function scopeOf(node: ProxyNode): ProxyScope {
  // A digest, because keys stand in the keys of everything that is derived from a scope.
  return { key: createHash('sha256').update(canonicalText(node)).digest('base64url').slice(0, 22), node };
}

/** JSON with sorted keys: equal texts for equal values. */
function canonicalText(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
