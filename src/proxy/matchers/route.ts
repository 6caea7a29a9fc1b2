// envoy.config.route.v3.RouteMatch as a predicate.
import type { RouteMatch } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteMatchSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { ConfigError } from '../config-error.ts';
import { refuseFields } from '../refuse-fields.ts';
import { runtimeFractionOf } from './fraction.ts';
import { compileHeaderMatcher } from './header.ts';
import type { MatchInput, RequestPredicate, TextPredicate } from './input.ts';
import { compileQueryMatcher } from './query.ts';
import { FullMatchRegex } from './regex.ts';

const acceptedFields = new Set([
  'prefix',
  'path',
  'safe_regex',
  'path_separated_prefix',
  'case_sensitive',
  'runtime_fraction',
  'headers',
  'query_parameters',
  'dynamic_metadata',
  'grpc',
  'tls_context',
]);

/** What a route's path specifier matched: needed to rewrite it. */
export type PathSpecifier =
  | {
      readonly kind: 'prefix' | 'path' | 'path_separated_prefix';
      readonly text: string;
      readonly caseSensitive: boolean;
    }
  | { readonly kind: 'regex'; readonly text: string };

export interface CompiledMatch {
  readonly path: PathSpecifier;
  matches(input: MatchInput): boolean;
}

/** One condition of a RouteMatch beside its path. */
export interface MatchClause {
  readonly part: 'grpc' | 'tls' | 'header' | 'query' | 'metadata' | 'fraction';
  /** Place in `headers`, `query_parameters` or `dynamic_metadata`. */
  readonly index: number;
  readonly matches: RequestPredicate;
}

/** A RouteMatch taken apart: what `compileRouteMatch` joins to one predicate, and `explainMatch` asks one by one. */
export interface MatchClauses {
  readonly path: PathSpecifier;
  /** Over the path without its query. */
  readonly pathTest: TextPredicate;
  readonly others: readonly MatchClause[];
}

/** Throws ConfigError below `field`. */
export function compileRouteMatch(match: RouteMatch, field: string): CompiledMatch {
  const { path, pathTest, others: clauses } = compileClauses(match, field);
  const others = clauses.map(({ matches }) => matches);
  const [first, second] = others;
  if (first === undefined) return { path, matches: (input) => pathTest(input.pathOnly) };
  if (second === undefined) return { path, matches: (input) => pathTest(input.pathOnly) && first(input) };
  return { path, matches: (input) => pathTest(input.pathOnly) && others.every((test) => test(input)) };
}

/** Throws ConfigError below `field`. */
export function compileClauses(match: RouteMatch, field: string): MatchClauses {
  refuseFields(RouteMatchSchema, match, field, acceptedFields);
  const path = pathSpecifier(match, field);
  const pathTest = pathPredicate(path, field);
  const others: MatchClause[] = [];
  const add = (part: MatchClause['part'], matches: RequestPredicate, index = 0): void => {
    others.push({ part, index, matches });
  };
  if (match.grpc !== undefined) add('grpc', isGrpc);
  const presented = match.tlsContext?.presented;
  if (presented !== undefined) add('tls', (input) => input.tls === presented);
  if (match.tlsContext?.validated !== undefined)
    throw new ConfigError(`${field}.tls_context.validated`, 'client certificates are not supported yet');
  for (const [index, header] of match.headers.entries())
    add('header', compileHeaderMatcher(header, `${field}.headers[${index}]`), index);
  for (const [index, parameter] of match.queryParameters.entries())
    add('query', compileQueryMatcher(parameter, `${field}.query_parameters[${index}]`), index);
  // No filter of ours leaves metadata behind (the token filter does not exist yet): the value is always absent.
  for (const [index, { invert }] of match.dynamicMetadata.entries()) add('metadata', () => invert, index);
  if (match.runtimeFraction !== undefined) {
    const share = runtimeFractionOf(match.runtimeFraction, 1);
    add('fraction', (input) => input.random() < share);
  }
  return { path, pathTest, others };
}

function pathSpecifier(match: RouteMatch, field: string): PathSpecifier {
  const specifier = match.pathSpecifier;
  const caseSensitive = match.caseSensitive ?? true;
  switch (specifier.case) {
    case 'prefix':
      return { kind: 'prefix', text: specifier.value, caseSensitive };
    case 'path':
      return { kind: 'path', text: specifier.value, caseSensitive };
    case 'pathSeparatedPrefix':
      return { kind: 'path_separated_prefix', text: specifier.value, caseSensitive };
    case 'safeRegex':
      return { kind: 'regex', text: specifier.value.regex };
    case 'connectMatcher':
    case 'pathMatchPolicy':
    case undefined:
    default:
      throw new ConfigError(
        field,
        'has no path; prefix, path, safe_regex or path_separated_prefix is needed',
      );
  }
}

/** Over the path without its query. */
function pathPredicate(path: PathSpecifier, field: string): TextPredicate {
  if (path.kind === 'regex') {
    const regex = new FullMatchRegex(path.text, `${field}.safe_regex.regex`);
    return (text) => regex.matches(text);
  }
  if (!path.caseSensitive) {
    const sensitive = pathPredicate({ ...path, text: path.text.toLowerCase(), caseSensitive: true }, field);
    return (text) => sensitive(text.toLowerCase());
  }
  const wanted = path.text;
  const { length } = wanted;
  switch (path.kind) {
    case 'prefix':
      return wanted === '/' ? (text) => text.charCodeAt(0) === 47 : (text) => text.startsWith(wanted);
    case 'path':
      return (text) => text === wanted;
    case 'path_separated_prefix':
    default:
      return (text) => text.startsWith(wanted) && (text.length === length || text.charCodeAt(length) === 47);
  }
}

function isGrpc(input: MatchInput): boolean {
  const type = input.headers.get('content-type');
  return type !== undefined && /^application\/grpc(?:[+]|$)/.test(type);
}
