// envoy.config.route.v3.HeaderMatcher as a predicate.
import type { HeaderMatcher } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { ConfigError } from '../config-error.ts';
import type { MatchInput, RequestPredicate, TextPredicate } from './input.ts';
import { FullMatchRegex } from './regex.ts';
import { compileStringMatcher } from './text.ts';

/**
 * Several lines of one header are tested each by itself, and one that holds is enough (observed on Envoy 1.40;
 * older ones joined them by commas). A missing header matches nothing but
 * `present_match: false`, whatever `invert_match` says, unless it is to be treated as empty (Envoy's
 * HeaderUtility::HeaderData). Throws ConfigError below `field`.
 */
export function compileHeaderMatcher(matcher: HeaderMatcher, field: string): RequestPredicate {
  if (matcher.name === '') throw new ConfigError(`${field}.name`, 'must not be empty');
  const valueOf = headerGetter(matcher.name.toLowerCase());
  const { invertMatch, treatMissingHeaderAsEmpty } = matcher;
  const specifier = matcher.headerMatchSpecifier;
  if (specifier.case === undefined || specifier.case === 'presentMatch') {
    const wanted = (specifier.case === undefined || specifier.value) !== invertMatch;
    if (treatMissingHeaderAsEmpty) return () => wanted;
    return (input) => (valueOf(input) !== undefined) === wanted;
  }
  const test = valueTest(specifier, field);
  const name = matcher.name.toLowerCase();
  const isLine = !name.startsWith(':') && name !== 'host';
  return (input) => {
    let holds: boolean | undefined;
    if (isLine) holds = input.headers.some(name, test);
    else {
      const value = valueOf(input);
      if (value !== undefined) holds = test(value);
    }
    if (holds === undefined && treatMissingHeaderAsEmpty) holds = test('');
    return holds !== undefined && holds !== invertMatch;
  };
}

type ValueSpecifier = Exclude<
  HeaderMatcher['headerMatchSpecifier'],
  { case: undefined } | { case: 'presentMatch' }
>;

function valueTest(specifier: ValueSpecifier, field: string): TextPredicate {
  switch (specifier.case) {
    case 'exactMatch': {
      const wanted = specifier.value;
      return (value) => value === wanted;
    }
    case 'prefixMatch': {
      const wanted = specifier.value;
      return (value) => value.startsWith(wanted);
    }
    case 'suffixMatch': {
      const wanted = specifier.value;
      return (value) => value.endsWith(wanted);
    }
    case 'containsMatch': {
      const wanted = specifier.value;
      return (value) => value.includes(wanted);
    }
    case 'safeRegexMatch': {
      const regex = new FullMatchRegex(specifier.value.regex, `${field}.safe_regex_match.regex`);
      return (value) => regex.matches(value);
    }
    case 'rangeMatch': {
      const { start, end } = specifier.value;
      return (value) => {
        if (!/^[+-]?\d{1,19}$/.test(value)) return false;
        const number = BigInt(value);
        return number >= start && number < end;
      };
    }
    case 'stringMatch':
    default:
      return compileStringMatcher(specifier.value, `${field}.string_match`);
  }
}

/** What the request has under `name` (lower case), where names with a colon are the parts of the request line. */
export function headerValue(name: string, input: MatchInput): string | undefined {
  return headerGetter(name)(input);
}

/** Reads the header `name` (lower case), where names with a colon are the parts of the request line. */
function headerGetter(name: string): (input: MatchInput) => string | undefined {
  switch (name) {
    case ':authority':
    case 'host':
      return (input) => input.authority;
    case ':method':
      return (input) => input.method;
    case ':path':
      return (input) => input.path;
    case ':scheme':
      return (input) => input.scheme;
    default:
      return (input) => input.headers.get(name);
  }
}
