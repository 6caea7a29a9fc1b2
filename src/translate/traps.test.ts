// Bad inputs that this field has paid for, where configuration is read and translated: traps rows 11, 12, 18, 19.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RE2JS } from 're2js';
import { expect, test } from 'vitest';
import { domainsOf, gatewayPod, routeLines, routesOf, worldAndScope } from '../../test/support/translated.ts';
import { proxyNode, worldOf } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import { readText } from '../config/reader.ts';
import { matchInput } from '../proxy/matchers/input.ts';
import { compileRouteMatch } from '../proxy/matchers/route.ts';
import { clusters, endpoints, listeners, routes } from './index.ts';
import { buildRouteMatch } from './route/match.ts';
import { buildRoute } from './route/build-route.ts';
import { RouteSchema } from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfigurationInput } from './route/route-input.ts';
import { proxyScope } from './scope.ts';

const document = (kind: string, metadata: object, spec: object, version = 'networking.istio.io/v1'): string =>
  JSON.stringify({ apiVersion: version, kind, metadata, spec });
const yamlOf = (...documents: readonly string[]): string => documents.join('\n---\n');
const service = (name: string, namespace: string, clusterIP: string): string =>
  document('Service', { name, namespace }, { clusterIP, ports: [{ name: 'http', port: 80 }] }, 'v1');
const rule = (match: object | undefined, host: string): object => ({
  ...(match === undefined ? {} : { match: [match] }),
  route: [{ destination: { host } }],
});

test('matching: an expression that takes other engines for ever is decided at once (traps row 11)', () => {
  const uri = { regex: '(/a+)+/(b|b)*$' };
  const { diagnostics } = readText(
    'in.yaml',
    document('VirtualService', { name: 'v' }, { hosts: ['a.com'], http: [rule({ uri }, 'a.com')] }),
  );
  expect(diagnostics).toEqual([]);
  const match = compileRouteMatch(buildRouteMatch({ uri }), 'match');
  const path = `/${'a'.repeat(50_000)}!`;
  expect(match.matches(matchInput({ authority: 'a.com', path }))).toBe(false);
});

test.each([
  ['longer than the bound', 'a'.repeat(2000), 'too large'],
  ['counted repetition that grows without end', '((a{1000}){1000}){1000}', 'does not compile'],
  ['a backreference, which takes exponential time', '(a)\\1', 'does not compile'],
  ['a look-ahead', '(?=a)b', 'does not compile'],
])('validation: %s is refused, and costs one object (traps row 11)', (_what, regex, complaint) => {
  const { configs, diagnostics } = readText(
    'in.yaml',
    yamlOf(
      document(
        'VirtualService',
        { name: 'bad' },
        { hosts: ['a.com'], http: [rule({ uri: { regex } }, 'a.com')] },
      ),
      document('VirtualService', { name: 'good' }, { hosts: ['b.com'], http: [rule(undefined, 'b.com')] }),
    ),
  );
  expect(configs.map(({ name }) => name)).toEqual(['good']);
  expect(diagnostics.map(({ message }) => message).join('\n')).toContain(complaint);
});

test('source: no expression of JavaScript is made of what a user wrote (traps row 11)', () => {
  const root = join(import.meta.dirname, '..');
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() && /(?<!\.test|\.d)\.ts$/.test(entry.name) && !entry.parentPath.includes('/gen'),
    )
    .map((entry) => join(entry.parentPath, entry.name));
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((file) => /\bRegExp\(/.test(readFileSync(file, 'utf8')))).toEqual([]);
});

test('buildRoute: a prefix within a generated expression stands for itself (traps row 12)', () => {
  const prefix = '/a.b[c]+(d|e)*^$\\Q{1}';
  const { world, scope } = worldAndScope(
    yamlOf(
      service('app', 'default', '10.0.0.1'),
      document(
        'VirtualService',
        { name: 'v' },
        {
          hosts: ['app'],
          http: [
            {
              match: [{ uri: { prefix } }],
              rewrite: { uri: '/' },
              route: [{ destination: { host: 'app' } }],
            },
          ],
        },
      ),
    ),
  );
  const input = routes.input(world, scope, '80') as RouteConfigurationInput;
  const route = input.virtualHosts.flatMap((host) => host.routes).find((one) => one.kind === 'rule');
  if (route === undefined) throw new Error('no route');
  const built = messageToJson(RouteSchema, buildRoute({ ...route, semantics: 'gateway' })) as {
    route: { regexRewrite: { pattern: { regex: string } } };
  };
  const pattern = RE2JS.compile(built.route.regexRewrite.pattern.regex);
  expect(pattern.matches(`${prefix}/x`)).toBe(true);
  for (const other of ['/aXb[c]+(d|e)*^$\\Q{1}/x', '/a.bcc', '/a.b', '/'])
    expect(pattern.matches(other)).toBe(false);
});

test('sidecarRouteInput: a foreign namespace cannot keep its VirtualService from others, but its owner can (traps row 18)', () => {
  const base = yamlOf(service('shop', 'owner', '10.0.0.1'), service('trap', 'thief', '10.0.0.2'));
  const stolen = (exportTo: readonly string[]): string =>
    document(
      'VirtualService',
      { name: 'steal', namespace: 'thief' },
      {
        hosts: ['shop.owner.svc.cluster.local'],
        exportTo,
        http: [rule(undefined, 'trap.thief.svc.cluster.local')],
      },
    );
  const linesFor = (namespace: string, ...documents: readonly string[]): readonly string[] | undefined =>
    routeLines(routesOf(yamlOf(base, ...documents), '80', { proxy: { namespace } }))[
      'shop.owner.svc.cluster.local:80'
    ];
  // Kept to its own namespace it is the business of that namespace.
  expect(linesFor('other', stolen(['.']))).toEqual(['/* outbound|80||shop.owner.svc.cluster.local']);
  expect(linesFor('thief', stolen(['.']))).toEqual(['/* outbound|80||trap.thief.svc.cluster.local']);
  // What the owner says for its own clients comes before what somebody says for everybody.
  const own = document(
    'VirtualService',
    { name: 'own', namespace: 'owner' },
    {
      hosts: ['shop.owner.svc.cluster.local'],
      exportTo: ['owner'],
      http: [rule(undefined, 'shop.owner.svc.cluster.local')],
    },
  );
  expect(linesFor('owner', stolen(['*']), own)).toEqual(['/* outbound|80||shop.owner.svc.cluster.local']);
});

test('clusters: a DestinationRule of a third namespace changes nothing for others (traps row 18)', () => {
  const yaml = yamlOf(
    service('shop', 'owner', '10.0.0.1'),
    document(
      'DestinationRule',
      { name: 'dr', namespace: 'thief' },
      {
        host: 'shop.owner.svc.cluster.local',
        exportTo: ['*'],
        trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 } } },
      },
    ),
  );
  const limitsFor = (namespace: string): string => {
    const { world, scope } = worldAndScope(yaml, { proxy: { namespace } });
    const input = clusters.input(world, scope, 'outbound|80||shop.owner.svc.cluster.local');
    if (input === undefined) throw new Error('no cluster');
    return JSON.stringify(messageToJson(clusters.schema, clusters.build(input).message));
  };
  expect(limitsFor('thief')).toContain('"maxConnections":1');
  expect(limitsFor('other')).not.toContain('"maxConnections":1,');
});

test('gatewayRouteInput: a gateway that names a namespace takes hosts of no other (traps row 18)', () => {
  const gateway = document(
    'Gateway',
    { name: 'gw', namespace: 'istio-system' },
    {
      selector: { istio: 'ingressgateway' },
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['owner/shop.com'] }],
    },
  );
  const bound = (namespace: string): string =>
    document(
      'VirtualService',
      { name: 'v', namespace },
      {
        hosts: ['shop.com'],
        gateways: ['istio-system/gw'],
        http: [rule(undefined, `x.${namespace}.svc.cluster.local`)],
      },
    );
  const ingress = document(
    'Service',
    { name: 'istio-ingressgateway', namespace: 'istio-system' },
    {
      clusterIP: '10.0.0.9',
      selector: { istio: 'ingressgateway' },
      ports: [{ name: 'http2', port: 80, targetPort: 8080 }],
    },
    'v1',
  );
  const built = (namespace: string) =>
    routesOf(yamlOf(ingress, gateway, bound(namespace)), 'http.8080', { proxy: gatewayPod });
  expect(domainsOf(built('owner'))).toHaveProperty('shop.com:80');
  expect(domainsOf(built('thief'))).toEqual({ 'blackhole:80': ['*'] });
});

test.each([
  'fe80::1%eth0',
  '::ffff:10.0.0.1',
  '[fd00::1]:80',
  'fd00::1:80',
  '10.0.0.256',
  '010.0.0.1',
  '0x7f.1',
  '::',
  '1::2::3',
  `${'a'.repeat(64)}.com`,
  `${'a.'.repeat(140)}com`,
  '',
  ' ',
  'unix:///',
  'ä.example',
])(
  'reading and translation: the address %j throws nothing, and costs one object at most (traps row 19)',
  (address) => {
    const entry = (name: string, fields: object): string =>
      document(
        'ServiceEntry',
        { name },
        {
          hosts: [`${name}.com`],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          resolution: 'STATIC',
          endpoints: [{ address: '10.1.1.1' }],
          ...fields,
        },
      );
    const yaml = yamlOf(
      entry('endpoint', { endpoints: [{ address }] }),
      entry('vip', { addresses: [address] }),
      entry('host', { hosts: [address] }),
      document('WorkloadEntry', { name: 'w' }, { address, labels: { app: 'w' } }),
      document('Service', { name: 'svc' }, { clusterIP: address, ports: [{ name: 'http', port: 80 }] }, 'v1'),
      document('VirtualService', { name: 'v' }, { hosts: [address], http: [rule(undefined, address)] }),
      entry('good', {}),
    );
    const { configs, diagnostics } = readText('in.yaml', yaml);
    expect(configs.map(({ name }) => name)).toContain('good');
    for (const { message } of diagnostics) expect(message.length).toBeLessThan(1000);
    const world = worldOf(configs);
    const scope = proxyScope(world, proxyNode());
    for (const type of [clusters, endpoints, listeners, routes])
      for (const name of type.names(world, scope)) {
        const input = type.input(world, scope, name);
        if (input !== undefined) type.build(input as never);
      }
  },
);
