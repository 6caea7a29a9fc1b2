import { expect, test } from 'vitest';
import {
  chainLines,
  domainsOf,
  listenersOf,
  routeLines,
  routesOf,
  sourceLines,
  worldAndScope,
} from '../../../test/support/translated.ts';
import { routes } from '../routes.ts';

const service = (name: string, ports: string, more = ''): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { clusterIP: 10.0.0.${name.length}, selector: { app: ${name} }, ports: [${ports}]${more} }
`;
const http80 = '{ name: http, port: 80 }';
const virtualService = (name: string, spec: string, metadata = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}${metadata} }
spec: ${spec}
`;
const yaml = (...documents: readonly string[]): string => documents.join('\n---\n');

test('sidecarRouteInput: services of a port, then the catch-all (partly B6.06, C4.12, T10)', () => {
  const config = routesOf(
    yaml(service('aa', http80), service('b', http80), service('c', '{ name: http, port: 81 }')),
    '80',
  );
  expect(routeLines(config)).toEqual({
    'aa.default.svc.cluster.local:80': ['/* outbound|80||aa.default.svc.cluster.local'],
    'b.default.svc.cluster.local:80': ['/* outbound|80||b.default.svc.cluster.local'],
    allow_any: ['/* PassthroughCluster'],
  });
  expect(config).toMatchObject({
    name: '80',
    validateClusters: false,
    ignorePortInHostMatching: true,
    maxDirectResponseBodySizeBytes: 1_048_576,
  });
  expect((config['virtualHosts'] as object[]).every((host) => 'includeRequestAttemptCount' in host)).toBe(
    true,
  );
});

test('sidecarRouteInput: REGISTRY_ONLY answers 502 (C4.12, A6.13, T10)', () => {
  const config = routesOf(service('a', http80), '80', { mesh: { outboundTrafficPolicy: 'REGISTRY_ONLY' } });
  expect(routeLines(config)['block_all']).toEqual(['/* {"status":502}']);
});

test('sidecarRouteInput: a Sidecar’s egress proxy gets what would pass through (C4.12)', () => {
  const sidecar = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec:
  egress: [{ hosts: ['*/*'] }]
  outboundTrafficPolicy:
    mode: ALLOW_ANY
    egressProxy: { host: out.default.svc.cluster.local, subset: v1, port: { number: 80 } }
`;
  const config = yaml(service('a', http80), service('out', http80), sidecar);
  const cluster = 'outbound|80|v1|out.default.svc.cluster.local';
  expect(routeLines(routesOf(config, '80'))['allow_any']).toEqual([`/* ${cluster}`]);
  expect(routeLines(routesOf(config, 'http_proxy'))['allow_any']).toEqual([`/* ${cluster}`]);
  const { virtualOutbound, '0.0.0.0_80': web } = listenersOf(config);
  expect(chainLines(virtualOutbound)).toContain(`any -> ${cluster}`);
  expect(chainLines(web)).toContain(`default -> ${cluster}`);
});

test('sidecarRouteInput: of two VirtualServices with one host the older has it all (C4.04, T03)', () => {
  const old = virtualService(
    'z',
    '{ hosts: [a], http: [{ match: [{ uri: { prefix: /old } }], route: [{ destination: { host: a, subset: old } }] }] }',
    ", creationTimestamp: '2020-01-01T00:00:00Z'",
  );
  const young = virtualService(
    'y',
    '{ hosts: [a], http: [{ route: [{ destination: { host: a, subset: young } }] }] }',
    ", creationTimestamp: '2021-01-01T00:00:00Z'",
  );
  const lines = routeLines(routesOf(yaml(service('a', http80), young, old), '80'));
  expect(lines['a.default.svc.cluster.local:80']).toEqual([
    '/old* outbound|80|old|a.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: an exact host takes a service from a wildcard, a longer wildcard from a shorter (C4.04)', () => {
  const rule = (subset: string): string =>
    `http: [{ route: [{ destination: { host: x.com, subset: ${subset} } }] }]`;
  const entry = (host: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${host.replaceAll(/[^a-z]/g, '-')} }
spec: { hosts: ['${host}'], ports: [${http80.replace('port', 'number').replace(' }', ', protocol: HTTP }')}], resolution: DNS }
`;
  const lines = routeLines(
    routesOf(
      yaml(
        entry('a.b.com'),
        entry('c.b.com'),
        entry('d.com'),
        virtualService('w1', `{ hosts: ['*.com'], ${rule('short')} }`),
        virtualService('w2', `{ hosts: ['*.b.com'], ${rule('long')} }`),
        virtualService('w3', `{ hosts: [a.b.com], ${rule('exact')} }`),
      ),
      '80',
    ),
  );
  expect(lines).toEqual({
    'a.b.com:80': ['/* outbound|80|exact|x.com'],
    'c.b.com:80': ['/* outbound|80|long|x.com'],
    'd.com:80': ['/* outbound|80|short|x.com'],
    allow_any: ['/* PassthroughCluster'],
  });
});

test('sidecarRouteInput: hosts that no service has count on port 80 alone (C4.06, T11)', () => {
  const config = yaml(
    service('a', '{ name: http, port: 80 }, { name: http-alt, port: 81 }'),
    virtualService('vs', '{ hosts: [example.com], http: [{ route: [{ destination: { host: a } }] }] }'),
  );
  expect(Object.keys(routeLines(routesOf(config, '80')))).toContain('example.com:80');
  expect(Object.keys(routeLines(routesOf(config, '81')))).not.toContain('example.com:81');
});

test('sidecarRouteInput: other hosts of a VirtualService come along on every port of its services', () => {
  const config = yaml(
    service('a', '{ name: http, port: 81 }'),
    virtualService('vs', '{ hosts: [example.com, a], http: [{ route: [{ destination: { host: a } }] }] }'),
  );
  expect(domainsOf(routesOf(config, '81'))).toMatchObject({ 'example.com:81': ['example.com'] });
});

test('sidecarRouteInput: short names of hosts are those of the rule’s namespace, dotted names are taken as they are (C4.01, T01)', () => {
  const config = yaml(
    service('a', http80),
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs, namespace: other }
spec: { hosts: [example.com], http: [{ match: [{ uri: { exact: /1 } }], route: [{ destination: { host: a } }] }, { route: [{ destination: { host: a.default.svc } }] }] }
`,
  );
  expect(routeLines(routesOf(config, '80'))['example.com:80']).toEqual([
    '/1 outbound|80||a.other.svc.cluster.local',
    '/* outbound|80||a.default.svc',
  ]);
});

test('sidecarRouteInput: a destination without a port means the only one, else the listener’s (C4.07)', () => {
  const config = yaml(
    service('a', http80),
    service('bb', '{ name: http, port: 8080 }'),
    service('ccc', '{ name: http, port: 8080 }, { name: http-b, port: 8081 }'),
    virtualService(
      'vs',
      '{ hosts: [a], http: [{ match: [{ uri: { exact: /1 } }], route: [{ destination: { host: bb } }] }, { route: [{ destination: { host: ccc } }] }] }',
    ),
  );
  expect(routeLines(routesOf(config, '80'))['a.default.svc.cluster.local:80']).toEqual([
    '/1 outbound|8080||bb.default.svc.cluster.local',
    '/* outbound|80||ccc.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: rules end with the first that everything meets; port, gateway and source choose (C5.04, C5.06, A6.12, T14)', () => {
  const to = (subset: string): string => `route: [{ destination: { host: a, subset: ${subset} } }]`;
  const config = yaml(
    service('a', http80),
    virtualService(
      'vs',
      `{ hosts: [a], gateways: [mesh, gw], http: [
        { match: [{ port: 81 }], ${to('port')} },
        { match: [{ gateways: [gw] }], ${to('gateway')} },
        { match: [{ uri: { exact: /m }, gateways: [mesh], sourceLabels: { app: nobody } }], ${to('mesh')} },
        { match: [{ sourceLabels: { app: nobody } }], ${to('label')} },
        { match: [{ uri: { exact: /l }, sourceLabels: { app: client }, sourceNamespace: default }], ${to('own')} },
        { match: [{ sourceLabels: { app: client }, sourceNamespace: other }], ${to('namespace')} },
        { match: [{ uri: { exact: /x } }, { uri: { prefix: / } }, { uri: { exact: /y } }], ${to('last')} },
        { ${to('never')} }] }`,
    ),
  );
  const lines = routeLines(routesOf(config, '80', { proxy: { labels: { app: 'client' } } }));
  expect(lines['a.default.svc.cluster.local:80']).toEqual([
    '/m outbound|80|mesh|a.default.svc.cluster.local',
    '/l outbound|80|own|a.default.svc.cluster.local',
    '/x outbound|80|last|a.default.svc.cluster.local',
    '/* outbound|80|last|a.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: a VirtualService of which no rule applies leaves its service as it is', () => {
  const config = yaml(
    service('a', http80),
    virtualService(
      'vs',
      '{ hosts: [a], http: [{ match: [{ port: 81 }], route: [{ destination: { host: b } }] }] }',
    ),
  );
  expect(routeLines(routesOf(config, '80'))['a.default.svc.cluster.local:80']).toEqual([
    '/* outbound|80||a.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: a private VirtualService counts before an older public one (C4.08)', () => {
  const rule = (subset: string): string =>
    `http: [{ route: [{ destination: { host: a, subset: ${subset} } }] }]`;
  const config = yaml(
    service('a', http80),
    virtualService(
      'public',
      `{ hosts: [a], ${rule('public')} }`,
      ", creationTimestamp: '2020-01-01T00:00:00Z'",
    ),
    virtualService(
      'own',
      `{ hosts: [a], exportTo: ['.'], ${rule('own')} }`,
      ", creationTimestamp: '2021-01-01T00:00:00Z'",
    ),
  );
  expect(routeLines(routesOf(config, '80'))['a.default.svc.cluster.local:80']).toEqual([
    '/* outbound|80|own|a.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: an alias is a domain of its target, as a destination it is its target (C2.06, T23)', () => {
  const config = yaml(
    service('a', http80),
    `
apiVersion: v1
kind: Service
metadata: { name: old }
spec: { type: ExternalName, externalName: a.default.svc.cluster.local, ports: [${http80}] }
`,
    virtualService('vs', '{ hosts: [example.com], http: [{ route: [{ destination: { host: old } }] }] }'),
  );
  const built = routesOf(config, '80');
  expect(domainsOf(built)['a.default.svc.cluster.local:80']).toContain('old');
  expect(routeLines(built)['example.com:80']).toEqual(['/* outbound|80||a.default.svc.cluster.local']);
});

test('sidecarRouteInput: a domain belongs to the first virtual host that has it (C4.11)', () => {
  const config = yaml(
    service('a', http80),
    virtualService('one', '{ hosts: [a.default.svc], http: [{ route: [{ destination: { host: b } }] }] }'),
  );
  const domains = domainsOf(routesOf(config, '80'));
  expect(domains['a.default.svc:80']).toEqual(['a.default.svc']);
  expect(domains['a.default.svc.cluster.local:80']).not.toContain('a.default.svc');
});

test('sidecarRouteInput: hosts in another letter case are the same host (trap 3)', () => {
  const config = yaml(
    service('a', http80),
    virtualService(
      'one',
      '{ hosts: [A.Default.svc.Cluster.local], http: [{ route: [{ destination: { host: a, subset: s } }] }] }',
    ),
  );
  expect(routeLines(routesOf(config, '80'))['a.default.svc.cluster.local:80']).toEqual([
    '/* outbound|80|s|a.default.svc.cluster.local',
  ]);
});

test('sidecarRouteInput: a sniffed service has routes of its own, for whatever host (partly B6.06, C11.02, T09)', () => {
  const config = yaml(service('a', '{ port: 80 }'), service('bb', http80));
  const built = routesOf(config, 'a.default.svc.cluster.local:80');
  expect(domainsOf(built)).toEqual({ 'a.default.svc.cluster.local:80': ['*'] });
  expect(Object.keys(routeLines(routesOf(config, '80')))).toContain('a.default.svc.cluster.local:80');
});

test('sidecarRouteInput: http_proxy has the hosts of every port, with the port but for 80 (partly B6.06)', () => {
  const built = routesOf(yaml(service('a', http80), service('bb', '{ name: http, port: 81 }')), 'http_proxy');
  expect(domainsOf(built)['bb.default.svc.cluster.local:81']).toEqual([
    'bb.default.svc.cluster.local:81',
    'bb.default.svc.cluster.local.:81',
    'bb:81',
    'bb.default.svc:81',
    'bb.default:81',
    '10.0.0.2:81',
  ]);
  expect(domainsOf(built)['a.default.svc.cluster.local:80']).toEqual(
    expect.arrayContaining(['a', 'a:80', '10.0.0.1']),
  );
  expect(built['ignorePortInHostMatching']).toBeUndefined();
  // Whatever the policy: nobody knows where the client wanted to go.
  expect(routeLines(built)['block_all']).toEqual([
    expect.stringContaining('no service of the mesh has this host'),
  ]);
});

test.each(['nonsense', '99999', 'a:b', 'gone.default.svc.cluster.local:80'])(
  'sidecarRouteInput: the unknown name %j gets an answer without hosts (T18)',
  (name) => {
    expect(routesOf(service('a', http80), name)).toMatchObject({ name, validateClusters: false });
    expect(routesOf(service('a', http80), name)['virtualHosts']).toBeUndefined();
  },
);

test('routes: names are those that listeners ask for; sources tell whose rules they are', () => {
  const { world, scope } = worldAndScope(
    yaml(
      service('a', http80),
      service('bb', '{ port: 90 }'),
      virtualService(
        'vs',
        '{ hosts: [a], http: [{ match: [{ uri: { exact: /1 } }], route: [{ destination: { host: a } }] }] }',
      ),
    ),
  );
  expect(routes.names(world, scope)).toEqual(['80', 'bb.default.svc.cluster.local:90']);
  const input = routes.input(world, scope, '80');
  expect(input === undefined ? [] : sourceLines(routes.build(input).provenance)).toEqual([
    'virtualHosts[0] <- VirtualService default/vs spec.hosts[0]',
    'virtualHosts[0].routes[0] <- VirtualService default/vs spec.http[0].match[0]',
  ]);
});
