// Faults that Istio once had and told of in its release notes, by the number of the note.
import { expect, test } from 'vitest';
import { domainsOf, routeLines, routesOf, worldAndScope } from '../../test/support/translated.ts';
import { messageToJson } from '../api/any.ts';
import { clusters } from './index.ts';

const document = (kind: string, metadata: object, spec: object, version = 'networking.istio.io/v1'): string =>
  JSON.stringify({ apiVersion: version, kind, metadata, spec });
const yamlOf = (...documents: readonly string[]): string => documents.join('\n---\n');
const service = (name: string, namespace: string, spec: object): string =>
  document('Service', { name, namespace }, { ports: [{ name: 'http', port: 80 }], ...spec }, 'v1');
const routeTo = (hosts: readonly string[], host: string): object => ({
  hosts,
  http: [{ route: [{ destination: { host } }] }],
});
const entry = (name: string, hosts: readonly string[]): string =>
  document(
    'ServiceEntry',
    { name, namespace: 'default' },
    {
      hosts,
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'NONE',
      location: 'MESH_EXTERNAL',
    },
  );

test('routes: a dual-stack service is known by both of its addresses (regression 45564)', () => {
  const yaml = service('app', 'default', { clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', 'fd00::1'] });
  const proxy = { ipAddresses: ['10.1.0.1', 'fd00::2'] };
  const domains = domainsOf(routesOf(yaml, '80', { proxy }))['app.default.svc.cluster.local:80'];
  expect(domains).toEqual(expect.arrayContaining(['10.0.0.1', '[fd00::1]']));
});

test('routes: wildcards that overlap stand side by side, each domain once (regression 45415)', () => {
  const yaml = yamlOf(
    entry('wide', ['*.com']),
    entry('narrow', ['*.shop.com']),
    document('VirtualService', { name: 'wide', namespace: 'default' }, routeTo(['*.com'], 'a.com')),
    document('VirtualService', { name: 'narrow', namespace: 'default' }, routeTo(['*.shop.com'], 'b.com')),
  );
  const configuration = routesOf(yaml, '80');
  const all = Object.values(domainsOf(configuration)).flat();
  expect(all.filter((domain, index) => all.indexOf(domain) !== index)).toEqual([]);
  expect(routeLines(configuration)).toMatchObject({
    '*.com:80': ['/* outbound|80||a.com'],
    '*.shop.com:80': ['/* outbound|80||b.com'],
  });
});

test('routes: a Sidecar that names one host of a wildcard gets no other (regression 33387)', () => {
  const yaml = yamlOf(
    service('a', 'shop', { clusterIP: '10.0.0.1' }),
    service('b', 'shop', { clusterIP: '10.0.0.2' }),
    document('VirtualService', { name: 'v', namespace: 'shop' }, routeTo(['*.shop.svc.cluster.local'], 'b')),
    document(
      'Sidecar',
      { name: 'default', namespace: 'default' },
      {
        egress: [{ hosts: ['shop/a.shop.svc.cluster.local'] }],
      },
    ),
  );
  const hosts = Object.values(domainsOf(routesOf(yaml, '80'))).flat();
  expect(hosts).toContain('a.shop.svc.cluster.local');
  expect(hosts.filter((host) => host.startsWith('b.') || host.startsWith('*.'))).toEqual([]);
});

test('clusters: a DestinationRule kept to one namespace hides nobody else’s (regression 48312)', () => {
  const rule = (
    name: string,
    namespace: string,
    exportTo: readonly string[],
    maxConnections: number,
  ): string =>
    document(
      'DestinationRule',
      { name, namespace },
      {
        host: 'app.shop.svc.cluster.local',
        exportTo,
        trafficPolicy: { connectionPool: { tcp: { maxConnections } } },
      },
    );
  const yaml = yamlOf(
    service('app', 'shop', { clusterIP: '10.0.0.1' }),
    rule('own', 'shop', ['shop'], 11),
    rule('public', 'shop', ['*'], 12),
    rule('mine', 'client', ['client'], 13),
  );
  const clusterFor = (namespace: string): string => {
    const { world, scope } = worldAndScope(yaml, { proxy: { namespace } });
    const input = clusters.input(world, scope, 'outbound|80||app.shop.svc.cluster.local');
    if (input === undefined) throw new Error('no cluster');
    return JSON.stringify(messageToJson(clusters.schema, clusters.build(input).message));
  };
  expect(clusterFor('client')).toContain('"maxConnections":13');
  expect(clusterFor('other')).toContain('"maxConnections":12');
});

test('clusters: a Sidecar that names a service gets each of its ports (regression sidecar-port-merge)', () => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'http-admin', port: 8080 },
  ];
  const yaml = yamlOf(
    service('a', 'shop', { clusterIP: '10.0.0.1', ports }),
    document(
      'Sidecar',
      { name: 'default', namespace: 'default' },
      {
        egress: [
          { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['shop/a.shop.svc.cluster.local'] },
          { hosts: ['shop/a.shop.svc.cluster.local'] },
        ],
      },
    ),
  );
  const { world, scope } = worldAndScope(yaml);
  expect(clusters.names(world, scope)).toEqual(
    expect.arrayContaining([
      'outbound|80||a.shop.svc.cluster.local',
      'outbound|8080||a.shop.svc.cluster.local',
    ]),
  );
});
