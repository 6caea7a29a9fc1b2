// HTTPMatchRequest -> RouteMatch. What cannot be asked at run time (port, gateways, source) is asked before, in rules.ts.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { RouteMatch } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RouteMatchSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { StringMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';
import type { MetadataMatcherInit } from './claims.ts';
import { claimMatcher, routingClaim } from './claims.ts';
import type { HttpMatch, StringMatch } from './route-input.ts';

type StringMatcherInit = MessageInitShape<typeof StringMatcherSchema>;
type HeaderMatcherInit = MessageInitShape<typeof HeaderMatcherSchema>;

/**
 * The match of a rule; everything below `/` where the rule has none. `wholeSegments`: a prefix ends at a slash
 * of the path or at its end, as Kubernetes means it.
 */
export function buildRouteMatch(match: HttpMatch | undefined, wholeSegments = false): RouteMatch {
  if (match === undefined) return create(RouteMatchSchema, { pathSpecifier: { case: 'prefix', value: '/' } });
  const wanted = Object.entries(match.headers ?? {});
  const unwanted = Object.entries(match.withoutHeaders ?? {});
  const named = [
    ...wanted.flatMap(([name, value]) => (isClaim(name) ? [] : [headerMatcher(name, value)])),
    ...unwanted.flatMap(([name, value]) => (isClaim(name) ? [] : [absentHeaderMatcher(name, value)])),
  ].sort((a, b) => compare(a.name ?? '', b.name ?? ''));
  return create(RouteMatchSchema, {
    pathSpecifier: pathSpecifierOf(match.uri, wholeSegments),
    caseSensitive: match.ignoreUriCase !== true,
    headers: [
      ...named,
      ...(match.method === undefined ? [] : [headerMatcher(':method', match.method)]),
      ...(match.authority === undefined ? [] : [headerMatcher(':authority', match.authority)]),
      ...(match.scheme === undefined ? [] : [headerMatcher(':scheme', match.scheme)]),
    ],
    dynamicMetadata: [
      ...claimMatchers(wanted),
      ...claimMatchers(unwanted).map((matcher) => ({ ...matcher, invert: true })),
    ],
    queryParameters: Object.entries(match.queryParams ?? {})
      .sort(([a], [b]) => compare(a, b))
      .map(([name, value]) => queryMatcher(name, value)),
  });
}

/**
 * Whether nothing that comes after this match can be reached: `/` or `.*` without further conditions.
 * Source: Istio `IsCatchAllRoute`.
 */
export function isCatchAll(match: HttpMatch | undefined): boolean {
  if (match === undefined) return true;
  const { uri } = match;
  const anyPath =
    uri === undefined ||
    (uri.exact === undefined && uri.prefix === undefined && uri.regex === undefined) ||
    uri.prefix === '/' ||
    uri.regex === '.*';
  return (
    anyPath &&
    isEmpty(match.headers) &&
    isEmpty(match.withoutHeaders) &&
    isEmpty(match.queryParams) &&
    match.method === undefined &&
    match.authority === undefined &&
    match.scheme === undefined
  );
}

/** How spans name the path of a match: `/api*`, `/login`, the regex itself. */
export function pathPattern(match: HttpMatch | undefined): string {
  const uri = match?.uri;
  if (uri?.exact !== undefined) return uri.exact;
  if (uri?.prefix !== undefined) return `${uri.prefix}*`;
  return uri?.regex ?? '/*';
}

/** The matcher of a StringMatch; undefined where any value will do (nothing, `{}`, and `*` written as a regex). */
export function stringMatcher(match: StringMatch | null): StringMatcherInit | undefined {
  if (match === null) return undefined;
  if (match.exact !== undefined) return { matchPattern: { case: 'exact', value: match.exact } };
  // Envoy refuses an empty prefix; every value starts with it.
  if (match.prefix !== undefined) {
    return match.prefix === '' ? undefined : { matchPattern: { case: 'prefix', value: match.prefix } };
  }
  if (match.regex === undefined || match.regex === '*') return undefined;
  return { matchPattern: { case: 'safeRegex', value: { regex: match.regex } } };
}

function headerMatcher(name: string, match: StringMatch): HeaderMatcherInit {
  const value = stringMatcher(match);
  return value === undefined
    ? { name, headerMatchSpecifier: { case: 'presentMatch', value: true } }
    : { name, headerMatchSpecifier: { case: 'stringMatch', value } };
}

/** An absent header counts as an empty value, but where only presence is asked. */
function absentHeaderMatcher(name: string, match: StringMatch): HeaderMatcherInit {
  return {
    ...headerMatcher(name, match),
    invertMatch: true,
    treatMissingHeaderAsEmpty: stringMatcher(match) !== undefined,
  };
}

/** Sorted by name, for the order of a map says nothing. */
function claimMatchers(entries: readonly (readonly [string, StringMatch])[]): MetadataMatcherInit[] {
  return [...entries]
    .sort(([a], [b]) => compare(a, b))
    .flatMap(([name, value]) => {
      const claim = routingClaim(name);
      return claim === undefined ? [] : [claimMatcher(claim, stringMatcher(value))];
    });
}

function isClaim(name: string): boolean {
  return routingClaim(name) !== undefined;
}

function queryMatcher(
  name: string,
  match: StringMatch,
): MessageInitShape<typeof QueryParameterMatcherSchema> {
  const value = stringMatcher(match);
  return value === undefined
    ? { name, queryParameterMatchSpecifier: { case: 'presentMatch', value: true } }
    : { name, queryParameterMatchSpecifier: { case: 'stringMatch', value } };
}

function pathSpecifierOf(
  uri: StringMatch | undefined,
  wholeSegments: boolean,
): NonNullable<MessageInitShape<typeof RouteMatchSchema>['pathSpecifier']> {
  if (uri?.exact !== undefined) return { case: 'path', value: uri.exact };
  if (uri?.prefix !== undefined && wholeSegments && uri.prefix !== '/')
    return { case: 'pathSeparatedPrefix', value: uri.prefix.replace(/\/$/, '') };
  if (uri?.prefix !== undefined) return { case: 'prefix', value: uri.prefix };
  if (uri?.regex !== undefined) return { case: 'safeRegex', value: { regex: uri.regex } };
  return { case: 'prefix', value: '/' };
}

function isEmpty(record: Readonly<Record<string, unknown>> | undefined): boolean {
  return record === undefined || Object.keys(record).length === 0;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
