// A RouteMatch, clause by clause, in words: which held and which did not. It asks the very predicates that
// `compileRouteMatch` joins, so the answer cannot differ from the data path's.
import type {
  HeaderMatcher,
  QueryParameterMatcher,
  RouteMatch,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { StringMatcher } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';
import { runtimeFractionOf } from './fraction.ts';
import { headerValue } from './header.ts';
import type { MatchInput } from './input.ts';
import { queryParameter } from './query.ts';
import type { MatchClause, PathSpecifier } from './route.ts';
import { compileClauses } from './route.ts';

/** One clause and what the request had for it. */
export interface ClauseResult {
  readonly part: 'path' | MatchClause['part'];
  readonly matched: boolean;
  /** What is asked for: `prefix /api`, `header end-user = jason`. */
  readonly wanted: string;
  /** What the request has: `path is /reviews`, `absent`, `is "bob"`. */
  readonly found: string;
}

/** Every clause, the path first. Throws ConfigError below `field`, as compiling does. */
export function explainMatch(match: RouteMatch, input: MatchInput, field: string): readonly ClauseResult[] {
  const { path, pathTest, others } = compileClauses(match, field);
  const first: ClauseResult = {
    part: 'path',
    matched: pathTest(input.pathOnly),
    wanted: describePath(path),
    found: `path is ${input.pathOnly}`,
  };
  return [
    first,
    ...others.map((clause) => ({
      part: clause.part,
      matched: clause.matches(input),
      ...describeClause(match, clause, input),
    })),
  ];
}

/** `prefix /api`, `exact /api`, `path prefix /api (whole segments)`, `regex /a.*`. */
export function describePath(path: PathSpecifier): string {
  const fold = path.kind !== 'regex' && !path.caseSensitive ? ' (any case)' : '';
  switch (path.kind) {
    case 'prefix':
      return `prefix ${path.text}${fold}`;
    case 'path':
      return `exact ${path.text}${fold}`;
    case 'path_separated_prefix':
      return `prefix ${path.text} (whole segments)${fold}`;
    case 'regex':
    default:
      return `regex ${path.text}`;
  }
}

function describeClause(
  match: RouteMatch,
  { part, index }: MatchClause,
  input: MatchInput,
): Pick<ClauseResult, 'wanted' | 'found'> {
  switch (part) {
    case 'grpc':
      return { wanted: 'gRPC', found: `content-type ${valueText(input.headers.get('content-type'))}` };
    case 'tls': {
      const wanted = match.tlsContext?.presented === true ? 'a client connection by TLS' : 'no TLS';
      return { wanted, found: input.tls ? 'it is TLS' : 'it is plain text' };
    }
    case 'header': {
      const header = match.headers[index]!;
      const name = header.name.toLowerCase();
      return { wanted: describeHeader(header), found: valueText(headerValue(name, input)) };
    }
    case 'query': {
      const parameter = match.queryParameters[index]!;
      return {
        wanted: describeParameter(parameter),
        found: valueText(queryParameter(input.path, parameter.name)),
      };
    }
    case 'metadata': {
      const { filter, path, invert } = match.dynamicMetadata[index]!;
      const keys = path.map(({ segment }) => segment.value ?? '').join('.');
      return { wanted: `${invert ? 'not ' : ''}metadata ${keys} of ${filter}`, found: 'none' };
    }
    case 'fraction':
    default: {
      const share = runtimeFractionOf(match.runtimeFraction, 1);
      return { wanted: `${share * 100}% of requests`, found: 'by chance' };
    }
  }
}

/** `header end-user = jason`, `header x-a present`; `not` before what is inverted. */
export function describeHeader(matcher: HeaderMatcher): string {
  const specifier = matcher.headerMatchSpecifier;
  const name = pseudoHeaders[matcher.name.toLowerCase()] ?? `header ${matcher.name}`;
  const not = matcher.invertMatch ? 'not ' : '';
  switch (specifier.case) {
    case undefined:
      return `${name} ${not}present`;
    case 'presentMatch':
      return `${name} ${specifier.value === matcher.invertMatch ? 'absent' : 'present'}`;
    case 'exactMatch':
      return `${name} ${not}= ${specifier.value}`;
    case 'prefixMatch':
      return `${name} ${not}prefix ${specifier.value}`;
    case 'suffixMatch':
      return `${name} ${not}suffix ${specifier.value}`;
    case 'containsMatch':
      return `${name} ${not}containing ${specifier.value}`;
    case 'safeRegexMatch':
      return `${name} ${not}regex ${specifier.value.regex}`;
    case 'rangeMatch':
      return `${name} ${not}from ${specifier.value.start} to below ${specifier.value.end}`;
    case 'stringMatch':
    default:
      return `${name} ${not}${describeString(specifier.value)}`;
  }
}

const pseudoHeaders: Readonly<Record<string, string>> = {
  ':method': 'method',
  ':authority': 'host',
  ':path': 'path with query',
  ':scheme': 'scheme',
};

function describeParameter(parameter: QueryParameterMatcher): string {
  const specifier = parameter.queryParameterMatchSpecifier;
  const name = `query parameter ${parameter.name}`;
  if (specifier.case === 'stringMatch') return `${name} ${describeString(specifier.value)}`;
  return `${name} ${specifier.case === undefined || specifier.value ? 'present' : 'absent'}`;
}

/** `= b`, `prefix b`, `regex b.*`. */
export function describeString({ matchPattern, ignoreCase }: StringMatcher): string {
  const fold = ignoreCase && matchPattern.case !== 'safeRegex' ? ' (any case)' : '';
  switch (matchPattern.case) {
    case 'exact':
      return `= ${matchPattern.value}${fold}`;
    case 'prefix':
    case 'suffix':
      return `${matchPattern.case} ${matchPattern.value}${fold}`;
    case 'contains':
      return `containing ${matchPattern.value}${fold}`;
    case 'safeRegex':
      return `regex ${matchPattern.value.regex}`;
    case 'custom':
    case undefined:
    default:
      return 'a pattern that is not known here';
  }
}

function valueText(value: string | undefined): string {
  return value === undefined ? 'absent' : `is ${JSON.stringify(value)}`;
}
