// What is reported as never used is never chosen: random VirtualServices, translated, and random requests through
// the matchers of the data path.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { gatewayPod } from '../../../test/support/translated.ts';
import { proxyNode, worldOfYaml } from '../../../test/support/world.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { RequestFields } from '../../proxy/matchers/input.ts';
import { matchInput } from '../../proxy/matchers/input.ts';
import { compileRouteMatch } from '../../proxy/matchers/route.ts';
import { buildRouteMatch } from '../../translate/route/match.ts';
import type { RouteConfigurationInput } from '../../translate/route/route-input.ts';
import { routes } from '../../translate/routes.ts';
import { proxyScope } from '../../translate/scope.ts';
import { loadText } from '../load.ts';
import { Objects } from '../object.ts';
import { httpShadows } from './http-shadows.ts';

const surroundings = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'istio-ingressgateway', namespace: 'istio-system' },
    spec: {
      clusterIP: '10.0.0.1',
      selector: { istio: 'ingressgateway' },
      ports: [{ name: 'http2', port: 80, targetPort: 8080 }],
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: { name: 'gw', namespace: 'default' },
    spec: {
      selector: { istio: 'ingressgateway' },
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'app', namespace: 'default' },
    spec: {
      hosts: ['app.com'],
      addresses: ['240.0.0.1'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      endpoints: [{ address: '10.2.0.1' }],
    },
  },
];

const one = fc.constantFrom;
const part = <T>(arbitrary: fc.Arbitrary<T>, freq: number): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq });

const uri = one<Record<string, string>>(
  { prefix: '/' },
  { prefix: '/a' },
  { prefix: '/a/' },
  { prefix: '/a/b' },
  { prefix: '/A' },
  { exact: '/' },
  { exact: '/a' },
  { exact: '/a/b' },
  { regex: '.*' },
  { regex: '/.*' },
  { regex: '/a.*' },
  { regex: '/a(/b)?' },
  { regex: '/[ab]' },
  { regex: '/a|/b' },
  { regex: '/\\w+' },
  { regex: '(?i)/a' },
);
const value = one<Record<string, string>>(
  {},
  { exact: 'x' },
  { exact: 'xy' },
  { prefix: 'x' },
  { regex: 'x.*' },
  { regex: '.+' },
  { regex: 'x|y' },
  { regex: '.*' },
);
const match = fc
  .record({
    uri: part(uri, 3),
    ignoreUriCase: part(one(true), 1),
    method: part(one<Record<string, string>>({ exact: 'GET' }, { regex: 'GET|PUT' }, { prefix: 'P' }), 1),
    authority: part(one<Record<string, string>>({ exact: 'app.com' }, { prefix: 'app' }), 1),
    scheme: part(one<Record<string, string>>({ exact: 'http' }, { exact: 'https' }), 1),
    headers: part(fc.dictionary(one('h', 'i'), value, { minKeys: 1, maxKeys: 2 }), 1),
    withoutHeaders: part(fc.dictionary(one('h', 'i'), value, { minKeys: 1, maxKeys: 2 }), 1),
    queryParams: part(fc.dictionary(one('q'), value, { minKeys: 1, maxKeys: 1 }), 1),
    gateways: part(one(['gw'], ['mesh'], ['gw', 'mesh'], ['default/gw']), 1),
    port: part(one(80, 81), 1),
    sourceLabels: part(one<Record<string, string>>({ app: 'x' }, { app: 'x', v: '1' }), 1),
    sourceNamespace: part(one('default', 'other'), 1),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, written]) => written !== undefined)));
const rule = fc.record({
  match: fc.array(match, { maxLength: 3 }),
  route: fc.constant([{ destination: { host: 'app.com' } }]),
});
const virtualService = fc.record({
  gateways: one(['gw'], ['mesh'], ['gw', 'mesh']),
  hosts: one(['app.com'], ['app.com', 'b.com']),
  http: fc.array(rule, { minLength: 1, maxLength: 5 }),
});
const request = fc.record({
  method: one('GET', 'PUT', 'POST'),
  authority: one('app.com', 'app.com:80', 'b.com'),
  path: fc
    .tuple(
      one('/', '/a', '/A', '/b', '/a/', '/a/b', '/ab', '/a/b/c', '/c', '/A/b', '*'),
      one('', '?q', '?q=x', '?q=xy', '?q=z'),
    )
    .map((both) => both.join('')),
  scheme: one<'http' | 'https'>('http', 'https'),
  headers: fc.dictionary(one('h', 'i'), one('', 'x', 'xy', 'y', 'z'), { maxKeys: 2 }),
});

const proxies: readonly { readonly node: Partial<ProxyNode>; readonly routes: string }[] = [
  { node: gatewayPod, routes: 'http.8080' },
  { node: {}, routes: '80' },
  { node: { labels: { app: 'x' } }, routes: '80' },
  { node: { labels: { app: 'x', v: '1' }, namespace: 'other' }, routes: '80' },
];

test('httpShadows: no request ever reaches what is said to be never used', () => {
  let claims = 0;
  fc.assert(
    fc.property(
      fc.array(virtualService, { minLength: 1, maxLength: 3 }),
      fc.array(request, { minLength: 40, maxLength: 40 }),
      (specs, requests) => {
        const documents = specs.map((spec, index) => ({
          apiVersion: 'networking.istio.io/v1',
          kind: 'VirtualService',
          metadata: { name: `vs-${index}`, namespace: 'default' },
          spec,
        }));
        const yaml = [...surroundings, ...documents].map((one_) => JSON.stringify(one_)).join('\n---\n');
        const { objects } = loadText('in.yaml', yaml, { defaultNamespace: 'default', withLiveKinds: true });
        const shadows = httpShadows(new Objects(objects));
        const claimed = new Set(
          shadows.map(
            ({ later: { object, rule: ruleIndex, index } }) => `${object.name} ${ruleIndex} ${index ?? ''}`,
          ),
        );
        claims += claimed.size;
        const world = worldOfYaml(yaml);
        for (const { node, routes: name } of proxies) {
          const input = routes.input(world, proxyScope(world, proxyNode(node)), name);
          if (input === undefined) continue;
          for (const fields of requests) expect(claimed).not.toContain(chosenBy(input, fields));
        }
      },
    ),
    { numRuns: 250, seed: 42 },
  );
  // The property is about something.
  expect(claims).toBeGreaterThan(200);
}, 60_000);

/** `name rule match` of the alternative that takes a request, in any virtual host that has it. */
function chosenBy({ virtualHosts }: RouteConfigurationInput, fields: RequestFields): string | undefined {
  const host = fields.authority.replace(/:\d+$/, '');
  const found = virtualHosts.find(({ domains }) => domains.includes(host));
  const input = matchInput(fields);
  for (const route of found?.routes ?? []) {
    if (route.kind !== 'rule') continue;
    if (!compileRouteMatch(buildRouteMatch(route.match), 'match').matches(input)) continue;
    const [, , ruleIndex, , matchIndex] = route.origin.fieldPath;
    return `${route.origin.name} ${String(ruleIndex)} ${matchIndex === undefined ? '' : String(matchIndex)}`;
  }
  return undefined;
}
