// Patches of route configurations. Source: Istio `pilot/pkg/networking/core/envoyfilter/rc_patch.go`.
import { clone } from '@bufbuild/protobuf';
import type { Route, VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteSchema, VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ApplyTo } from '../../config/envoy-filter/patch-value.ts';
import type { EnvoyPatch, PatchContext } from '../../config/envoy-filter/select.ts';
import type { Built } from '../resource.ts';
import { editList } from './edit-list.ts';
import { isMerge, matchesContext, mergeValue, valueOf } from './patches.ts';
import { Places } from './places.ts';

export const routeApplyTo: readonly ApplyTo[] = ['ROUTE_CONFIGURATION', 'VIRTUAL_HOST', 'HTTP_ROUTE'];

/** The ports that clients name, by the port that a gateway's listener has. */
export type GatewayPorts = ReadonlyMap<number, readonly number[]>;

/** Whether the patch is about the route configuration of this name. */
export function matchesRouteConfiguration(
  patch: EnvoyPatch,
  context: PatchContext,
  name: string,
  gatewayPorts: GatewayPorts,
): boolean {
  if (!matchesContext(patch, context)) return false;
  const wanted = patch.match.routeConfiguration;
  if (wanted === undefined) return true;
  if (wanted.name !== undefined && wanted.name !== '' && wanted.name !== name) return false;
  const wantedPort = wanted.portNumber ?? 0;
  if (context !== 'GATEWAY') return wantedPort === 0 || wantedPort === sidecarPort(name);
  const { port, portName, gateway } = partsOfGatewayRoute(name);
  if (wanted.portName !== undefined && wanted.portName !== '' && wanted.portName !== portName) return false;
  if (wanted.gateway !== undefined && wanted.gateway !== '' && wanted.gateway !== gateway) return false;
  return wantedPort === 0 || (gatewayPorts.get(port) ?? [port]).includes(wantedPort);
}

/** `80`, or `inbound|8080||`; 0 of others. */
function sidecarPort(name: string): number {
  const text = name.startsWith('inbound') ? (name.split('|')[1] ?? '') : name;
  return /^\d+$/.test(text) ? Number(text) : 0;
}

/** `http.8080`, or `https.443.port-name.gateway-name.namespace`. */
function partsOfGatewayRoute(name: string): { port: number; portName: string; gateway: string } {
  const [protocol, port = '', ...rest] = name.split('.');
  const number = /^\d+$/.test(port) ? Number(port) : 0;
  if (protocol !== 'https' || rest.length < 3) return { port: number, portName: '', gateway: '' };
  const [portName = '', gatewayName = '', namespace = ''] = rest;
  return { port: number, portName, gateway: `${namespace}/${gatewayName}` };
}

/** `patches` are about this configuration; all of its parts that they name are patched. */
export function patchRouteConfiguration(
  built: Built<typeof RouteConfigurationSchema>,
  patches: readonly EnvoyPatch[],
): Built<typeof RouteConfigurationSchema> {
  const message = copyOf(built.message);
  const places = new Places(message, built.provenance);
  patchRoutes(message, patches, places);
  message.name = built.message.name;
  return { name: built.name, message, provenance: places.provenance(routePaths(message)) };
}

/** Patches a configuration of one's own (`copyOf`) in place. */
export function patchRoutes(
  message: RouteConfiguration,
  patches: readonly EnvoyPatch[],
  places: Places,
): void {
  for (const patch of patches) {
    if (patch.applyTo !== 'ROUTE_CONFIGURATION' || !isMerge(patch)) continue;
    const value = valueOf(RouteConfigurationSchema, patch);
    if (value === undefined) continue;
    mergeValue(RouteConfigurationSchema, patch, message, value);
    places.merged(message, patch);
  }
  const removed = new Set<string>();
  message.virtualHosts = message.virtualHosts.map((host) => {
    const patched = patchVirtualHost(host, patches, places);
    if (patched === undefined) removed.add(host.name);
    return patched ?? host;
  });
  for (const patch of patches) {
    if (patch.applyTo !== 'VIRTUAL_HOST' || patch.operation !== 'ADD') continue;
    const value = valueOf(VirtualHostSchema, patch);
    if (value === undefined) continue;
    message.virtualHosts.push(value);
    places.added(value, patch);
  }
  if (removed.size > 0) message.virtualHosts = message.virtualHosts.filter(({ name }) => !removed.has(name));
}

/** A configuration whose lists may be changed; its routes are those of the original, which nobody may change. */
function copyOf(message: RouteConfiguration): RouteConfiguration {
  const own = clone(RouteConfigurationSchema, { ...message, virtualHosts: [] });
  own.virtualHosts = message.virtualHosts.map((host) => {
    const ownHost = clone(VirtualHostSchema, { ...host, routes: [] });
    ownHost.routes = [...host.routes];
    return ownHost;
  });
  return own;
}

/** Paths of the configuration, its virtual hosts and their routes. */
export function routePaths(message: RouteConfiguration, prefix = ''): Map<object, string> {
  const paths = new Map<object, string>([[message, prefix]]);
  for (const [index, host] of message.virtualHosts.entries()) {
    const at = `${prefix === '' ? '' : `${prefix}.`}virtualHosts[${index}]`;
    paths.set(host, at);
    for (const [place, route] of host.routes.entries()) paths.set(route, `${at}.routes[${place}]`);
  }
  return paths;
}

/** Undefined: it is taken away. */
function patchVirtualHost(
  host: VirtualHost,
  patches: readonly EnvoyPatch[],
  places: Places,
): VirtualHost | undefined {
  let patched = host;
  for (const patch of patches) {
    if (patch.applyTo !== 'VIRTUAL_HOST' || !matchesVirtualHost(patched, patch)) continue;
    if (patch.operation === 'REMOVE') return undefined;
    const value = valueOf(VirtualHostSchema, patch);
    if (value === undefined) continue;
    if (isMerge(patch)) {
      mergeValue(VirtualHostSchema, patch, patched, value);
      places.merged(patched, patch);
    } else if (patch.operation === 'REPLACE') {
      patched = value;
      places.added(value, patch);
    }
  }
  patchHttpRoutes(patched, patches, places);
  return patched;
}

function patchHttpRoutes(host: VirtualHost, patches: readonly EnvoyPatch[], places: Places): void {
  const near = patches.filter((patch) => patch.applyTo === 'HTTP_ROUTE' && matchesVirtualHost(host, patch));
  if (near.length === 0) return;
  host.routes = host.routes.flatMap((route) => patchHttpRoute(route, near, places) ?? []);
  for (const patch of near) {
    const { operation } = patch;
    if (operation !== 'ADD' && !operation.startsWith('INSERT_')) continue;
    const isAimed = patch.match.routeConfiguration?.vhost?.route !== undefined;
    // First of all routes, if there is one that matches.
    if (operation === 'INSERT_FIRST' && isAimed && !host.routes.some((route) => matchesRoute(route, patch)))
      continue;
    editList(host.routes, {
      patch,
      isAimed,
      matches: (route) => matchesRoute(route, patch),
      make: () => {
        const value = valueOf(RouteSchema, patch);
        if (value !== undefined) places.added(value, patch);
        return value;
      },
    });
  }
}

/** Undefined: it is taken away. */
function patchHttpRoute(route: Route, patches: readonly EnvoyPatch[], places: Places): Route | undefined {
  let patched = route;
  for (const patch of patches) {
    if (!matchesRoute(patched, patch)) continue;
    if (patch.operation === 'REMOVE') return undefined;
    const value = isMerge(patch) ? valueOf(RouteSchema, patch) : undefined;
    if (value === undefined) continue;
    if (patched === route) {
      patched = clone(RouteSchema, route);
      places.moved(route, patched);
    }
    mergeValue(RouteSchema, patch, patched, value);
    places.merged(patched, patch);
  }
  return patched;
}

function matchesVirtualHost(host: VirtualHost, { match }: EnvoyPatch): boolean {
  const { name = '', domainName = '' } = match.routeConfiguration?.vhost ?? {};
  return (name === '' || name === host.name) && (domainName === '' || host.domains.includes(domainName));
}

const actions: Readonly<Record<string, Route['action']['case']>> = {
  ROUTE: 'route',
  REDIRECT: 'redirect',
  DIRECT_RESPONSE: 'directResponse',
};

function matchesRoute(route: Route, { match }: EnvoyPatch): boolean {
  const { name = '', action = 'ANY' } = match.routeConfiguration?.vhost?.route ?? {};
  if (name !== '' && name !== route.name) return false;
  return action === 'ANY' || actions[action] === route.action.case;
}
