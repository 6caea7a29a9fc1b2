// envoy.config.route.v3.QueryParameterMatcher as a predicate.
import type { QueryParameterMatcher } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { ConfigError } from '../config-error.ts';
import type { RequestPredicate } from './input.ts';
import { compileStringMatcher } from './text.ts';

/** The first parameter of that name counts. Names and values are compared as sent, without decoding. */
export function compileQueryMatcher(matcher: QueryParameterMatcher, field: string): RequestPredicate {
  if (matcher.name === '') throw new ConfigError(`${field}.name`, 'must not be empty');
  const { name } = matcher;
  const specifier = matcher.queryParameterMatchSpecifier;
  if (specifier.case === 'stringMatch') {
    const test = compileStringMatcher(specifier.value, `${field}.string_match`);
    return (input) => {
      const value = queryParameter(input.path, name);
      return value !== undefined && test(value);
    };
  }
  const present = specifier.case === undefined || specifier.value;
  return (input) => (queryParameter(input.path, name) !== undefined) === present;
}

/** The value of the first parameter `name` in the query of `path`; empty for one without `=`. */
export function queryParameter(path: string, name: string): string | undefined {
  const question = path.indexOf('?');
  if (question < 0) return undefined;
  const fragment = path.indexOf('#', question);
  const query = path.slice(question + 1, fragment < 0 ? undefined : fragment);
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    const key = equals < 0 ? pair : pair.slice(0, equals);
    if (key === name) return equals < 0 ? '' : pair.slice(equals + 1);
  }
  return undefined;
}
