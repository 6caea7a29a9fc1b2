// What a route is attached to: each listener, Service or ServiceEntry that a parentRef of it means.
import { gatewayApiGroup, kubeGatewayKind } from '../config/config.ts';
import type { HttpRouteSpec, ParentReference, RouteConfig } from '../config/gateway-api-types.ts';
import type { Problem } from './conditions.ts';
import type { ParentListener } from './gateways.ts';
import { convertGateway, convertListenerSet } from './gateways.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { objectKey } from './objects.ts';
import { parentKind } from './references.ts';
import { meshGateway } from '../model/gateway-name.ts';
import { hostnameCovers, hostnamesOverlap, isWildcard } from '../model/hostname.ts';

/** One parentRef and one of the listeners that it may mean. */
export interface RouteParent {
  readonly reference: ParentReference;
  /** Of the parent object. */
  readonly key: ObjectKey;
  readonly listener: ParentListener;
  /** Why the route is not attached; absent: it is. */
  readonly denied?: Problem;
  /** Hosts of the other listeners with the same port and protocol: what they cover more exactly is theirs. */
  readonly otherHostnames: readonly string[];
}

/** The object that a parentRef means; undefined where it is of a kind that routes of ours cannot have. */
export function parentKey(reference: ParentReference, namespace: string): ObjectKey | undefined {
  const kind = parentKind(reference);
  if (kind === undefined || !parentKinds.has(kind)) return undefined;
  return { kind, namespace: reference.namespace ?? namespace, name: reference.name };
}

const parentKinds: ReadonlySet<string> = new Set([kubeGatewayKind, 'ListenerSet', 'Service', 'ServiceEntry']);

export function isMesh({ listener }: RouteParent): boolean {
  return listener.gateway === meshGateway;
}

export function hostnamesOf({ spec }: RouteConfig): readonly string[] {
  return (spec as HttpRouteSpec).hostnames ?? [];
}

/**
 * Every pair of a parentRef and a listener of its parent, in the order of the references; which of them the
 * route is not attached to, and why. Source: Istio `extractParentReferenceInfo`.
 */
export function routeParents(
  objects: GatewayApiObjects,
  { kind, namespace, name }: ObjectKey,
): readonly RouteParent[] {
  return objects.derive(`gateway-api/parents/${kind}/${namespace}/${name}`, () => {
    const route = objects.route({ kind, namespace, name });
    if (route === undefined) return [];
    const parents = (route.spec.parentRefs ?? []).flatMap((reference): readonly RouteParent[] => {
      const key = parentKey(reference, namespace);
      if (key === undefined) return [];
      const listeners = parentListeners(objects, key);
      return listeners.map((listener) => {
        const denied = refusal(objects, route, reference, key, listener);
        return {
          reference,
          key,
          listener,
          ...(denied === undefined ? {} : { denied }),
          otherHostnames: othersOf(listener, listeners),
        };
      });
    });
    const order = new Map(parents.map(({ reference }) => [reference, formatParent(reference, namespace)]));
    return [...parents].sort((a, b) => compare(order.get(a.reference) ?? '', order.get(b.reference) ?? ''));
  });
}

/** Those that the route is attached to, by the name of the Gateway made of them. */
export function attachedParents(objects: GatewayApiObjects, route: ObjectKey): readonly RouteParent[] {
  return routeParents(objects, route)
    .filter(({ denied }) => denied === undefined)
    .sort((a, b) => compare(a.listener.gateway, b.listener.gateway));
}

/** By listener: how many routes are attached to a Gateway or ListenerSet. */
export function attachments(objects: GatewayApiObjects, parent: ObjectKey): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const route of objects.routesOf(parent)) {
    for (const { key, listener } of attachedParents(objects, route)) {
      if (objectKey(key) !== objectKey(parent)) continue;
      counts[listener.sectionName] = (counts[listener.sectionName] ?? 0) + 1;
    }
  }
  return counts;
}

/** `group/kind/name/section/port.namespace`: equal for references that mean the same. */
export function formatParent(reference: ParentReference, namespace: string): string {
  const { group = gatewayApiGroup, kind = 'Gateway', name, sectionName = '', port = 0 } = reference;
  return `${group}/${kind}/${name}/${sectionName}/${port}.${reference.namespace ?? namespace}`;
}

/**
 * Whether a host of the route is this listener's: another one of the same Gateway, port and protocol may cover it
 * more exactly. Source: Istio `hostnameAllowedByIsolation`.
 */
export function isOwnHost({ listener, otherHostnames }: RouteParent, host: string): boolean {
  const own = listener.hostname;
  if (own !== '' && !isWildcard(own)) return true;
  if (own !== '' && !hostnamesOverlap(host, own)) return false;
  return !otherHostnames.some((other) => own.length <= other.length && hostnameCovers(other, host));
}

/** Routes of Services are for the whole mesh. */
const mesh: ParentListener = {
  gateway: meshGateway,
  allowedKinds: ['HTTPRoute', 'GRPCRoute', 'TCPRoute', 'TLSRoute'].map((kind) => ({
    group: gatewayApiGroup,
    kind,
  })),
  hosts: [],
  hostname: '',
  sectionName: '',
  port: 0,
  protocol: '',
};

function parentListeners(objects: GatewayApiObjects, key: ObjectKey): readonly ParentListener[] {
  if (key.kind === 'Service' || key.kind === 'ServiceEntry') return [mesh];
  if (key.kind === 'ListenerSet') {
    const set = objects.listenerSet(key.namespace, key.name);
    return set === undefined ? [] : (convertListenerSet(objects, set)?.parents ?? []);
  }
  const gateway = objects.gateway(key.namespace, key.name);
  return gateway === undefined ? [] : (convertGateway(objects, gateway)?.parents ?? []);
}

function othersOf(listener: ParentListener, all: readonly ParentListener[]): readonly string[] {
  const { port, protocol, hostname } = listener;
  const others = all.filter(
    (each) =>
      each !== listener && each.port === port && each.protocol === protocol && each.hostname !== hostname,
  );
  return [...new Set(others.map((each) => each.hostname))];
}

/** Source: Istio `referenceAllowed`. */
function refusal(
  objects: GatewayApiObjects,
  route: RouteConfig,
  { port, sectionName }: ParentReference,
  key: ObjectKey,
  listener: ParentListener,
): Problem | undefined {
  const noParent = (message: string): Problem => ({ reason: 'NoMatchingParent', message });
  if (key.kind === 'Service') {
    if (objects.service(key.namespace, key.name) === undefined)
      return noParent(`parent service: "${key.name}" not found`);
  } else if (key.kind === 'ServiceEntry') {
    if (objects.serviceEntry(key.namespace, key.name) === undefined)
      return noParent(`parent service entry: "${key.name}" not found`);
  } else {
    if (port !== undefined && port !== listener.port) return noParent(`port ${port} not found`);
    if (sectionName !== undefined && sectionName !== listener.sectionName)
      return noParent(`sectionName "${sectionName}" not found`);
    const hosts = problemOfHosts(route, listener);
    if (hosts !== undefined) return hosts;
  }
  const isAllowed = listener.allowedKinds.some(({ kind }) => kind === route.kind);
  return isAllowed
    ? undefined
    : {
        reason: 'NotAllowedByListeners',
        message: `kind ${route.group}/v1/${route.kind} is not allowed`,
      };
}

/** One host of the route must be one of the listener's; a host covers what it has a wildcard for, either way. */
function problemOfHosts(route: RouteConfig, { hosts, hostname }: ParentListener): Problem | undefined {
  if (hosts.length === 0) return undefined;
  const written = hostnamesOf(route);
  const wanted = written.length === 0 ? ['*'] : written;
  const fitting = hosts.filter((entry) =>
    wanted.some((host) => hostnamesOverlap(entry.slice(entry.indexOf('/') + 1), host)),
  );
  if (fitting.length === 0)
    return {
      reason: 'NoMatchingListenerHostname',
      message: `no hostnames matched parent hostname "${hostname}"`,
    };
  const isOpen = fitting.some((entry) => entry.startsWith('*/') || entry.startsWith(`${route.namespace}/`));
  return isOpen
    ? undefined
    : {
        reason: 'NotAllowedByListeners',
        message: `hostnames matched parent hostname "${hostname}", but namespace "${route.namespace}" is not allowed by the parent`,
      };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
