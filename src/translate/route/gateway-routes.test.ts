import { expect, test } from 'vitest';
import {
  domainsOf,
  gatewayPod,
  routeLines,
  routesOf,
  sourceLines,
  worldAndScope,
} from '../../../test/support/translated.ts';
import { routes } from '../routes.ts';

const gatewayService = `
apiVersion: v1
kind: Service
metadata: { name: istio-ingressgateway, namespace: istio-system }
spec: { clusterIP: 10.0.0.1, selector: { istio: ingressgateway }, ports: [{ name: http2, port: 80, targetPort: 8080 }] }
`;
const gateway = (name: string, servers: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name} }
spec: { selector: { istio: ingressgateway }, servers: [${servers}] }
`;
const server = (hosts: string, more = ''): string =>
  `{ port: { number: 80, name: http, protocol: HTTP }, hosts: [${hosts}]${more} }`;
const virtualService = (name: string, spec: string, metadata = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}${metadata} }
spec: { gateways: [gw], ${spec} }
`;
const yaml = (...documents: readonly string[]): string => [gatewayService, ...documents].join('\n---\n');
const built = (...documents: readonly string[]) =>
  routesOf(yaml(...documents), 'http.8080', { proxy: gatewayPod });

test('gatewayRouteInput: without a VirtualService everything is 404 (C7.07, A6.01, T15)', () => {
  expect(built(gateway('gw', server("'*'")))).toMatchObject({
    name: 'http.8080',
    virtualHosts: [{ name: 'blackhole:80', domains: ['*'], includeRequestAttemptCount: true }],
  });
});

test('gatewayRouteInput: VirtualServices of one host are joined by age, what everything meets comes last (C4.05, T03)', () => {
  const config = built(
    gateway('gw', server("'*'")),
    virtualService(
      'old',
      "hosts: ['a.com'], http: [{ match: [{ uri: { prefix: /old } }], route: [{ destination: { host: o.com } }] }, { route: [{ destination: { host: o.com, subset: all } }] }]",
      ", creationTimestamp: '2020-01-01T00:00:00Z'",
    ),
    virtualService(
      'young',
      "hosts: ['a.com'], http: [{ match: [{ uri: { prefix: /young } }], route: [{ destination: { host: y.com } }] }, { route: [{ destination: { host: y.com, subset: all } }] }]",
      ", creationTimestamp: '2021-01-01T00:00:00Z'",
    ),
  );
  expect(routeLines(config)).toEqual({
    'a.com:80': [
      '/old* outbound|80||o.com',
      '/young* outbound|80||y.com',
      '/* outbound|80|all|o.com',
      '/* outbound|80|all|y.com',
    ],
  });
});

test.each<[string, string, string, readonly string[]]>([
  ['the same', "'a.com'", "'a.com'", ['a.com']],
  ['a wildcard of the server', "'*.com'", "'a.com', 'a.org'", ['a.com']],
  ['a wildcard of the rule', "'a.com', 'b.com', 'c.org'", "'*.com'", ['a.com', 'b.com']],
  ['both wildcards', "'*.com'", "'*.a.com'", ['*.a.com']],
  ['everything', "'*'", "'*'", ['*']],
  [
    'the rule’s namespace',
    "'default/a.com', 'other/b.com', './c.com', '*/d.com'",
    "'*'",
    ['a.com', 'c.com', 'd.com'],
  ],
  ['letter case', "'A.com'", "'a.COM'", ['a.com']],
])('gatewayRouteInput: common hosts: %s (C4.10, C7.09)', (_case, serverHosts, hosts, expected) => {
  const config = built(
    gateway('gw', server(serverHosts)),
    virtualService('vs', `hosts: [${hosts}], http: [{ route: [{ destination: { host: x.com } }] }]`),
  );
  expect(Object.values(domainsOf(config)).flat()).toEqual(expected);
});

test('gatewayRouteInput: hosts with the same routes share a virtual host, named by the longest', () => {
  const config = built(
    gateway('gw', server("'*'")),
    virtualService(
      'vs',
      "hosts: [a.com, bbb.com, '*.c.com'], http: [{ route: [{ destination: { host: x.com } }] }]",
    ),
  );
  expect(domainsOf(config)).toEqual({ 'bbb.com:80': ['bbb.com', 'a.com', '*.c.com'] });
});

test('gatewayRouteInput: several Gateways share the routes of a port; each has its own VirtualServices (C7.01, partly C7.03)', () => {
  const config = built(
    gateway('gw', server('a.com')),
    gateway('other', server('b.com')),
    virtualService('vs', "hosts: ['*'], http: [{ route: [{ destination: { host: x.com } }] }]"),
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs2 }
spec: { gateways: [default/other], hosts: ['*'], http: [{ route: [{ destination: { host: y.com } }] }] }
`,
  );
  expect(routeLines(config)).toEqual({
    'a.com:80': ['/* outbound|80||x.com'],
    'b.com:80': ['/* outbound|80||y.com'],
  });
});

test('gatewayRouteInput: a rule’s port is the server’s, not that of the listener (A5.05, C5.04)', () => {
  const config = built(
    gateway('gw', server("'*'")),
    virtualService(
      'vs',
      'hosts: [simple.zhongmingmao.io], http: [{ match: [{ port: 80 }], route: [{ destination: { host: simple.simple.svc.cluster.local, port: { number: 80 } } }] }, { match: [{ port: 8080 }], route: [{ destination: { host: never } }] }]',
    ),
  );
  expect(routeLines(config)).toEqual({
    'simple.zhongmingmao.io:80': ['/* outbound|80||simple.simple.svc.cluster.local'],
  });
});

test('gatewayRouteInput: match.gateways alone decides; source labels are the gateway’s (C5.04, T14)', () => {
  const to = (subset: string): string => `route: [{ destination: { host: x.com, subset: ${subset} } }]`;
  const config = built(
    gateway('gw', server("'*'")),
    virtualService(
      'vs',
      `hosts: [a.com], http: [
        { match: [{ gateways: [mesh] }], ${to('mesh')} },
        { match: [{ sourceLabels: { istio: other } }], ${to('label')} },
        { match: [{ uri: { exact: /1 }, gateways: [default/gw], sourceLabels: { istio: other } }], ${to('gateway')} },
        { match: [{ uri: { exact: /2 }, sourceLabels: { istio: ingressgateway }, sourceNamespace: istio-system }], ${to('own')} }]`,
    ),
  );
  expect(routeLines(config)).toEqual({
    'a.com:80': ['/1 outbound|80|gateway|x.com', '/2 outbound|80|own|x.com'],
  });
});

test('gatewayRouteInput: httpsRedirect redirects every host of the server, with or without routes (C7.06)', () => {
  const config = built(
    gateway('gw', server("a.com, 'default/b.com'", ', tls: { httpsRedirect: true }')),
    virtualService('vs', 'hosts: [a.com], http: [{ route: [{ destination: { host: x.com } }] }]'),
  );
  expect(config['virtualHosts']).toMatchObject([
    { name: 'a.com:80', requireTls: 'ALL', routes: [{}] },
    { name: 'b.com:80', requireTls: 'ALL', domains: ['b.com'] },
  ]);
});

test('gatewayRouteInput: the only port of a service counts, and a service of the rule’s namespace first (C4.07)', () => {
  const config = built(
    gateway('gw', server("'*'")),
    `
apiVersion: v1
kind: Service
metadata: { name: app }
spec: { clusterIP: 10.0.0.2, ports: [{ name: http, port: 9080 }] }
`,
    virtualService('vs', 'hosts: [a.com], http: [{ route: [{ destination: { host: app } }] }]'),
  );
  expect(routeLines(config)).toEqual({ 'a.com:80': ['/* outbound|9080||app.default.svc.cluster.local'] });
});

test('gatewayRouteInput: a name without servers gets an answer without hosts (T18)', () => {
  const config = routesOf(yaml(gateway('gw', server("'*'"))), 'http.9999', { proxy: gatewayPod });
  expect(config['name']).toBe('http.9999');
  expect(config['virtualHosts']).toBeUndefined();
});

test('routes: after an edit the inputs of other VirtualServices are the same objects', () => {
  const rules = (host: string): string =>
    `hosts: [${host}], http: [{ route: [{ destination: { host: x.com } }] }]`;
  const { world, scope } = worldAndScope(
    yaml(
      gateway('gw', server("'*'")),
      virtualService('a', rules('a.com')),
      virtualService('b', rules('b.com')),
    ),
    { proxy: gatewayPod },
  );
  const first = routes.input(world, scope, 'http.8080');
  const second = routes.input(world, scope, 'http.8080');
  expect(first?.virtualHosts[0]?.routes[0]).toBe(second?.virtualHosts[0]?.routes[0]);
  expect(first === undefined ? [] : sourceLines(routes.build(first).provenance)).toEqual([
    'virtualHosts[0] <- Gateway default/gw spec.servers[0]',
    'virtualHosts[0].routes[0] <- VirtualService default/a spec.http[0]',
    'virtualHosts[1] <- Gateway default/gw spec.servers[0]',
    'virtualHosts[1].routes[0] <- VirtualService default/b spec.http[0]',
  ]);
});

const tls = 'tls: { mode: SIMPLE, credentialName: c }';
const to = (host: string): string => `http: [{ route: [{ destination: { host: ${host} } }] }]`;

test('gatewayRouteInput: each HTTPS server has the hosts of its own alone (C7.04, B6.07)', () => {
  const documents = yaml(
    `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: apps }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 443, name: https-a, protocol: HTTPS }, hosts: ['./*.com'], ${tls} }
    - { port: { number: 443, name: https-b, protocol: HTTPS }, hosts: ['*/b.org'], ${tls} }
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: ['*/b.org'] }
`,
    ...['apps', 'other'].map(
      (namespace) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs, namespace: ${namespace} }
spec: { gateways: [apps/gw], hosts: ['${namespace}.com', b.org], ${to(`${namespace}.test`)} }
`,
    ),
  );
  const linesOf = (name: string) => routeLines(routesOf(documents, name, { proxy: gatewayPod }));
  expect(linesOf('https.443.https-a.gw.apps')).toEqual({ 'apps.com:443': ['/* outbound|443||apps.test'] });
  expect(linesOf('https.443.https-b.gw.apps')).toEqual({
    'b.org:443': ['/* outbound|443||apps.test', '/* outbound|443||other.test'],
  });
  expect(linesOf('http.8080')).toEqual({
    'b.org:80': ['/* outbound|80||apps.test', '/* outbound|80||other.test'],
  });
});

test('gatewayRouteInput: a redirect knows what its clients speak: the port of the scheme is not said (C5.13, C7.04)', () => {
  const redirect = 'hosts: [a.com], http: [{ redirect: { uri: /new, derivePort: FROM_REQUEST_PORT } }]';
  const location = (servers: string, name: string): unknown => {
    const [host] = routesOf(yaml(gateway('gw', servers), virtualService('vs', redirect)), name, {
      proxy: gatewayPod,
    })['virtualHosts'] as unknown as { routes: { redirect: object }[] }[];
    return host?.routes[0]?.redirect;
  };
  const https = (number: number): string =>
    `{ port: { number: ${number}, name: s, protocol: HTTPS }, hosts: [a.com], ${tls} }`;
  expect(location(https(443), 'https.443.s.gw.default')).not.toHaveProperty('portRedirect');
  expect(location(https(8443), 'https.8443.s.gw.default')).toHaveProperty('portRedirect', 8443);
});

test('gatewayRouteInput: of public VirtualServices, Gateway API routes of the gateway’s own namespace come first', () => {
  const made = (name: string, namespace: string, annotations: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${namespace}, annotations: ${annotations} }
spec: { gateways: [default/gw], hosts: [a.com], http: [{ match: [{ uri: { prefix: /x } }], route: [{ destination: { host: ${name}.test } }] }] }
`;
  const config = built(
    gateway('gw', server("'*'")),
    made('a', 'other', '{ internal.istio.io/route-semantics: gateway }'),
    made('b', 'istio-system', '{}'),
    made('c', 'istio-system', '{ internal.istio.io/route-semantics: gateway }'),
  );
  expect(routeLines(config)['a.com:80']?.map((line) => line.split('||')[1])).toEqual([
    'c.test',
    'a.test',
    'b.test',
  ]);
});
