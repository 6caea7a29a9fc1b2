// RouteInput -> Route, and where its parts came from.
import { create } from '@bufbuild/protobuf';
import type { Route } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { passthroughCluster, parseClusterName } from '../../model/cluster-name.ts';
import type { Origin } from '../../model/origin.ts';
import { originAt } from '../../model/origin.ts';
import { configMetadata, durationOf } from '../proto-values.ts';
import { hostAndPort } from './domains.ts';
import { buildDirectResponse, buildRedirect, buildRouteAction, sharesOf } from './action.ts';
import { perFilterConfig } from './filters.ts';
import { hashPolicies } from './hash-policy.ts';
import { headerOperations } from './headers.ts';
import { buildRouteMatch, pathPattern } from './match.ts';
import { buildRetryPolicy } from './retry.ts';
import type { CatchAllRouteInput, RouteInput, RuleRouteInput, ServiceRouteInput } from './route-input.ts';

/** Name of routes that no VirtualService made. */
export const defaultRouteName = 'default';

/** A part of a route and its source; `at` is relative to the route, empty for all of it. */
export interface RoutePartOrigin {
  readonly at: string;
  readonly origin: Origin;
}

// A route depends on its input alone, and inputs of unchanged rules stay the same objects: after an edit only
// the edited rules are built again.
const built = new WeakMap<RouteInput, Route>();

/** The same message for the same input: nobody may change it. */
export function buildRoute(input: RouteInput): Route {
  const known = built.get(input);
  if (known !== undefined) return known;
  const route = makeRoute(input);
  built.set(input, route);
  return route;
}

/** The match and rule of a route, and the destination behind each weighted cluster. */
export function routeOrigins(input: RouteInput): readonly RoutePartOrigin[] {
  switch (input.kind) {
    case 'catch-all':
      return [];
    case 'service':
      return [{ at: '', origin: input.origin }];
    case 'rule': {
      // A delegate's rule may have its match from the root, which stands elsewhere.
      const { origin, ruleOrigin } = input;
      const isApart = origin.name !== ruleOrigin.name || origin.namespace !== ruleOrigin.namespace;
      const route = isApart
        ? [
            { at: '', origin: ruleOrigin },
            { at: 'match', origin },
          ]
        : [{ at: '', origin }];
      if (input.rule.redirect !== undefined || input.rule.directResponse !== undefined) return route;
      if ((input.rule.route ?? []).length < 2) return route;
      const clusters = sharesOf(input).map(({ index }, place) => ({
        at: `route.weightedClusters.clusters[${place}]`,
        origin: originAt(input.ruleOrigin, 'route', index),
      }));
      return [...route, ...clusters];
    }
    default:
      return input satisfies never;
  }
}

function makeRoute(input: RouteInput): Route {
  switch (input.kind) {
    case 'rule':
      return ruleRoute(input);
    case 'service':
      return serviceRoute(input);
    case 'catch-all':
      return catchAllRoute(input);
    default:
      return input satisfies never;
  }
}

function ruleRoute(input: RuleRouteInput): Route {
  const { rule, match, virtualService } = input;
  const operations = headerOperations(rule.headers);
  const only = isForwarding(rule) && rule.route?.length === 1 ? rule.route[0]?.headers : undefined;
  const onlyOperations = headerOperations(only);
  return create(RouteSchema, {
    name: routeName(input),
    match: buildRouteMatch(match, input.semantics !== undefined),
    action: actionOf(input),
    metadata: configMetadata(virtualService),
    decorator: { operation: operationOf(input) },
    typedPerFilterConfig: perFilterConfig(rule),
    requestHeadersToAdd: [...operations.requestHeadersToAdd, ...onlyOperations.requestHeadersToAdd],
    requestHeadersToRemove: [...operations.requestHeadersToRemove, ...onlyOperations.requestHeadersToRemove],
    responseHeadersToAdd: [...operations.responseHeadersToAdd, ...onlyOperations.responseHeadersToAdd],
    responseHeadersToRemove: [
      ...operations.responseHeadersToRemove,
      ...onlyOperations.responseHeadersToRemove,
    ],
    statPrefix: match?.statPrefix ?? '',
  });
}

function isForwarding(rule: RuleRouteInput['rule']): boolean {
  return rule.redirect === undefined && rule.directResponse === undefined;
}

/** `rule`, or `rule.match` where the match has a name. */
function routeName({ rule, match }: RuleRouteInput): string {
  const name = rule.name ?? '';
  return match?.name === undefined || match.name === '' ? name : `${name}.${match.name}`;
}

function actionOf(input: RuleRouteInput): Route['action'] {
  const { redirect, directResponse } = input.rule;
  if (redirect !== undefined)
    return { case: 'redirect', value: buildRedirect(redirect, input.listenPort, input.tls) };
  if (directResponse !== undefined)
    return { case: 'directResponse', value: buildDirectResponse(directResponse) };
  return { case: 'route', value: buildRouteAction(input) };
}

/**
 * How spans of this route are named: by the destination where there is one, else by the VirtualService.
 * Source: Istio `GetRouteOperation`.
 */
function operationOf(input: RuleRouteInput): string {
  const isWhole = input.semantics !== undefined && ![undefined, '/'].includes(input.match?.uri?.prefix);
  const path = isWhole ? '/*' : pathPattern(input.match);
  if (isForwarding(input.rule) && input.rule.route?.length === 1) {
    const cluster = parseClusterName(input.clusters[0] ?? '');
    if (cluster !== undefined) return `${cluster.hostname}:${cluster.servicePort}${path}`;
  }
  return `${input.virtualService.name}:${input.listenPort}${path}`;
}

function serviceRoute(input: ServiceRouteInput): Route {
  const noTimeout = durationOf('0s');
  const hashPolicy = hashPolicies([input.hash]);
  const retryPolicy = buildRetryPolicy(input.defaultRetries, false);
  return create(RouteSchema, {
    name: defaultRouteName,
    match: buildRouteMatch(undefined),
    decorator: { operation: input.operation },
    action: {
      case: 'route',
      value: {
        clusterSpecifier: { case: 'cluster', value: input.cluster },
        ...(noTimeout === undefined ? {} : { timeout: noTimeout, maxGrpcTimeout: noTimeout }),
        ...(retryPolicy === undefined ? {} : { retryPolicy }),
        hashPolicy,
      },
    },
  });
}

function catchAllRoute(input: CatchAllRouteInput): Route {
  const match = { pathSpecifier: { case: 'prefix' as const, value: '/' } };
  if (input.to === 'nowhere' || input.to === 'no-destination') {
    const told = input.to === 'no-destination';
    return create(RouteSchema, {
      name: 'block_all',
      match,
      action: {
        case: 'directResponse',
        value: {
          status: 502,
          ...(told ? { body: { specifier: { case: 'inlineString', value: noDestinationText } } } : {}),
        },
      },
    });
  }
  const noTimeout = durationOf('0s');
  return create(RouteSchema, {
    name: input.to === 'looked-up-name' ? 'allow_any_dynamic_dns' : 'allow_any',
    match,
    action: {
      case: 'route',
      value: {
        clusterSpecifier: { case: 'cluster', value: input.cluster ?? passthroughCluster },
        ...(noTimeout === undefined ? {} : { timeout: noTimeout, maxGrpcTimeout: noTimeout }),
      },
    },
  });
}

const noDestinationText =
  'no service of the mesh has this host, and the HTTP proxy listener reaches no other: add a ServiceEntry for it\n';

/** Name of the spans of a service's own route. */
export function serviceOperation(hostname: string, servicePort: number): string {
  return `${hostAndPort(hostname, servicePort)}/*`;
}
