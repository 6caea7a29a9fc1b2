import { expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import { RouteMatchSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { buildRouteMatch, isCatchAll, pathPattern } from './match.ts';
import type { HttpMatch } from './route-input.ts';

test.each<[string, HttpMatch | undefined, object]>([
  ['no match is everything (C5.01)', undefined, { prefix: '/' }],
  ['an empty match, too (C5.01)', {}, { prefix: '/', caseSensitive: true }],
  ['an exact path (C5.02)', { uri: { exact: '/a' } }, { path: '/a', caseSensitive: true }],
  [
    'a prefix of bytes, not of segments (C5.02, T14)',
    { uri: { prefix: '/nginx' } },
    { prefix: '/nginx', caseSensitive: true },
  ],
  [
    'a regular expression (C5.02)',
    { uri: { regex: '/a/\\d+' } },
    { safeRegex: { regex: '/a/\\d+' }, caseSensitive: true },
  ],
  [
    'letter case of paths (C5.02)',
    { uri: { exact: '/A' }, ignoreUriCase: true },
    { path: '/A', caseSensitive: false },
  ],
  [
    'headers, by name; nothing and a star mean presence (C5.03)',
    { headers: { z: { exact: '1' }, y: { regex: '*' }, x: {}, w: { prefix: '' } } },
    {
      prefix: '/',
      caseSensitive: true,
      headers: [
        { name: 'w', presentMatch: true },
        { name: 'x', presentMatch: true },
        { name: 'y', presentMatch: true },
        { name: 'z', stringMatch: { exact: '1' } },
      ],
    },
  ],
  [
    'absent headers count as empty, but where presence is asked (C5.03)',
    { withoutHeaders: { a: { regex: 'b.*' }, c: {} } },
    {
      prefix: '/',
      caseSensitive: true,
      headers: [
        {
          name: 'a',
          stringMatch: { safeRegex: { regex: 'b.*' } },
          invertMatch: true,
          treatMissingHeaderAsEmpty: true,
        },
        { name: 'c', presentMatch: true, invertMatch: true },
      ],
    },
  ],
  [
    'pseudo headers after the others: method, authority, scheme (C5.03)',
    {
      scheme: { exact: 'https' },
      authority: { prefix: 'a.' },
      method: { exact: 'GET' },
      headers: { ':method': { regex: 'P.*' }, b: { exact: '1' } },
    },
    {
      prefix: '/',
      caseSensitive: true,
      headers: [
        { name: ':method', stringMatch: { safeRegex: { regex: 'P.*' } } },
        { name: 'b', stringMatch: { exact: '1' } },
        { name: ':method', stringMatch: { exact: 'GET' } },
        { name: ':authority', stringMatch: { prefix: 'a.' } },
        { name: ':scheme', stringMatch: { exact: 'https' } },
      ],
    },
  ],
  [
    'query parameters (C5.04)',
    { queryParams: { b: { prefix: 'x' }, a: {}, c: { regex: 'y+' } } },
    {
      prefix: '/',
      caseSensitive: true,
      queryParameters: [
        { name: 'a', presentMatch: true },
        { name: 'b', stringMatch: { prefix: 'x' } },
        { name: 'c', stringMatch: { safeRegex: { regex: 'y+' } } },
      ],
    },
  ],
])('buildRouteMatch: %s', (_case, match, expected) => {
  expect(messageToJson(RouteMatchSchema, buildRouteMatch(match))).toEqual(expected);
});

test.each<[boolean, HttpMatch | undefined]>([
  [true, undefined],
  [true, {}],
  [true, { uri: { prefix: '/' } }],
  [true, { uri: { regex: '.*' } }],
  [true, { uri: {}, port: 80, gateways: ['mesh'], sourceLabels: { a: 'b' } }],
  [false, { uri: { exact: '/' } }],
  [false, { uri: { prefix: '/a' } }],
  [false, { uri: { prefix: '/' }, headers: { a: {} } }],
  [false, { withoutHeaders: { a: {} } }],
  [false, { queryParams: { a: {} } }],
  [false, { method: { exact: 'GET' } }],
  [false, { authority: { exact: 'a' } }],
  [false, { scheme: { exact: 'http' } }],
])('isCatchAll: %s for %j (C5.06)', (expected, match) => {
  expect(isCatchAll(match)).toBe(expected);
});

test.each<[string, HttpMatch | undefined]>([
  ['/*', undefined],
  ['/a', { uri: { exact: '/a' } }],
  ['/a*', { uri: { prefix: '/a' } }],
  ['/a.*', { uri: { regex: '/a.*' } }],
  ['/*', { headers: { a: {} } }],
])('pathPattern: %s (C5.18)', (expected, match) => {
  expect(pathPattern(match)).toBe(expected);
});
