// What Envoy refuses a whole resource for must not come out of any configuration: domains, names and chain
// matches that stand twice.
import type { FilterChainMatch } from '../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { FilterChainMatchSchema } from '../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Config } from '../config/config.ts';
import { configOf } from '../../test/support/istio-objects.ts';
import { gatewayPod } from '../../test/support/translated.ts';
import { proxyNode, worldOf } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { listeners, routes } from './index.ts';
import { proxyScope } from './scope.ts';

const namespaces = fc.constantFrom('default', 'other');
const shortNames = fc.constantFrom('a', 'b', 'A');
const hosts = fc.constantFrom(
  'a',
  'b',
  'A.default.svc.cluster.local',
  'a.default',
  'a.default.svc',
  'a.other.svc.cluster.local',
  '*.default.svc.cluster.local',
  'x.com',
  'X.com',
  '*.com',
  '*.x.com',
  '10.0.0.1',
);
const ports = fc.constantFrom(
  { name: 'http', protocol: 'HTTP', number: 80 },
  { name: 'tcp', protocol: 'TCP', number: 80 },
  { name: 'tls', protocol: 'TLS', number: 80 },
  { name: 'any', protocol: '', number: 80 },
  { name: 'grpc', protocol: 'GRPC', number: 81 },
);

const kubeServices = fc
  .record({
    name: shortNames,
    namespace: namespaces,
    port: ports,
    clusterIP: fc.constantFrom('10.0.0.1', '10.0.0.2', 'None'),
  })
  .map(({ name, namespace, port, clusterIP }) =>
    object('Service', name.toLowerCase(), namespace, {
      clusterIP,
      ports: [{ name: port.name, port: port.number }],
    }),
  );
const serviceEntries = fc
  .record({
    host: hosts,
    namespace: namespaces,
    port: ports,
    addresses: fc.constantFrom([], ['10.0.0.1'], ['10.1.2.3/16'], ['10.1.0.0/16']),
  })
  .map(({ host, namespace, port, addresses }) =>
    object('ServiceEntry', `se-${host.replaceAll(/\W/g, '-')}`, namespace, {
      hosts: [host],
      addresses,
      ports: [port],
      resolution: 'NONE',
    }),
  );
const virtualServices = fc
  .record({
    name: fc.constantFrom('v1', 'v2', 'v3'),
    namespace: namespaces,
    hosts: fc.uniqueArray(hosts, { minLength: 1, maxLength: 3 }),
    subnets: fc.constantFrom([], ['10.1.0.0/16'], ['10.1.9.9/16']),
  })
  .map(({ name, namespace, hosts: named, subnets }) =>
    object('VirtualService', name, namespace, {
      hosts: named,
      gateways: ['mesh', 'default/gw'],
      http: [{ route: [{ destination: { host: 'a' } }] }],
      tcp: [{ match: [{ destinationSubnets: subnets }], route: [{ destination: { host: 'b' } }] }],
      tls: [{ match: [{ sniHosts: named }], route: [{ destination: { host: 'b' } }] }],
    }),
  );
const servers = fc
  .uniqueArray(hosts, { minLength: 1, maxLength: 3 })
  .chain((named) => fc.constantFrom('HTTP', 'TLS', 'TCP').map((protocol) => ({ named, protocol })))
  .map(({ named, protocol }) => ({
    port: { number: 80, name: 'p', protocol },
    hosts: named,
    ...(protocol === 'TLS' ? { tls: { mode: 'PASSTHROUGH' } } : {}),
  }));
const gateways = fc
  .array(servers, { minLength: 1, maxLength: 3 })
  .map((all) => object('Gateway', 'gw', 'default', { selector: { istio: 'ingressgateway' }, servers: all }));

const worlds = fc
  .tuple(
    fc.array(kubeServices, { maxLength: 4 }),
    fc.array(serviceEntries, { maxLength: 4 }),
    fc.array(virtualServices, { maxLength: 4 }),
    gateways,
  )
  .map(([a, b, c, d]) => unique([...a, ...b, ...c, d]));

test.each<[string, Partial<ProxyNode>]>([
  ['a sidecar', { httpProxyPort: 15_080 }],
  ['a sidecar of another namespace', { namespace: 'other' }],
  ['a gateway', gatewayPod],
])('listeners, routes: nothing stands twice for %s (C4.11, C11.05)', (_who, node) => {
  fc.assert(
    fc.property(worlds, (configs) => {
      const world = worldOf(configs);
      const scope = proxyScope(world, proxyNode(node));
      for (const name of [...routes.names(world, scope), '80', 'http_proxy']) {
        const input = routes.input(world, scope, name);
        const hostsOf = input === undefined ? [] : routes.build(input).message.virtualHosts;
        expectUnique(hostsOf.map((host) => host.name));
        expectUnique(hostsOf.flatMap((host) => host.domains.map((domain) => domain.toLowerCase())));
      }
      for (const name of listeners.names(world, scope)) {
        const input = listeners.input(world, scope, name);
        if (input === undefined) continue;
        const { filterChains } = listeners.build(input).message;
        expect(filterChains.length).toBeGreaterThan(0);
        expectUnique(filterChains.flatMap(({ filterChainMatch }) => criteriaOf(filterChainMatch)));
      }
    }),
    { numRuns: 150, seed: 7 },
  );
});

/** Each combination of one value per criterion, as Envoy's tree of chains has them. */
function criteriaOf(match: FilterChainMatch | undefined): readonly string[] {
  if (match === undefined) return ['any'];
  const { prefixRanges, serverNames, applicationProtocols, ...rest } = messageToJson(
    FilterChainMatchSchema,
    match,
  ) as Record<string, readonly unknown[] | undefined>;
  const each = (values: readonly unknown[] = [null]): readonly unknown[] => values;
  return each(prefixRanges).flatMap((range) =>
    each(serverNames).flatMap((server) =>
      each(applicationProtocols).map((protocol) => JSON.stringify([rest, range, server, protocol])),
    ),
  );
}

function expectUnique(values: readonly string[]): void {
  expect(values.filter((value, index) => values.indexOf(value) !== index)).toEqual([]);
}

function object(kind: string, name: string, namespace: string, spec: unknown): Config {
  return configOf({ kind, metadata: { name, namespace }, spec });
}

function unique(configs: readonly Config[]): readonly Config[] {
  return [
    ...new Map(
      configs.map((config) => [`${config.kind}/${config.namespace}/${config.name}`, config]),
    ).values(),
  ];
}
