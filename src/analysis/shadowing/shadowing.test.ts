import { expect, test } from 'vitest';
import { analyze } from '../analyze.ts';
import { shadowing } from '../analyzers/shadowing.ts';
import { loadText } from '../load.ts';
import { readMeshSettings } from '../mesh-settings.ts';

/** `line: text` of everything that is said; the documents are the rules of one VirtualService each, or whole objects. */
const said = (...documents: readonly string[]): readonly string[] => {
  const yaml = documents
    .map((document, index) =>
      document.includes('apiVersion')
        ? document
        : `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: vs-${index} }\nspec:\n  hosts: [app.com]\n${document}`,
    )
    .join('\n---\n');
  const { objects, findings } = loadText('in.yaml', yaml, {
    defaultNamespace: 'default',
    withLiveKinds: true,
  });
  return analyze({ objects, findings, mesh: readMeshSettings(), nowMs: 0, analyzers: [shadowing] }).map(
    ({ position, text }) => `${position?.line ?? 0}: ${text}`,
  );
};
const http = (...rules: readonly string[]): string =>
  `  http:\n${rules.map((rule) => `  - { ${rule === '' ? '' : `match: [${rule}], `}route: [{ destination: { host: app.com } }] }`).join('\n')}`;
const stream = (kind: 'tls' | 'tcp', ...rules: readonly string[]): string =>
  http(...rules).replace('http:', `${kind}:`);
const neverUsed = (rule: number, by: number): string =>
  `http[${rule}] is never used: http[${by}].match[0] (in.yaml:${7 + by}) takes all of its requests first`;

test('shadowing: names both lines (E.04)', () => {
  expect(said(http('{ uri: { prefix: /a } }', '{ uri: { prefix: /a/b } }'))).toEqual([
    `8: ${neverUsed(1, 0)}`,
  ]);
});

test.each<[what: string, earlier: string, later: string, isShadowed: boolean]>([
  ['the same path', '{ uri: { exact: /a } }', '{ uri: { exact: /a } }', true],
  ['another path', '{ uri: { exact: /a } }', '{ uri: { exact: /b } }', false],
  ['a longer prefix', '{ uri: { prefix: /a } }', '{ uri: { prefix: /ab } }', true],
  ['a shorter prefix', '{ uri: { prefix: /ab } }', '{ uri: { prefix: /a } }', false],
  ['a path below a prefix', '{ uri: { prefix: /a } }', '{ uri: { exact: /a/b } }', true],
  ['capitals', '{ uri: { prefix: /a } }', '{ uri: { exact: /A } }', false],
  [
    'capitals that do not count',
    '{ uri: { prefix: /a }, ignoreUriCase: true }',
    '{ uri: { exact: /A } }',
    true,
  ],
  [
    'capitals that count later',
    '{ uri: { prefix: /a } }',
    '{ uri: { prefix: /a }, ignoreUriCase: true }',
    false,
  ],
  ['an expression of everything', "{ uri: { regex: '/.*' } }", '{ uri: { prefix: /a } }', true],
  [
    'an expression within another',
    "{ uri: { regex: '/users/[^/]+' } }",
    "{ uri: { regex: '/users/\\d+' } }",
    true,
  ],
  [
    'an expression around another',
    "{ uri: { regex: '/users/\\d+' } }",
    "{ uri: { regex: '/users/[^/]+' } }",
    false,
  ],
  ['an expression that is a word', "{ uri: { exact: '/a.b' } }", "{ uri: { regex: '/a\\.b' } }", true],
  [
    'an expression that we do not understand',
    "{ uri: { regex: '(?i)/.*' } }",
    '{ uri: { prefix: /a } }',
    false,
  ],
  [
    'the same expression, understood or not',
    "{ uri: { regex: '(?i)/a' } }",
    "{ uri: { regex: '(?i)/a' } }",
    true,
  ],
  ['one method of two', "{ method: { regex: 'GET|HEAD' } }", '{ method: { exact: GET } }', true],
  ['another method', '{ method: { exact: GET } }', '{ method: { exact: PUT } }', false],
  ['no method asked for', '{ method: { exact: GET } }', '{ uri: { prefix: /a } }', false],
  ['an authority', '{ authority: { prefix: app } }', '{ authority: { exact: app.com } }', true],
  ['a scheme', '{ scheme: { exact: http } }', '{ scheme: { exact: http }, uri: { prefix: /a } }', true],
  ['a header more', '{ uri: { prefix: /a } }', '{ uri: { prefix: /a }, headers: { x: { exact: y } } }', true],
  ['a header less', '{ headers: { x: { exact: y } } }', '{ uri: { prefix: /a } }', false],
  ['presence', '{ headers: { x: {} } }', '{ headers: { X: { exact: y } } }', true],
  ['no value at all', "{ headers: { x: { regex: '.+' } } }", '{ headers: { x: {} } }', false],
  ['absence', '{ withoutHeaders: { x: {} } }', '{ withoutHeaders: { x: {} }, uri: { prefix: /a } }', true],
  [
    'absence of one value',
    '{ withoutHeaders: { x: { exact: y } } }',
    '{ withoutHeaders: { x: { prefix: y } } }',
    true,
  ],
  [
    'absence of many values',
    '{ withoutHeaders: { x: { prefix: y } } }',
    '{ withoutHeaders: { x: { exact: y } } }',
    false,
  ],
  [
    'a value that is another',
    '{ withoutHeaders: { x: { exact: y } } }',
    '{ headers: { x: { exact: z } } }',
    true,
  ],
  [
    'a value that is the one',
    '{ withoutHeaders: { x: { exact: y } } }',
    '{ headers: { x: { prefix: y } } }',
    false,
  ],
  [
    'a claim among others',
    "{ withoutHeaders: { '@request.auth.claims.g': { exact: y } } }",
    "{ headers: { '@request.auth.claims.g': { exact: z } } }",
    false,
  ],
  ['a query parameter', '{ queryParams: { q: {} } }', '{ queryParams: { q: { exact: x } } }', true],
  ['another query parameter', '{ queryParams: { q: {} } }', '{ queryParams: { Q: { exact: x } } }', false],
  ['a query in a prefix', "{ uri: { regex: '/a.+' } }", "{ uri: { prefix: '/a?b' } }", false],
  ['a port', '{ port: 80 }', '{ port: 80, uri: { prefix: /a } }', true],
  ['another port', '{ port: 80 }', '{ port: 81 }', false],
  ['no port', '{ port: 80 }', '{ uri: { prefix: /a } }', false],
  ['labels of the source', '{ sourceLabels: { app: a } }', '{ sourceLabels: { app: a, v: x } }', true],
  ['fewer labels', '{ sourceLabels: { app: a, v: x } }', '{ sourceLabels: { app: a } }', false],
  ['the namespace of the source', '{ sourceNamespace: a }', '{ sourceNamespace: b }', false],
])('shadowing: %s', (_what, earlier, later, isShadowed) => {
  expect(said(http(earlier, later))).toEqual(isShadowed ? [`8: ${neverUsed(1, 0)}`] : []);
});

test('shadowing: a rule without matches takes everything, and is named by its own line', () => {
  expect(said(http('', '{ uri: { prefix: /a } }', ''))).toEqual([
    '8: http[1] is never used: http[0] (in.yaml:7) takes all of its requests first',
    '9: http[2] is never used: http[0] (in.yaml:7) takes all of its requests first',
  ]);
});

test('shadowing: of several matches the one that is never used is named, or the rule where none is used', () => {
  const rules = http(
    '{ uri: { prefix: /a } }',
    '{ uri: { prefix: /b } }',
    '{ uri: { prefix: /a/x } }, { uri: { prefix: /c } }',
    '{ uri: { prefix: /a/y } }, { uri: { prefix: /b/y } }',
  );
  expect(said(rules)).toEqual([
    '9: match[0] of http[2] is never used: http[0].match[0] (in.yaml:7) takes all of its requests first',
    '10: http[3] is never used: http[0].match[0] (in.yaml:7) and http[1].match[0] (in.yaml:8) take all of its requests first',
  ]);
});

test('shadowing: a rule that hands over to a delegate may pass requests on, and a delegate is no whole', () => {
  expect(
    said(
      '  http:\n  - { match: [{ uri: { prefix: / } }], delegate: { name: d } }\n  - { route: [{ destination: { host: app.com } }] }',
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: d }
spec: { http: [{ match: [{ uri: { prefix: / } }], route: [{ destination: { host: app.com } }] }, { match: [{ uri: { prefix: /a } }], route: [{ destination: { host: app.com } }] }] }`,
    ),
  ).toEqual([]);
});

const gateway = (hosts: string): string => `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [${hosts}] }] }`;
const bound = (name: string, more: string, ...rules: readonly string[]): string =>
  `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: ${name}${more} }\nspec:\n  gateways: [default/gw]\n  hosts: [app.com]\n${http(...rules)}`;

test('shadowing: VirtualServices of one host are joined at a gateway, the older first', () => {
  const old = bound('old', ", creationTimestamp: '2020-01-01T00:00:00Z'", '{ uri: { prefix: /a } }');
  const young = bound('a-young', ", creationTimestamp: '2021-01-01T00:00:00Z'", '{ uri: { prefix: /a/b } }');
  const expected = [
    '8: http[0] is never used: http[0].match[0] of VirtualService default/old (in.yaml:17) takes all of its requests first',
  ];
  expect(said(young, old)).toEqual(expected);
  expect(said(young.replace('default/gw', 'mesh'), old.replace('default/gw', 'mesh'))).toEqual([]);
  // What takes everything is put behind all others, whichever VirtualService it is of.
  expect(said(young, old.replace('prefix: /a', 'prefix: /'))).toEqual([]);
});

test('shadowing: a gateway may let VirtualServices of one namespace in and not those of another', () => {
  const young = bound('young', '', '{ uri: { prefix: /a/b } }');
  const foreign = bound('old', ', namespace: other', '{ uri: { prefix: /a } }');
  expect(said(gateway("'*'"), foreign, young)).toHaveLength(1);
  expect(said(gateway("'default/*'"), foreign, young)).toEqual([]);
  // A gateway that is not among the files may ask for anything.
  expect(said(foreign, young)).toEqual([]);
});

test.each<[what: string, kind: 'tls' | 'tcp', earlier: string, later: string, isShadowed: boolean]>([
  [
    'the same names',
    'tls',
    '{ sniHosts: [a.app.com, b.app.com] }',
    '{ sniHosts: [B.app.com, a.app.com] }',
    true,
  ],
  [
    'a name below a wildcard, which is nearer',
    'tls',
    "{ sniHosts: ['*.app.com'] }",
    '{ sniHosts: [a.app.com] }',
    false,
  ],
  ['one name more', 'tls', '{ sniHosts: [a.app.com] }', '{ sniHosts: [a.app.com, b.app.com] }', false],
  [
    'another port',
    'tls',
    '{ sniHosts: [a.app.com], port: 443 }',
    '{ sniHosts: [a.app.com], port: 444 }',
    false,
  ],
  [
    'addresses more',
    'tls',
    '{ sniHosts: [a.app.com] }',
    '{ sniHosts: [a.app.com], destinationSubnets: [10.0.0.0/8] }',
    false,
  ],
  ['no condition at all', 'tcp', '', '{ port: 80 }', true],
  ['the same port', 'tcp', '{ port: 80 }', '{ port: 80 }', true],
  ['one port of all', 'tcp', '{ port: 80 }', '', false],
  [
    'addresses after everything',
    'tcp',
    '{ port: 80 }',
    '{ port: 80, destinationSubnets: [10.0.0.0/8] }',
    true,
  ],
  [
    'everything after addresses',
    'tcp',
    '{ port: 80, destinationSubnets: [10.0.0.0/8] }',
    '{ port: 80 }',
    false,
  ],
])('shadowing: %s (%s)', (_what, kind, earlier, later, isShadowed) => {
  expect(said(stream(kind, earlier, later))).toHaveLength(isShadowed ? 1 : 0);
});

test('shadowing: a gateway leaves out a match of which one name is taken', () => {
  const rules = stream('tls', '{ sniHosts: [a.app.com] }', '{ sniHosts: [a.app.com, b.app.com] }');
  expect(said(`  gateways: [gw]\n${rules}`)).toEqual([
    '9: tls[1] is never used: tls[0].match[0] (in.yaml:8) takes all of its connections first',
  ]);
});

test('shadowing: two thousand expressions are compared within bounds, and the next run has its own', () => {
  const rules = Array.from(
    { length: 2000 },
    (_, index) => `{ uri: { regex: '/(a|b)*a(a|b){${index % 40}}x${index}.*' } }`,
  );
  const start = performance.now();
  // The fourth and the forty-fourth, and so on, as far as the bound lets it look.
  expect(said(http(...rules)).length).toBeLessThan(50);
  // Without a bound this takes minutes.
  expect(performance.now() - start).toBeLessThan(30_000);
  expect(said(http('{ uri: { regex: "/a.*" } }', '{ uri: { regex: "/ab.*" } }'))).toHaveLength(1);
}, 60_000);
