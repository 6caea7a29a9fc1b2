// VirtualService -> the inputs of its routes for one kind of listener: everything that can be decided before
// requests come (port, gateway, source workload, clusters) is decided here.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { formatClusterName } from '../../model/cluster-name.ts';
import { resolveGatewayName } from '../../model/gateway-name.ts';
import { routeSemanticsOf } from '../../model/gateway-origin.ts';
import { resolveHost } from '../../model/hostname.ts';
import type { Service } from '../../model/service.ts';
import { labelsMatch } from '../../model/labels.ts';
import { destinationRuleFor } from '../destination-rule.ts';
import { layerPolicy } from '../layered-policy.ts';
import { remembered } from '../remembered.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import { unknownCluster } from './action.ts';
import { consistentHashOf } from './hash-policy.ts';
import { isCatchAll } from './match.ts';
import type {
  ConsistentHash,
  Destination,
  HttpMatch,
  HttpRetry,
  HttpRule,
  RuleRouteInput,
} from './route-input.ts';

/** The listener for which routes are made. */
export interface RuleContext {
  /** `mesh`, or `namespace/name` of a Gateway. */
  readonly gateway: string;
  readonly listenPort: number;
  readonly tls: boolean;
  /** The service that a destination names, as the proxy sees it. */
  readonly serviceOf: (hostname: string) => Service | undefined;
}

/**
 * One input per rule and match that applies to this proxy and listener, in the user's order, up to the
 * first that everything meets. Unchanged rules yield the same objects again.
 */
export function ruleRoutes(
  world: World,
  scope: ProxyScope,
  config: VirtualServiceConfig,
  context: RuleContext,
): readonly RuleRouteInput[] {
  const chosen = chooseRules(config, scope, context);
  if (chosen.length === 0) return [];
  const resolve = (destination: Destination | undefined): Resolved =>
    resolveDestination(world, scope, config, destination, context);
  const resolved = new Map<HttpRule, ResolvedRule>();
  for (const { rule } of chosen) {
    if (resolved.has(rule)) continue;
    resolved.set(rule, {
      routes: (rule.route ?? []).map((route) => resolve(route.destination)),
      mirrors: mirrorDestinations(rule).map((mirror) => resolve(mirror).cluster),
    });
  }
  const { defaultHttpRetryPolicy } = world.meshConfig();
  const key = `${memoKey(chosen, resolved, context)}${JSON.stringify(defaultHttpRetryPolicy ?? null)}`;
  return remembered(memory, config, key, () =>
    chosen.map((choice) =>
      routeInput(config, choice, resolved.get(choice.rule), context, defaultHttpRetryPolicy),
    ),
  );
}

/** Hostnames that the VirtualService names, lower case and complete, in its order. */
export function virtualServiceHosts(config: VirtualServiceConfig, domainSuffix: string): readonly string[] {
  const known = hostsByConfig.get(config);
  if (known?.domainSuffix === domainSuffix) return known.hosts;
  const hosts = (config.spec.hosts ?? []).map((host) => resolveHost(host, config.namespace, domainSuffix));
  hostsByConfig.set(config, { domainSuffix, hosts });
  return hosts;
}

// Only memory: asked for by every port of every proxy.
const hostsByConfig = new WeakMap<
  VirtualServiceConfig,
  { readonly domainSuffix: string; readonly hosts: readonly string[] }
>();

interface ChosenRule {
  readonly rule: HttpRule;
  readonly ruleIndex: number;
  /** Absent where the rule has no match. */
  readonly matchIndex?: number;
  readonly match?: HttpMatch;
}

interface Resolved {
  readonly cluster: string;
  readonly hash: ConsistentHash | null;
}

interface ResolvedRule {
  readonly routes: readonly Resolved[];
  readonly mirrors: readonly string[];
}

function chooseRules(
  config: VirtualServiceConfig,
  scope: ProxyScope,
  context: RuleContext,
): readonly ChosenRule[] {
  const chosen: ChosenRule[] = [];
  for (const [ruleIndex, rule] of (config.spec.http ?? []).entries()) {
    // The World has put the delegate's rules in its place, where there are any.
    if (rule.delegate !== undefined) continue;
    const matches = rule.match ?? [];
    if (matches.length === 0) {
      chosen.push({ rule, ruleIndex });
      return chosen;
    }
    for (const [matchIndex, match] of matches.entries()) {
      if (!applies(match, config.namespace, scope, context)) continue;
      chosen.push({ rule, ruleIndex, match, matchIndex });
      if (isCatchAll(match)) return chosen;
    }
  }
  return chosen;
}

/**
 * Where a match names gateways they alone decide, labels and namespace do not count.
 * Source: Istio `sourceMatchHTTP`.
 */
function applies(match: HttpMatch, namespace: string, scope: ProxyScope, context: RuleContext): boolean {
  const port = match.port ?? 0;
  if (port !== 0 && port !== context.listenPort) return false;
  const gateways = match.gateways ?? [];
  if (gateways.length > 0)
    return gateways.some((name) => resolveGatewayName(name, namespace) === context.gateway);
  if (!labelsMatch(match.sourceLabels ?? {}, scope.node.labels)) return false;
  const sourceNamespace = match.sourceNamespace ?? '';
  return sourceNamespace === '' || sourceNamespace === scope.node.namespace;
}

function mirrorDestinations(rule: HttpRule): readonly (Destination | undefined)[] {
  return [
    ...(rule.mirror === undefined ? [] : [rule.mirror]),
    ...(rule.mirrors ?? []).map((mirror) => mirror.destination),
  ];
}

/**
 * Without a port: the service's only one, else that of the listener. The cluster may not exist; requests
 * then get 503 NC. An alias stands for its target. Source: Istio `GetDestinationCluster`.
 */
function resolveDestination(
  world: World,
  scope: ProxyScope,
  config: VirtualServiceConfig,
  destination: Destination | undefined,
  context: RuleContext,
): Resolved {
  if (destination?.host === undefined || destination.host === '')
    return { cluster: unknownCluster, hash: null };
  const named = hostOf(destination, destination.host, config.namespace, world.meshConfig().domainSuffix);
  const service = context.serviceOf(named);
  const only = service?.ports.length === 1 ? service.ports[0]?.servicePort : undefined;
  const servicePort = destination.port?.number ?? only ?? context.listenPort;
  const hostname = service?.aliasOf ?? named;
  const subset = destination.subset ?? '';
  return {
    cluster: formatClusterName({ direction: 'outbound', servicePort, subset, hostname }),
    hash: hashOf(world, scope, hostname, servicePort, subset),
  };
}

// Only memory: a destination belongs to one object, and the mesh's domain hardly ever changes.
const destinationHosts = new WeakMap<
  Destination,
  { readonly domainSuffix: string; readonly hostname: string }
>();

function hostOf(destination: Destination, host: string, namespace: string, domainSuffix: string): string {
  const known = destinationHosts.get(destination);
  if (known?.domainSuffix === domainSuffix) return known.hostname;
  const hostname = resolveHost(host, namespace, domainSuffix);
  destinationHosts.set(destination, { domainSuffix, hostname });
  return hostname;
}

function hashOf(
  world: World,
  scope: ProxyScope,
  hostname: string,
  servicePort: number,
  subset: string,
): ConsistentHash | null {
  const rule = destinationRuleFor(world, scope, hostname);
  if (rule === undefined) return null;
  const named = rule.subsets.find(({ name }) => name === subset);
  return consistentHashOf(layerPolicy(rule, servicePort, named).policy.loadBalancer);
}

function routeInput(
  config: VirtualServiceConfig,
  { rule, ruleIndex, match, matchIndex }: ChosenRule,
  resolved: ResolvedRule | undefined,
  context: RuleContext,
  defaultRetries: HttpRetry | undefined,
): RuleRouteInput {
  const { version, namespace, name } = config;
  const semantics = routeSemanticsOf(config);
  const matchPath = matchIndex === undefined ? [] : ['match', matchIndex];
  return {
    kind: 'rule',
    rule,
    ...(match === undefined ? {} : { match }),
    virtualService: { kind: 'VirtualService', version, namespace, name },
    ...(semantics === undefined ? {} : { semantics }),
    origin: originOf(config, 'spec', 'http', ruleIndex, ...matchPath),
    ruleOrigin: originOf(config, 'spec', 'http', ruleIndex),
    clusters: (resolved?.routes ?? []).map(({ cluster }) => cluster),
    hashes: (resolved?.routes ?? []).map(({ hash }) => hash),
    ...(rule.retries !== undefined || defaultRetries === undefined ? {} : { defaultRetries }),
    mirrorClusters: resolved?.mirrors ?? [],
    listenPort: context.listenPort,
    tls: context.tls,
  };
}

/** Everything that the inputs depend on beside the VirtualService itself. */
function memoKey(
  chosen: readonly ChosenRule[],
  resolved: ReadonlyMap<HttpRule, ResolvedRule>,
  context: RuleContext,
): string {
  const parts = [`${context.listenPort}${context.tls ? ' tls' : ''}`];
  for (const { ruleIndex, matchIndex } of chosen) parts.push(`${ruleIndex}.${matchIndex ?? ''}`);
  for (const { routes, mirrors } of resolved.values()) {
    for (const { cluster, hash } of routes) parts.push(cluster, hash === null ? '' : JSON.stringify(hash));
    parts.push(...mirrors);
  }
  return parts.join('\n');
}

// Only memory: see remembered.ts.
const memory = new WeakMap<VirtualServiceConfig, Map<string, readonly RuleRouteInput[]>>();
