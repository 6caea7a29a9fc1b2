// What a sidecar may call: the egress listeners of the Sidecar that governs it, and what each of them imports.
import type { SidecarConfig, VirtualServiceConfig } from '../config/config.ts';
import { originOf } from '../config/config.ts';
import { isGatewayApiRoute } from '../model/gateway-origin.ts';
import type { Hostname } from '../model/hostname.ts';
import { hostnameCovers, hostnamesOverlap, resolveHost } from '../model/hostname.ts';
import type { Origin } from '../model/origin.ts';
import { parseProtocol } from '../model/protocol.ts';
import type { Protocol, Service } from '../model/service.ts';
import type { AddressFamily } from './cluster/cluster-input.ts';
import { remembered } from './remembered.ts';
import type { World } from './world.ts';

/** One entry of a listener's `hosts`: `namespace/host`. */
export interface ImportedHost {
  /** `*`: any namespace. */
  readonly namespace: string;
  readonly host: Hostname;
  /** `~namespace/host`: not this one. */
  readonly excluded: boolean;
}

/** Plain data: it may stand in derivations. */
export interface EgressListener {
  /** Equal for listeners that import the same: the key of whatever follows from what they import. */
  readonly key: string;
  /** The namespace of the proxies that it stands for. */
  readonly namespace: string;
  /** Absent: every port for which no other listener stands (the last listener of a Sidecar). */
  readonly port?: {
    /** 0: `bind` is a Unix socket. */
    readonly number: number;
    readonly protocol: Protocol;
    readonly name: string;
  };
  /** Whether services without an address of their own have the allocated ones, of these families. */
  readonly allocated?: AddressFamily;
  /** An IP address or `unix://path`; empty where the user gives none. */
  readonly bind: string;
  readonly captureMode: 'DEFAULT' | 'IPTABLES' | 'NONE';
  /** Absent: everything that is exported to the namespace. */
  readonly hosts?: readonly ImportedHost[];
  /** Absent where no Sidecar governs the proxy. */
  readonly origin?: Origin;
}

/**
 * The egress listeners of a Sidecar for proxies of `namespace`, in its order. Without any, one that imports
 * everything. Source: Istio `initSidecarScopeInternalIndexes`.
 */
export function egressListenersOf(
  sidecar: SidecarConfig | undefined,
  namespace: string,
  allocated?: AddressFamily,
): readonly EgressListener[] {
  const egress = sidecar?.spec.egress ?? [];
  const prefix = allocated === undefined ? namespace : `${namespace}+${allocated}`;
  const seen = allocated === undefined ? {} : { allocated };
  if (sidecar === undefined || egress.length === 0)
    return [{ key: prefix, namespace, bind: '', captureMode: 'DEFAULT', ...seen }];
  return egress.map((listener, index) => {
    const texts = listener.hosts ?? [];
    const number = listener.port?.number ?? 0;
    const protocol = parseProtocol(listener.port?.protocol ?? '');
    const port =
      listener.port === undefined ? undefined : { number, protocol, name: listener.port.name ?? '' };
    const onePort = port !== undefined && trimsPorts(port);
    return {
      key: `${prefix}/${onePort ? number : ''}/${texts.join(',')}`,
      namespace,
      ...seen,
      ...(port === undefined ? {} : { port }),
      bind: listener.bind ?? '',
      captureMode: captureModes.find((mode) => mode === listener.captureMode) ?? 'DEFAULT',
      hosts: texts.flatMap((text) => parseImportedHost(text, namespace) ?? []),
      origin: originOf(sidecar, 'spec', 'egress', index),
    };
  });
}

/**
 * The listener whose routes have this name: the one with this port (or, for port 0, this bind), else the one
 * without a port. Source: Istio `GetEgressListenerForRDS`.
 */
export function egressListenerForRoutes(
  listeners: readonly EgressListener[],
  port: number,
  name: string,
): EgressListener | undefined {
  return listeners.find(
    (listener) =>
      listener.port === undefined ||
      (listener.port.number === port && (port !== 0 || listener.bind === name)),
  );
}

/**
 * The services that a listener imports, one per hostname, in the World's order; of one with a port
 * that is no HTTP proxy, only that port of each. Of several services with one hostname: the
 * proxy's namespace's, else Kubernetes', else the oldest. Source: Istio `selectServices`.
 */
export function listenerServices(world: World, listener: EgressListener): readonly Service[] {
  const { namespace, hosts, key, port } = listener;
  if (hosts === undefined) {
    const all = (): readonly Service[] => world.servicesVisibleTo(namespace);
    if (listener.allocated === undefined) return all();
    return world.derive(`listener-services/${key}`, () => all().map((each) => withAddresses(each, listener)));
  }
  return world.derive(`listener-services/${key}`, () => {
    const best = new Map<Hostname, Service>();
    for (const service of world.servicesExportedTo(namespace)) {
      if (!importsHost(hosts, service.namespace, service.hostname, hostnameCovers)) continue;
      const seen = withAddresses(service, listener);
      const trimmed = port !== undefined && trimsPorts(port) ? withPorts(seen, [port.number]) : seen;
      if (trimmed === undefined) continue;
      const known = best.get(service.hostname);
      if (known === undefined || isBetter(trimmed, known, namespace)) best.set(service.hostname, trimmed);
    }
    return [...best.values()];
  });
}

/**
 * The VirtualServices bound to `mesh` that a listener imports, oldest first: a host of each and an
 * imported host of its namespace cover one another; of Gateway API routes the imported host must be the wider.
 */
export function listenerVirtualServices(
  world: World,
  listener: EgressListener,
): readonly VirtualServiceConfig[] {
  const { hosts, key } = listener;
  if (hosts === undefined) return world.virtualServicesFor('mesh', listener.namespace);
  return world.derive(`listener-virtual-services/${key}`, () => {
    const { domainSuffix } = world.meshConfig();
    const memoryKey = `${key} ${domainSuffix}`;
    return world
      .virtualServicesFor('mesh', listener.namespace)
      .filter((config) =>
        remembered(imported, config, memoryKey, () => importsVirtualService(domainSuffix, hosts, config)),
      );
  });
}

// Only memory: an edit of one VirtualService looks at the hosts and destinations of that one alone.
const imported = new WeakMap<VirtualServiceConfig, Map<string, boolean>>();
const resolved = new WeakMap<VirtualServiceConfig, Map<string, readonly ResolvedDestination[]>>();

/**
 * All that the listeners import together, and the destinations of their VirtualServices: of those only the
 * ports that the VirtualServices name. Source: Istio `collectImportedServices`.
 */
export function importedServices(world: World, listeners: readonly EgressListener[]): readonly Service[] {
  const services = new Map<Hostname, Service>();
  for (const listener of listeners) {
    for (const service of listenerServices(world, listener)) add(services, service);
    if (listener.hosts === undefined) continue;
    for (const [hostname, ports] of destinations(world, listener)) {
      const found = world.service(hostname, listener.namespace);
      if (found === undefined) continue;
      const service = withAddresses(found, listener);
      const { port } = listener;
      const numbers = port !== undefined && trimsPorts(port) ? [port.number] : ports;
      const seen = numbers === undefined ? service : withPorts(service, numbers);
      if (seen !== undefined) add(services, seen);
    }
  }
  return [...services.values()];
}

/** The service with its allocated addresses, where it has none of its own and the listener's proxies use them. */
export function withAddresses(service: Service, { allocated }: Pick<EgressListener, 'allocated'>): Service {
  const { addresses, allocatedAddresses } = service;
  if (allocated === undefined || addresses.length > 0 || allocatedAddresses === undefined) return service;
  const { v4, v6 } = allocatedAddresses;
  const own = [
    ...(allocated === 'v6' || v4 === undefined ? [] : [v4]),
    ...(allocated === 'v4' || v6 === undefined ? [] : [v6]),
  ];
  return { ...service, addresses: own };
}

const captureModes = ['DEFAULT', 'IPTABLES', 'NONE'] as const;

/** A listener for one port sees that port alone, but for HTTP proxies, which lead to all. */
function trimsPorts(port: { readonly number: number; readonly protocol: Protocol }): boolean {
  return port.number !== 0 && port.protocol !== 'HTTP_PROXY';
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
  hosts: readonly ImportedHost[],
  namespace: string,
  hostname: Hostname,
  matches: (imported: Hostname, name: Hostname) => boolean,
): boolean {
  let imported = false;
  for (const entry of hosts) {
    if (entry.namespace !== '*' && entry.namespace !== namespace) continue;
    if (!entry.excluded) imported ||= matches(entry.host, hostname);
    else if (hostnameCovers(entry.host, hostname)) return false;
  }
  return imported;
}

function importsVirtualService(
  domainSuffix: string,
  hosts: readonly ImportedHost[],
  config: VirtualServiceConfig,
): boolean {
  const matches = isGatewayApiRoute(config) ? hostnameCovers : hostnamesOverlap;
  return (config.spec.hosts ?? []).some((host) =>
    importsHost(hosts, config.namespace, resolveHost(host, config.namespace, domainSuffix), matches),
  );
}

/** The service with no more than these ports; undefined where it has none of them. */
function withPorts(service: Service, numbers: readonly number[]): Service | undefined {
  const ports = service.ports.filter((port) => numbers.includes(port.servicePort));
  if (ports.length === 0) return undefined;
  return ports.length === service.ports.length ? service : { ...service, ports };
}

/** Whether a younger service takes the place of `known`, which has the same hostname. */
function isBetter(service: Service, known: Service, namespace: string): boolean {
  if (known.namespace === namespace || service.namespace === namespace) return known.namespace !== namespace;
  return known.registry !== 'Kubernetes' && service.registry === 'Kubernetes';
}

/**
 * Puts a service among those of other listeners. Kubernetes' takes the place of others; listeners for
 * different ports of one service add up; else the first stays. Source: Istio `appendSidecarServices`.
 */
function add(services: Map<Hostname, Service>, service: Service): void {
  const { hostname } = service;
  const known = services.get(hostname);
  if (known === undefined || (known.registry !== 'Kubernetes' && service.registry === 'Kubernetes')) {
    services.set(hostname, service);
    return;
  }
  if (known.namespace !== service.namespace) return;
  const more = service.ports.filter(
    ({ servicePort }) => !known.ports.some((port) => port.servicePort === servicePort),
  );
  if (more.length > 0) services.set(hostname, { ...known, ports: [...known.ports, ...more] });
}

interface ResolvedDestination {
  readonly hostname: Hostname;
  readonly port: number | undefined;
}

/**
 * Hostname -> the ports that VirtualServices of the listener send to, each once; undefined: all of them. Most edits of
 * a VirtualService leave it as it is, and nobody who reads it need look further.
 */
function destinations(
  world: World,
  listener: EgressListener,
): ReadonlyMap<Hostname, readonly number[] | undefined> {
  return world.derive(`listener-destinations/${listener.key}`, () => findDestinations(world, listener));
}

function findDestinations(
  world: World,
  listener: EgressListener,
): ReadonlyMap<Hostname, readonly number[] | undefined> {
  const { domainSuffix } = world.meshConfig();
  const found = new Map<Hostname, readonly number[] | undefined>();
  const memoryKey = `${listener.namespace} ${domainSuffix}`;
  for (const config of listenerVirtualServices(world, listener)) {
    const destinations = remembered(resolved, config, memoryKey, () =>
      destinationsOf(config, listener.namespace).map(({ host, port }) => ({
        hostname: resolveHost(host, config.namespace, domainSuffix),
        port,
      })),
    );
    for (const { hostname, port } of destinations) {
      const known = found.has(hostname) ? found.get(hostname) : [];
      if (known === undefined || port === undefined) found.set(hostname, undefined);
      else if (!known.includes(port)) found.set(hostname, [...known, port]);
    }
  }
  return found;
}

function destinationsOf(
  { spec }: VirtualServiceConfig,
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
