import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RouteMatchSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { ConfigError } from '../config-error.ts';
import { compileHeaderMatcher } from './header.ts';
import type { RequestFields } from './input.ts';
import { matchInput } from './input.ts';
import { compileQueryMatcher } from './query.ts';
import { FullMatchRegex, RegexSubstitution } from './regex.ts';
import { compileRouteMatch } from './route.ts';

const matchesHeader = (matcher: JsonValue, headers: Record<string, string>): boolean =>
  compileHeaderMatcher(
    fromJson(HeaderMatcherSchema, matcher),
    'headers[0]',
  )(matchInput({ authority: 'a.example', path: '/p?q', headers }));
const matchesQuery = (matcher: JsonValue, path: string): boolean =>
  compileQueryMatcher(
    fromJson(QueryParameterMatcherSchema, matcher),
    'query_parameters[0]',
  )(matchInput({ authority: 'a', path }));
const matchesRoute = (match: JsonValue, fields: Partial<RequestFields>): boolean =>
  compileRouteMatch(fromJson(RouteMatchSchema, match), 'match').matches(
    matchInput({ authority: 'a', path: '/', ...fields }),
  );

describe('compileHeaderMatcher', () => {
  const exact = { name: 'x-a', stringMatch: { exact: 'b' } };
  const cases: readonly (readonly [string, JsonValue, Record<string, string>, boolean])[] = [
    ['exact', exact, { 'X-A': 'b' }, true],
    ['exact, other value', exact, { 'x-a': 'B' }, false],
    ['exact, missing', exact, {}, false],
    ['ignore case', { name: 'x-a', stringMatch: { exact: 'b', ignoreCase: true } }, { 'x-a': 'B' }, true],
    ['prefix', { name: 'x-a', stringMatch: { prefix: 'b' } }, { 'x-a': 'bcd' }, true],
    ['suffix', { name: 'x-a', stringMatch: { suffix: 'd' } }, { 'x-a': 'bcd' }, true],
    ['contains', { name: 'x-a', stringMatch: { contains: 'c' } }, { 'x-a': 'bcd' }, true],
    [
      'regex matches all of it',
      { name: 'x-a', stringMatch: { safeRegex: { regex: 'b.*' } } },
      { 'x-a': 'bcd' },
      true,
    ],
    [
      'regex must match all of it',
      { name: 'x-a', stringMatch: { safeRegex: { regex: 'b' } } },
      { 'x-a': 'bcd' },
      false,
    ],
    ['present', { name: 'x-a', presentMatch: true }, { 'x-a': '' }, true],
    ['absent', { name: 'x-a', presentMatch: false }, {}, true],
    ['no specifier means present', { name: 'x-a' }, { 'x-a': 'c' }, true],
    ['inverted present', { name: 'x-a', presentMatch: true, invertMatch: true }, {}, true],
    ['inverted value', { ...exact, invertMatch: true }, { 'x-a': 'c' }, true],
    ['inverted value, missing header', { ...exact, invertMatch: true }, {}, false],
    [
      'inverted value, missing as empty',
      { ...exact, invertMatch: true, treatMissingHeaderAsEmpty: true },
      {},
      true,
    ],
    ['range', { name: 'x-a', rangeMatch: { start: '-1', end: '10' } }, { 'x-a': '9' }, true],
    [
      'range, end is excluded',
      { name: 'x-a', rangeMatch: { start: '-1', end: '10' } },
      { 'x-a': '10' },
      false,
    ],
    ['range, no number', { name: 'x-a', rangeMatch: { start: '-1', end: '10' } }, { 'x-a': '9x' }, false],
    [':method', { name: ':method', stringMatch: { exact: 'GET' } }, {}, true],
    [':authority', { name: ':authority', stringMatch: { prefix: 'a.' } }, {}, true],
    [':path with query', { name: ':path', stringMatch: { exact: '/p?q' } }, {}, true],
  ];
  test.each(cases)('%s (C5.03, partly D4.06)', (_name, matcher, headers, expected) => {
    expect(matchesHeader(matcher, headers)).toBe(expected);
  });
});

describe('compileQueryMatcher', () => {
  test.each([
    [{ name: 'user', stringMatch: { exact: 'jason' } }, '/?a=b&user=jason', true],
    [{ name: 'user', stringMatch: { exact: 'jason' } }, '/?user=jason&user=other', true],
    [{ name: 'user', stringMatch: { exact: 'jason' } }, '/?user=other&user=jason', false],
    [{ name: 'user', stringMatch: { exact: 'jason' } }, '/user=jason', false],
    [{ name: 'user', presentMatch: true }, '/?user', true],
    [{ name: 'user', presentMatch: true }, '/?users=1', false],
    [{ name: 'user', stringMatch: { safeRegex: { regex: 'j.*n' } } }, '/?user=jason', true],
  ] as const)('%j on %s: %s (C5.04)', (matcher, path, expected) => {
    expect(matchesQuery(matcher, path)).toBe(expected);
  });
});

describe('compileRouteMatch', () => {
  test.each([
    [{ prefix: '/nginx' }, '/nginxfoo?x', true],
    [{ prefix: '/nginx' }, '/Nginx', false],
    [{ prefix: '/nginx', caseSensitive: false }, '/NGINX/a', true],
    [{ path: '/a' }, '/a?b=c', true],
    [{ path: '/a' }, '/a/', false],
    [{ pathSeparatedPrefix: '/a' }, '/a', true],
    [{ pathSeparatedPrefix: '/a' }, '/a/b', true],
    [{ pathSeparatedPrefix: '/a' }, '/ab', false],
    [{ safeRegex: { regex: '/a/[0-9]+' } }, '/a/12?x=y', true],
    [{ safeRegex: { regex: '/a/[0-9]+' } }, '/a/12/b', false],
    [{ prefix: '/', grpc: {} }, '/x', false],
  ] as const)('%j on %s: %s (C5.02, T14, partly D4.06)', (match, path, expected) => {
    expect(matchesRoute(match, { path })).toBe(expected);
  });

  test('all parts must hold (C5.01)', () => {
    const match = {
      prefix: '/',
      headers: [
        { name: 'x-a', presentMatch: true },
        { name: 'x-b', presentMatch: true },
      ],
      queryParameters: [{ name: 'q', presentMatch: true }],
    };
    expect(matchesRoute(match, { path: '/?q', headers: { 'x-a': '1', 'x-b': '1' } })).toBe(true);
    expect(matchesRoute(match, { path: '/?q', headers: { 'x-a': '1' } })).toBe(false);
    expect(matchesRoute(match, { path: '/', headers: { 'x-a': '1', 'x-b': '1' } })).toBe(false);
  });

  test('dynamic_metadata: nothing leaves any, so no value is met, and every inverted one (partly C5.05)', () => {
    const wanted = {
      filter: 'envoy.filters.http.jwt_authn',
      path: [{ key: 'payload' }, { key: 'sub' }],
      value: { stringMatch: { exact: 'a' } },
    };
    expect(matchesRoute({ prefix: '/', dynamicMetadata: [wanted] }, {})).toBe(false);
    expect(matchesRoute({ prefix: '/', dynamicMetadata: [{ ...wanted, invert: true }] }, {})).toBe(true);
  });

  test('runtime_fraction: the share of requests (partly D4.06)', () => {
    const match = {
      prefix: '/',
      runtimeFraction: { defaultValue: { numerator: 25, denominator: 'HUNDRED' } },
    };
    expect(matchesRoute(match, { random: () => 0.24 })).toBe(true);
    expect(matchesRoute(match, { random: () => 0.25 })).toBe(false);
  });

  test('what is not known is refused with its field', () => {
    const compile = (match: JsonValue) => () => compileRouteMatch(fromJson(RouteMatchSchema, match), 'match');
    expect(compile({ connectMatcher: {} })).toThrow(ConfigError);
    expect(compile({ connectMatcher: {} })).toThrow(/^match\.connect_matcher: is not supported/);
    expect(compile({ safeRegex: { regex: '(' } })).toThrow(
      /^match\.safe_regex\.regex: "\(" is not an RE2 regular expression/,
    );
    expect(compile({ safeRegex: { regex: '(a)\\1' } })).toThrow(/RE2/);
    expect(compile({ safeRegex: { regex: 'a(?=b)' } })).toThrow(/RE2/);
  });
});

describe('FullMatchRegex', () => {
  test('is linear where a backtracking engine is not (traps row 11)', () => {
    const regex = new FullMatchRegex('(a+)+b', 'regex');
    const started = performance.now();
    expect(regex.matches(`${'a'.repeat(5000)}c`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('remembers results without growing (traps row 11)', () => {
    const regex = new FullMatchRegex('x[0-9]+', 'regex');
    for (let index = 0; index < 3000; index++) expect(regex.matches(`x${index}`)).toBe(true);
    expect(regex.matches('x')).toBe(false);
    expect(regex.matches('x1')).toBe(true);
  });

  test('a pattern that is too long is refused (traps row 11)', () => {
    expect(() => new FullMatchRegex('a'.repeat(20_000), 'regex')).toThrow(/20000 characters/);
  });
});

describe('RegexSubstitution', () => {
  test('replaces every match with groups (partly D5.01)', () => {
    const swap = new RegexSubstitution('/([a-z]+)/([0-9]+)', String.raw`/\2/\1\\`, 'rewrite');
    expect(swap.replace('/abc/12/def/34')).toBe(String.raw`/12/abc\/34/def\ `.trim());
    expect(swap.replace('/none')).toBe('/none');
  });

  test('a group that is not there is refused', () => {
    expect(() => new RegexSubstitution('a', String.raw`\1`, 'rewrite')).toThrow(/^rewrite\.substitution: /);
  });
});
