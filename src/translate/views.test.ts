import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { configsOfYaml, proxyNode, worldOf } from '../../test/support/world.ts';
import type { Config } from '../config/config.ts';
import { clusters, endpoints, listeners, routes } from './index.ts';
import type { ProxyScope, ResourceKind } from './resource.ts';
import { partsOf } from './resource.ts';
import { proxyScope } from './scope.ts';
import { destinationScope, outboundListenerScope, routeScope } from './views.ts';
import type { World } from './world.ts';

const kinds = [clusters, endpoints, listeners, routes] as unknown as readonly ResourceKind<unknown, never>[];

const services = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: one}
spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}, {name: tcp, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: two}
spec: {clusterIP: 10.96.0.2, selector: {app: b}, ports: [{name: tcp, port: 9000}, {name: auto, port: 7000}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a-0, namespace: one, labels: {app: a, version: v1}}
spec: {serviceAccountName: a, containers: [{name: app, image: x}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b-0, namespace: two, labels: {app: b}}
spec: {containers: [{name: app, image: x}]}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;

/** Whatever may tell clients apart, one of each. */
const more: readonly string[] = [
  // Private to its namespace, or to another.
  `apiVersion: v1
kind: Service
metadata: {name: own, namespace: one, annotations: {networking.istio.io/exportTo: "."}}
spec: {clusterIP: 10.96.0.3, selector: {app: a}, ports: [{name: tcp, port: 9100}]}`,
  `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: lent, namespace: one}
spec: {hosts: [lent.example.com], exportTo: [two], resolution: STATIC, ports: [{number: 9200, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.1}]}`,
  // One hostname in two namespaces.
  `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: one, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {hosts: [ext.example.com], addresses: [192.0.2.10], resolution: STATIC, ports: [{number: 443, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.2}]}`,
  `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: two, creationTimestamp: "2026-02-01T00:00:00Z"}
spec: {hosts: [ext.example.com], addresses: [192.0.2.11], resolution: STATIC, ports: [{number: 443, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.3}]}`,
  // Rules: of the service's namespace, of a client's, private, for chosen workloads, for all.
  rule('one', 'a', 'a', '', 1),
  rule('two', 'a-of-one', 'a.one.svc.cluster.local', '', 2),
  rule('one', 'b-private', 'b.two.svc.cluster.local', 'exportTo: ["."], ', 3),
  rule('two', 'b-lent', 'b', 'exportTo: [one], ', 4),
  rule('one', 'a-chosen', 'a', 'workloadSelector: {matchLabels: {version: v1}}, ', 5),
  rule('istio-system', 'all', '*', '', 6),
  rule('two', 'wide', '*.svc.cluster.local', '', 7),
  `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: places, namespace: one}
spec: {host: a, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {localityLbSetting: {failoverPriority: [zone]}}}}`,
  // Routes: of streams for clients of a namespace, by labels, private.
  stream('one', 'b-by-namespace', 'sourceNamespace: one'),
  stream('one', 'b-by-labels', 'sourceLabels: {version: v1}'),
  `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: private, namespace: two}
spec: {hosts: [b], exportTo: ["."], tcp: [{match: [{port: 9000}], route: [{destination: {host: b, port: {number: 7000}}}]}]}`,
  `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: http, namespace: one}
spec: {hosts: [a], http: [{match: [{sourceNamespace: two}], timeout: 3s, route: [{destination: {host: a}}]}, {route: [{destination: {host: a}}]}]}`,
  httpRoute('one', 'other.one', 'a', 'one', 4),
  httpRoute('two', 'a-of-one', 'a', 'one', 5),
  `apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: tcp, namespace: two}
spec: {parentRefs: [{group: "", kind: Service, name: a, namespace: one, port: 9000}], rules: [{backendRefs: [{name: b, port: 9000}]}]}`,
  `apiVersion: v1
kind: Service
metadata: {name: alias, namespace: one}
spec: {type: ExternalName, externalName: b.two.svc.cluster.local, ports: [{name: http, port: 80}]}`,
  // Sidecars: of the mesh, of a namespace, of chosen workloads.
  `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: istio-system}
spec: {egress: [{hosts: ["./*", "istio-system/*"]}]}`,
  `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: two}
spec: {egress: [{port: {number: 9000, protocol: TCP, name: tcp}, hosts: ["one/*"]}, {hosts: ["./*"]}]}`,
  `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: chosen, namespace: one}
spec: {workloadSelector: {labels: {version: v1}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["*/*"]}], ingress: [{port: {number: 9000, protocol: TCP, name: tcp}, defaultEndpoint: 127.0.0.1:9000}]}`,
  // EnvoyFilters: of a namespace, of the mesh for chosen workloads, by what the proxy says of itself.
  filter(
    'one',
    'merge',
    '',
    '{context: SIDECAR_OUTBOUND}',
    'CLUSTER',
    '{operation: MERGE, value: {connect_timeout: 9s}}',
  ),
  filter(
    'istio-system',
    'remove',
    'workloadSelector: {labels: {team: x}}, ',
    '{cluster: {service: b.two.svc.cluster.local}}',
    'CLUSTER',
    '{operation: REMOVE}',
  ),
  filter(
    'istio-system',
    'route',
    'workloadSelector: {labels: {team: x}}, ',
    '{context: SIDECAR_OUTBOUND, proxy: {metadata: {mood: good}}}',
    'ROUTE_CONFIGURATION',
    '{operation: MERGE, value: {max_direct_response_body_size_bytes: 7}}',
  ),
  filter(
    'two',
    'listener',
    '',
    '{context: SIDECAR_OUTBOUND}',
    'LISTENER',
    '{operation: MERGE, value: {per_connection_buffer_limit_bytes: 9}}',
  ),
  filter(
    'istio-system',
    'added',
    'workloadSelector: {labels: {team: x}}, ',
    '{context: SIDECAR_OUTBOUND}',
    'CLUSTER',
    '{operation: ADD, value: {name: added, connect_timeout: 1s}}',
  ),
];

function rule(namespace: string, name: string, host: string, part: string, connections: number): string {
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}}
spec: {host: "${host}", ${part}trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}, subsets: [{name: s${connections}, labels: {version: v1}}]}`;
}

function httpRoute(namespace: string, name: string, service: string, owner: string, seconds: number): string {
  return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: ${namespace}}
spec: {parentRefs: [{group: "", kind: Service, name: ${service}, namespace: ${owner}, port: 80}], rules: [{timeouts: {request: ${seconds}s}, backendRefs: [{name: ${service}, namespace: ${owner}, port: 80}]}]}`;
}

function stream(namespace: string, name: string, match: string): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: ${namespace}}
spec: {hosts: [b.two.svc.cluster.local], tcp: [{match: [{port: 9000, ${match}}], route: [{destination: {host: a.one.svc.cluster.local, port: {number: 9000}}}]}]}`;
}

function filter(
  namespace: string,
  name: string,
  selector: string,
  match: string,
  applyTo: string,
  patch: string,
): string {
  return `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}, namespace: ${namespace}}
spec: {${selector}configPatches: [{applyTo: ${applyTo}, match: ${match}, patch: ${patch}}]}`;
}

const configs: readonly (readonly Config[])[] = [services, ...more].map((text) => configsOfYaml(text));

const nodes = ['one', 'two', 'three', 'four', 'istio-system'].flatMap((namespace, index) => [
  proxyNode({
    namespace,
    podName: `plain-${index}`,
    ipAddresses: [`10.1.0.${index + 1}`],
    labels: { app: namespace === 'one' ? 'a' : 'b', version: 'v1', zone: `z${index}` },
    metadata: { mood: 'good' },
  }),
  proxyNode({
    namespace,
    podName: `other-${index}`,
    ipAddresses: [`10.1.1.${index + 1}`],
    labels: { app: 'c', team: 'x' },
    metadata: index % 2 === 0 ? { mood: 'good' } : {},
  }),
]);

const odd: readonly (typeof nodes)[number][] = [
  proxyNode({ namespace: 'one', interceptionMode: 'NONE', ipAddresses: ['10.1.2.1'], labels: { app: 'a' } }),
  proxyNode({
    namespace: 'three',
    interceptionMode: 'LOOPBACK',
    ipAddresses: ['127.9.0.1'],
    appAddress: '127.9.1.1',
  }),
  proxyNode({
    namespace: 'four',
    ipAddresses: ['2001:db8::1', '10.1.2.2'],
    dnsCapture: true,
    httpProxyPort: 15080,
  }),
];

/** Everything that a part gives for a scope, or for the view that stands for it. */
function given(world: World, part: ReturnType<typeof partsOf>[number], scope: ProxyScope): unknown {
  return part.names(world, scope).map((name) => [name, part.input(world, scope, name)]);
}

/** The same mesh, in which no client counts as another's. */
function eachApart(world: World): World {
  return new Proxy(world, {
    get(target, name) {
      if (name === 'isNamespaceApart') return () => true;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function check(chosen: readonly number[]): void {
  const objects = [0, ...chosen].flatMap((index) => configs[index] ?? []);
  const world = worldOf(objects);
  const apart = eachApart(worldOf(objects));
  const scopes = new Map([...nodes, ...odd].map((node) => [proxyScope(world, node).key, node]));
  for (const node of scopes.values()) {
    const scope = proxyScope(world, node);
    const whole = proxyScope(apart, node);
    for (const kind of kinds)
      for (const part of partsOf(kind)) {
        const view = part.viewOf(world, scope);
        if (view === undefined) continue;
        const byView = given(world, part, view);
        const byScope = given(apart, part, whole);
        // Far quicker than expect, which then says what differs.
        if (!isDeepStrictEqual(byView, byScope))
          expect(byView, `${chosen.join()} ${node.podName}`).toEqual(byScope);
        expect(part.viewOf(world, view)?.key).toBe(view.key);
      }
  }
}

const indexes = [...configs.keys()].slice(1);

test('viewOf: what hangs on a view is what the whole scope would give', () => {
  // Few objects above all: in a larger mesh one often makes another's difference good.
  const few = fc.subarray(indexes, { minLength: 1, maxLength: 2 });
  fc.assert(fc.property(few, check), { numRuns: 60, examples: [[[3, 4]]] });
  fc.assert(fc.property(fc.subarray(indexes), check), { numRuns: 10 });
});

test('viewOf: workloads of all namespaces share what they call, where nothing tells them apart', () => {
  const world = worldOf(configs[0] ?? []);
  const scopes = nodes
    .filter(({ namespace }) => namespace !== 'istio-system')
    .map((node) => proxyScope(world, node));
  const keysOf = (viewOf: (world: World, scope: ProxyScope) => ProxyScope): number =>
    new Set(scopes.map((scope) => viewOf(world, scope).key)).size;
  expect(new Set(scopes.map(({ key }) => key)).size).toBeGreaterThan(4);
  expect(keysOf(destinationScope)).toBe(1);
  expect(keysOf(outboundListenerScope)).toBe(1);
  // Within a namespace services have short names.
  expect(keysOf(routeScope)).toBe(4);
});
