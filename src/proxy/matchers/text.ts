// envoy.type.matcher.v3.StringMatcher as a predicate.
import type { StringMatcher } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';
import { ConfigError } from '../config-error.ts';
import type { TextPredicate } from './input.ts';
import { FullMatchRegex } from './regex.ts';

/** Throws ConfigError below `field`. `ignore_case` has no effect on a regex, as in Envoy. */
export function compileStringMatcher(matcher: StringMatcher, field: string): TextPredicate {
  const pattern = matcher.matchPattern;
  const fold = matcher.ignoreCase;
  const folded = (text: string): string => (fold ? text.toLowerCase() : text);
  switch (pattern.case) {
    case 'exact': {
      const wanted = folded(pattern.value);
      return fold ? (text) => text.toLowerCase() === wanted : (text) => text === wanted;
    }
    case 'prefix': {
      const wanted = folded(pattern.value);
      return (text) => folded(text).startsWith(wanted);
    }
    case 'suffix': {
      const wanted = folded(pattern.value);
      return (text) => folded(text).endsWith(wanted);
    }
    case 'contains': {
      const wanted = folded(pattern.value);
      return (text) => folded(text).includes(wanted);
    }
    case 'safeRegex': {
      const regex = new FullMatchRegex(pattern.value.regex, `${field}.safe_regex.regex`);
      return (text) => regex.matches(text);
    }
    case 'custom':
      throw new ConfigError(`${field}.custom`, 'custom string matchers are not supported');
    case undefined:
    default:
      throw new ConfigError(field, 'has no pattern; exact, prefix, suffix, contains or safe_regex is needed');
  }
}
