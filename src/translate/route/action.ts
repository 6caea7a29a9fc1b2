// What a rule does with a request: forward, redirect, or answer itself.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type {
  DirectResponseAction,
  RedirectAction,
  RouteAction,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import {
  DirectResponseActionSchema,
  RedirectAction_RedirectResponseCode,
  RedirectActionSchema,
  RouteAction_ClusterNotFoundResponseCode,
  RouteActionSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { durationOf, percentOf, runtimePercent, wholePercentOf } from '../proto-values.ts';
import type { RuntimeFractionalPercent } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { hashPolicies } from './hash-policy.ts';
import { authorityOf, headerOperations } from './headers.ts';
import { buildRetryPolicy } from './retry.ts';
import type { HttpRedirect, HttpRule, RuleRouteInput } from './route-input.ts';

type RouteActionInit = MessageInitShape<typeof RouteActionSchema>;

/** The cluster of a rule that names no destination: it never exists, so that requests get 503 NC. */
export const unknownCluster = 'UnknownService';

/** A destination that takes part: those of weight 0 do not where there are several. */
export interface Share {
  /** Its place in `rule.route`. */
  readonly index: number;
  readonly cluster: string;
  readonly weight: number;
}

export function sharesOf(input: RuleRouteInput): readonly Share[] {
  const routes = input.rule.route ?? [];
  const all = routes.map((route, index) => ({
    index,
    cluster: input.clusters[index] ?? unknownCluster,
    weight: route.weight ?? 0,
  }));
  return all.length === 1 ? all : all.filter((share) => share.weight > 0);
}

/**
 * Forwards. Without a timeout requests may last for ever, gRPC's own deadlines included; Envoy's default
 * would be 15 seconds. Source: Istio VirtualService reference, "HTTPRoute".
 */
export function buildRouteAction(input: RuleRouteInput): RouteAction {
  const { rule } = input;
  const timeout = durationOf(rule.timeout) ?? durationOf('0s');
  const shares = sharesOf(input);
  const hashPolicy = hashPolicies(shares.map(({ index }) => input.hashes[index] ?? null));
  const retryPolicy = buildRetryPolicy(
    rule.retries ?? input.defaultRetries,
    (rule.route ?? []).length === 1 && hashPolicy.length > 0,
  );
  const authority = hostRewriteOf(rule);
  return create(RouteActionSchema, {
    ...(input.semantics === 'gateway' ? gatewayApiAction(input) : rewriteOf(rule.rewrite)),
    ...(timeout === undefined ? {} : { timeout, maxGrpcTimeout: timeout }),
    ...(retryPolicy === undefined ? {} : { retryPolicy }),
    ...(authority === '' ? {} : { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: authority } }),
    clusterSpecifier: clusterSpecifierOf(rule, shares),
    requestMirrorPolicies: mirrorsOf(input),
    hashPolicy,
  });
}

/**
 * Redirects. `derivePort: FROM_REQUEST_PORT` is the port of the listener that the route is made for; the
 * scheme's own port is left out. Source: Istio VirtualService reference, "HTTPRedirect".
 */
export function buildRedirect(redirect: HttpRedirect, listenPort: number, tls: boolean): RedirectAction {
  const scheme = redirect.scheme ?? '';
  const written = redirect.derivePort === 'FROM_REQUEST_PORT' ? listenPort : (redirect.port ?? 0);
  const usualPort = (scheme || (tls ? 'https' : 'http')) === 'https' ? 443 : 80;
  return create(RedirectActionSchema, {
    hostRedirect: redirect.authority ?? '',
    portRedirect: written === usualPort ? 0 : written,
    responseCode:
      redirectCodes[redirect.redirectCode ?? 301] ?? RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY,
    ...pathRewriteOf(redirect),
    ...(scheme === '' ? {} : { schemeRewriteSpecifier: { case: 'schemeRedirect', value: scheme } }),
  });
}

/** The prefix that was matched, or the whole path. */
function pathRewriteOf({
  uri = '',
  prefixRewrite = '',
}: HttpRedirect): Pick<MessageInitShape<typeof RedirectActionSchema>, 'pathRewriteSpecifier'> {
  if (prefixRewrite !== '') return { pathRewriteSpecifier: { case: 'prefixRewrite', value: prefixRewrite } };
  return uri === '' ? {} : { pathRewriteSpecifier: { case: 'pathRedirect', value: uri } };
}

const redirectCodes: Readonly<Record<number, RedirectAction_RedirectResponseCode>> = {
  301: RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY,
  302: RedirectAction_RedirectResponseCode.FOUND,
  303: RedirectAction_RedirectResponseCode.SEE_OTHER,
  307: RedirectAction_RedirectResponseCode.TEMPORARY_REDIRECT,
  308: RedirectAction_RedirectResponseCode.PERMANENT_REDIRECT,
};

export function buildDirectResponse(response: NonNullable<HttpRule['directResponse']>): DirectResponseAction {
  const { status, body } = response;
  return create(DirectResponseActionSchema, {
    status: status ?? 0,
    ...(body?.string === undefined
      ? {}
      : { body: { specifier: { case: 'inlineString', value: body.string } } }),
    ...(body?.bytes === undefined
      ? {}
      : { body: { specifier: { case: 'inlineBytes', value: Buffer.from(body.bytes, 'base64') } } }),
  });
}

function clusterSpecifierOf(
  rule: HttpRule,
  shares: readonly Share[],
): NonNullable<RouteActionInit['clusterSpecifier']> {
  const only = shares[0];
  if (only === undefined) return { case: 'cluster', value: unknownCluster };
  if ((rule.route ?? []).length === 1) return { case: 'cluster', value: only.cluster };
  const clusters = shares.map(({ index, cluster, weight }) => {
    const headers = rule.route?.[index]?.headers;
    const authority = authorityOf(headers);
    return {
      ...headerOperations(headers),
      ...(authority === ''
        ? {}
        : { hostRewriteSpecifier: { case: 'hostRewriteLiteral' as const, value: authority } }),
      name: cluster,
      weight,
    };
  });
  return { case: 'weightedClusters', value: { clusters } };
}

/**
 * The rewrite's authority, else the rule's own `host` header, else that of an only destination (several
 * destinations have theirs in the weighted cluster).
 */
function hostRewriteOf(rule: HttpRule): string {
  const rewritten = rule.rewrite?.authority ?? '';
  if (rewritten !== '') return rewritten;
  const ofRule = authorityOf(rule.headers);
  if (ofRule !== '' || (rule.route ?? []).length !== 1) return ofRule;
  return authorityOf(rule.route?.[0]?.headers);
}

/**
 * A backend that does not exist is answered with 500, and the prefix `/` in place of a longer one takes that
 * one away together with the slash behind it. Source: Gateway API, "HTTPBackendRef" and "HTTPPathModifier".
 */
function gatewayApiAction({ rule, match }: RuleRouteInput): RouteActionInit {
  const prefix = (match?.uri?.prefix ?? '').replace(/\/$/, '');
  const takesAway = rule.rewrite?.uri === '/' && rule.rewrite.uriRegexRewrite === undefined;
  return {
    clusterNotFoundResponseCode: RouteAction_ClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR,
    ...(takesAway
      ? {
          regexRewrite: {
            pattern: { regex: `^${prefix.replaceAll(/[\\.+*?()|[\]{}^$]/g, '\\$&')}(/?)(.*)` },
            substitution: '/\\2',
          },
        }
      : rewriteOf(rule.rewrite)),
  };
}

/** Envoy replaces what was matched: the prefix, or with an exact or regex match the whole path. */
function rewriteOf(
  rewrite: HttpRule['rewrite'],
): { prefixRewrite: string } | { regexRewrite: { pattern: { regex: string }; substitution: string } } {
  const regex = rewrite?.uriRegexRewrite;
  if (regex !== undefined) {
    return {
      regexRewrite: { pattern: { regex: regex.match ?? '' }, substitution: regex.rewrite ?? '' },
    };
  }
  return { prefixRewrite: rewrite?.uri ?? '' };
}

function mirrorsOf(input: RuleRouteInput): NonNullable<RouteActionInit['requestMirrorPolicies']> {
  const { rule, mirrorClusters } = input;
  const legacy = rule.mirror === undefined ? [] : [legacyMirrorPercent(rule)];
  const percents = [
    ...legacy,
    ...(rule.mirrors ?? []).map(({ percentage }) =>
      mirrorPercent(percentage === undefined ? undefined : (percentage.value ?? 0)),
    ),
  ];
  return percents.flatMap((runtimeFraction, index) => {
    const cluster = mirrorClusters[index];
    if (runtimeFraction === undefined || cluster === undefined) return [];
    // The mirrored request keeps its host: Envoy would add `-shadow`.
    return [{ cluster, runtimeFraction, traceSampled: false, disableShadowHostSuffixAppend: true }];
  });
}

function legacyMirrorPercent(rule: HttpRule): RuntimeFractionalPercent | undefined {
  if (rule.mirrorPercentage !== undefined) return mirrorPercent(rule.mirrorPercentage.value ?? 0);
  const whole = rule.mirrorPercent ?? rule.mirror_percent ?? 100;
  return whole > 0 ? runtimePercent(wholePercentOf(whole)) : undefined;
}

/** Everything where nothing is written; undefined: nothing. */
function mirrorPercent(value: number | undefined): RuntimeFractionalPercent | undefined {
  if (value === undefined) return runtimePercent(wholePercentOf(100));
  return value > 0 ? runtimePercent(percentOf(value)) : undefined;
}
