// YAML in, what one proxy would get out: for tests that look at a few fields of it.
import type { JsonObject } from '@bufbuild/protobuf';
import { messageToJson } from '../../src/api/any.ts';
import type { MeshConfig } from '../../src/config/mesh-config.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { formatFieldPath } from '../../src/model/origin.ts';
import type { Provenance, ProxyScope } from '../../src/translate/resource.ts';
import { listeners, routes } from '../../src/translate/index.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import type { World } from '../../src/translate/world.ts';
import { proxyNode, worldOfYaml } from './world.ts';

export interface Surroundings {
  readonly proxy?: Partial<ProxyNode>;
  readonly mesh?: Partial<MeshConfig>;
}

/** An ingress gateway's pod. */
export const gatewayPod: Partial<ProxyNode> = {
  type: 'router',
  namespace: 'istio-system',
  labels: { istio: 'ingressgateway' },
};

export function worldAndScope(
  yaml: string,
  { proxy, mesh }: Surroundings = {},
): { readonly world: World; readonly scope: ProxyScope } {
  const world = worldOfYaml(yaml, mesh);
  return { world, scope: proxyScope(world, proxyNode(proxy)) };
}

/** The RouteConfiguration of that name, as proto3 JSON. */
export function routesOf(yaml: string, name: string, surroundings?: Surroundings): JsonObject {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const input = routes.input(world, scope, name);
  if (input === undefined) throw new Error(`no routes ${name}`);
  return messageToJson(routes.schema, routes.build(input).message) as JsonObject;
}

/** Virtual host name -> its domains. */
export function domainsOf(configuration: JsonObject): Record<string, readonly string[]> {
  return Object.fromEntries(virtualHosts(configuration).map(({ name, domains = [] }) => [name, domains]));
}

/** Virtual host name -> one line per route: `<what is matched> <where it goes>`. */
export function routeLines(configuration: JsonObject): Record<string, readonly string[]> {
  return Object.fromEntries(
    virtualHosts(configuration).map(({ name, routes: all = [] }) => [name, all.map(routeLine)]),
  );
}

/** All listeners by name, as proto3 JSON. */
export function listenersOf(yaml: string, surroundings?: Surroundings): Record<string, JsonObject> {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const entries = listeners.names(world, scope).map((name) => {
    const input = listeners.input(world, scope, name);
    if (input === undefined) throw new Error(`no listener ${name}`);
    return [name, messageToJson(listeners.schema, listeners.build(input).message) as JsonObject] as const;
  });
  return Object.fromEntries(entries);
}

/** One line per chain: `<match> -> <routes or clusters>`; the default chain last. */
export function chainLines(listener: JsonObject | undefined): readonly string[] {
  const { filterChains = [], defaultFilterChain: last } = (listener ?? {}) as unknown as ListenerJson;
  return [
    ...filterChains.map((chain) => `${matchLine(chain.filterChainMatch)} -> ${filterLine(chain)}`),
    ...(last === undefined ? [] : [`default -> ${filterLine(last)}`]),
  ];
}

/** `virtualHosts[0] <- VirtualService default/reviews spec.hosts[0]` */
export function sourceLines(provenance: readonly Provenance[]): readonly string[] {
  return provenance.map(({ at, origin }) =>
    `${at} <- ${origin.kind} ${origin.namespace}/${origin.name} ${formatFieldPath(origin.fieldPath)}`.trim(),
  );
}

// Only what is looked at here, as proto3 JSON has it.

interface WeightedJson {
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
}

interface RouteJson {
  readonly match: {
    readonly path?: string;
    readonly prefix?: string;
    readonly safeRegex?: { readonly regex: string };
    readonly headers?: readonly { readonly name: string }[];
  };
  readonly route?: { readonly cluster?: string; readonly weightedClusters?: WeightedJson };
  readonly redirect?: unknown;
  readonly directResponse?: unknown;
}

interface VirtualHostJson {
  readonly name: string;
  readonly domains?: readonly string[];
  readonly routes?: readonly RouteJson[];
}

interface ChainJson {
  readonly filterChainMatch?: {
    readonly destinationPort?: number;
    readonly prefixRanges?: readonly { readonly addressPrefix: string; readonly prefixLen: number }[];
    readonly serverNames?: readonly string[];
    readonly transportProtocol?: string;
    readonly applicationProtocols?: readonly string[];
  };
  readonly filters: readonly {
    readonly typedConfig: {
      readonly rds?: { readonly routeConfigName: string };
      readonly routeConfig?: { readonly name: string };
      readonly cluster?: string;
      readonly weightedClusters?: WeightedJson;
    };
  }[];
}

interface ListenerJson {
  readonly filterChains?: readonly ChainJson[];
  readonly defaultFilterChain?: ChainJson;
}

function virtualHosts(configuration: JsonObject): readonly VirtualHostJson[] {
  return (configuration['virtualHosts'] ?? []) as unknown as readonly VirtualHostJson[];
}

function routeLine(route: RouteJson): string {
  const { path, prefix, safeRegex, headers = [] } = route.match;
  const uri = path ?? (prefix === undefined ? `~${safeRegex?.regex ?? ''}` : `${prefix}*`);
  const target =
    route.route === undefined
      ? JSON.stringify(route.redirect ?? route.directResponse)
      : clustersLine(route.route);
  return [uri, ...headers.map(({ name }) => name), target].join(' ');
}

function clustersLine(target: {
  readonly cluster?: string;
  readonly weightedClusters?: WeightedJson;
}): string {
  const shares = target.weightedClusters?.clusters.map(({ name, weight }) => `${name}=${weight}`);
  return shares?.join(' ') ?? target.cluster ?? '';
}

function matchLine(match: ChainJson['filterChainMatch'] = {}): string {
  const { destinationPort, prefixRanges = [], serverNames = [] } = match;
  const { transportProtocol = '', applicationProtocols = [] } = match;
  const parts = [
    destinationPort === undefined ? '' : `:${destinationPort}`,
    ...prefixRanges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`),
    ...serverNames,
    transportProtocol,
    applicationProtocols.join('+'),
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'any' : parts.join(' ');
}

function filterLine({ filters }: ChainJson): string {
  const config = filters[0]?.typedConfig ?? {};
  if (config.rds !== undefined) return `routes ${config.rds.routeConfigName}`;
  if (config.routeConfig !== undefined) return `inline ${config.routeConfig.name}`;
  return clustersLine(config);
}
