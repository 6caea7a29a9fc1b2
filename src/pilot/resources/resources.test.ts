// The push engine without connections: what a change touches, what it computes, what is forgotten again.
import { expect, test } from 'vitest';
import { configsOfYaml, proxyNode } from '../../../test/support/world.ts';
import { silentLogger } from '../../base/logger.ts';
import { Graph } from '../../collections/index.ts';
import type { Hold } from '../../collections/index.ts';
import type { Config } from '../../config/config.ts';
import { configKey } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import { clusters, endpoints, listeners, routes } from '../../translate/index.ts';
import { proxyScope } from '../../translate/scope.ts';
import { typeUrls } from '../../xds/types.ts';
import type { AnyResourceKind, SeenResources, SnapshotKey } from './resources.ts';
import type { Snapshot } from './snapshot.ts';
import { Resources } from './resources.ts';
import { changedNames } from './snapshot.ts';
import { PilotWorld } from '../world/world.ts';

const kinds = [clusters, endpoints, listeners, routes] as readonly AnyResourceKind[];
const types = { CDS: typeUrls.cluster, EDS: typeUrls.endpoint, LDS: typeUrls.listener, RDS: typeUrls.route };
type Type = keyof typeof types;

class Engine {
  readonly graph = new Graph();
  readonly world = new PilotWorld(this.graph, defaultMeshConfig);
  readonly resources = new Resources({
    graph: this.graph,
    world: this.world,
    kinds,
    scopeOf: proxyScope,
    logger: silentLogger,
  });
  readonly #current = new Map<string, Config>();

  constructor(yaml: string) {
    this.apply(yaml);
  }

  apply(yaml: string): void {
    this.world.apply(
      configsOfYaml(yaml).map((after) => {
        const key = configKey(after);
        const before = this.#current.get(key);
        this.#current.set(key, after);
        return { key, after, ...(before === undefined ? {} : { before }) };
      }),
    );
  }

  remove(yaml: string): void {
    this.world.apply(
      configsOfYaml(yaml).map((before) => {
        this.#current.delete(configKey(before));
        return { key: configKey(before), before };
      }),
    );
  }

  sizes(): Readonly<Record<string, number>> {
    return { ...Object.fromEntries(this.graph.sizes()), ...this.resources.sizes() };
  }
}

/** A proxy that is subscribed to all of the four types. */
class Proxy {
  readonly #engine: Engine;
  readonly #node: ProxyNode;
  readonly #scopeHold: Hold;
  #held: readonly { readonly key: SnapshotKey; readonly hold: Hold }[] = [];
  #snapshots: Readonly<Record<Type, Snapshot>> | undefined;
  #seen: SeenResources | undefined;

  constructor(engine: Engine, node: ProxyNode) {
    this.#engine = engine;
    this.#node = node;
    this.#scopeHold = engine.resources.holdScope(node);
    this.look();
  }

  get isTouched(): boolean {
    return this.#seen === undefined || !this.#engine.resources.isCurrent(this.#node, this.#seen);
  }

  /** What has changed since the last look, by type; types without change are left out. */
  look(): Partial<Readonly<Record<Type, readonly string[]>>> {
    const { resources } = this.#engine;
    const scope = resources.scope(this.#node);
    const keys = Object.values(types).map((typeUrl): SnapshotKey => ({ typeUrl, scope, names: undefined }));
    const before = this.#held;
    this.#held = keys.map((key) => ({ key, hold: resources.hold(key) }));
    for (const { hold } of before) hold.release();
    const snapshots = Object.fromEntries(
      Object.keys(types).map((type, index) => [type, resources.snapshot(keys[index] as SnapshotKey)]),
    );
    const now = Object.fromEntries(
      Object.entries(snapshots).map(([type, outcome]) => {
        if (!outcome.ok) throw outcome.error;
        return [type, outcome.value];
      }),
    ) as Record<Type, Snapshot>;
    const old = this.#snapshots;
    this.#snapshots = now;
    this.#seen = resources.see(this.#node, keys);
    if (old === undefined) return {};
    return Object.fromEntries(
      (Object.keys(types) as Type[])
        .map((type) => [type, [...changedNames(old[type], now[type])].sort()] as const)
        .filter(([, names]) => names.length > 0),
    );
  }

  close(): void {
    this.#scopeHold.release();
    for (const { hold } of this.#held) hold.release();
  }
}

const service = (name: string, index: number, more = ''): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {clusterIP: ${more === 'headless' ? 'None' : `10.96.0.${index}`}, selector: {app: ${name}}, ports: [{name: ${more === 'headless' ? 'tcp' : 'http'}, port: 80}]}
`;
const pod = (name: string, app: string, address: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${app}}}
spec: {serviceAccountName: ${app}, containers: [{name: app, image: x}]}
status: {podIP: ${address}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const istio = (kind: string, group: string, name: string, namespace: string, spec: string): string => `
apiVersion: ${group}.istio.io/${kind === 'EnvoyFilter' ? 'v1alpha3' : kind === 'ProxyConfig' ? 'v1beta1' : 'v1'}
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
const mesh = [
  service('web', 1),
  service('cart', 2),
  service('pods', 3, 'headless'),
  pod('web-0', 'web', '10.1.0.1'),
  pod('cart-0', 'cart', '10.1.0.2'),
  istio(
    'ServiceEntry',
    'networking',
    'vms',
    'shop',
    '{hosts: [vms.example.com], resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {labels: {app: vm}}, ports: [{number: 81, name: http, protocol: HTTP}]}',
  ),
].join('---');
const webNode = proxyNode({
  namespace: 'shop',
  podName: 'web-0',
  labels: { app: 'web' },
  ipAddresses: ['10.1.0.1'],
});
const cartNode = proxyNode({
  namespace: 'shop',
  podName: 'cart-0',
  labels: { app: 'cart' },
  ipAddresses: ['10.1.0.2'],
});
const farNode = proxyNode({ namespace: 'far', podName: 'far-0', ipAddresses: ['10.1.0.9'] });
const gatewayNode = proxyNode({
  type: 'router',
  namespace: 'ingress',
  podName: 'gw',
  ipAddresses: ['10.1.0.8'],
  labels: { istio: 'ingress' },
});
const cart = 'outbound|80||cart.shop.svc.cluster.local';

test('Resources: an endpoint changes its clusters’ endpoints alone, for who is subscribed to them (B4.06)', () => {
  const engine = new Engine(mesh);
  const proxies = [webNode, cartNode, farNode].map((node) => new Proxy(engine, node));
  const { builds } = engine.resources;
  engine.apply(pod('cart-1', 'cart', '10.1.0.3'));
  for (const proxy of proxies) expect(proxy.look()).toEqual({ EDS: [cart] });
  // For all of them together.
  expect(engine.resources.builds - builds).toBe(1);
  engine.remove(pod('cart-1', 'cart', '10.1.0.3'));
  for (const proxy of proxies) expect(proxy.look()).toEqual({ EDS: [cart] });
});

test('Resources: the first endpoint of a headless service is more than an endpoint (B4.06)', () => {
  const engine = new Engine(mesh);
  const proxy = new Proxy(engine, webNode);
  engine.apply(pod('pods-0', 'pods', '10.1.0.5'));
  const changes = proxy.look();
  // Sidecars find its pods by original destination: there is a listener on each.
  expect(changes.LDS).toContain('10.1.0.5_80');
  expect(changes.RDS).toBeUndefined();
});

const skips: readonly (readonly [string, string, readonly Type[]])[] = [
  [
    'Gateway',
    istio(
      'Gateway',
      'networking',
      'g',
      'shop',
      '{selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}',
    ),
    [],
  ],
  [
    'VirtualService',
    istio(
      'VirtualService',
      'networking',
      'v',
      'shop',
      '{hosts: [cart], http: [{timeout: 3s, route: [{destination: {host: cart}}]}]}',
    ),
    ['RDS'],
  ],
  [
    'VirtualService for gateways',
    istio(
      'VirtualService',
      'networking',
      'v',
      'shop',
      '{hosts: [cart], gateways: [g], http: [{route: [{destination: {host: cart}}]}]}',
    ),
    [],
  ],
  [
    'WorkloadEntry',
    istio('WorkloadEntry', 'networking', 'vm', 'shop', '{address: 10.1.0.7, labels: {app: vm}}'),
    ['EDS'],
  ],
  [
    'DestinationRule',
    istio(
      'DestinationRule',
      'networking',
      'd',
      'shop',
      '{host: cart, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}',
    ),
    ['CDS'],
  ],
  [
    'PeerAuthentication',
    istio(
      'PeerAuthentication',
      'security',
      'p',
      'shop',
      '{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}',
    ),
    ['LDS'],
  ],
  ['ProxyConfig', istio('ProxyConfig', 'networking', 'p', 'shop', '{concurrency: 2}'), []],
];

test.each(skips)(
  'Resources: of a sidecar, %s changes the types that read it (B4.07)',
  (_kind, yaml, expected) => {
    const engine = new Engine(mesh);
    const proxy = new Proxy(engine, webNode);
    engine.apply(yaml);
    expect(Object.keys(proxy.look())).toEqual(expected);
    engine.remove(yaml);
    expect(Object.keys(proxy.look())).toEqual(expected);
  },
);

test('Resources: what its Sidecar leaves out does not touch a proxy (B4.08, C9.04)', () => {
  const engine = new Engine(
    `${mesh}---${istio('Sidecar', 'networking', 'default', 'shop', '{egress: [{hosts: ["./web.shop.svc.cluster.local"]}]}')}`,
  );
  const inside = new Proxy(engine, webNode);
  const outside = new Proxy(engine, farNode);
  engine.apply(pod('cart-1', 'cart', '10.1.0.3'));
  expect([inside.isTouched, outside.isTouched]).toEqual([false, true]);
  expect([inside.look(), outside.look()]).toEqual([{}, { EDS: [cart] }]);
  engine.apply(
    istio(
      'DestinationRule',
      'networking',
      'd',
      'shop',
      '{host: cart, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}',
    ),
  );
  expect(inside.look()).toEqual({});
  expect(outside.look()).toMatchObject({ CDS: [cart] });
});

test('Resources: each kind of proxy is touched by what is for it (B4.08)', () => {
  const engine = new Engine(mesh);
  const [web, far, gateway] = [webNode, farNode, gatewayNode].map((node) => new Proxy(engine, node));
  // PeerAuthentications are for workloads of their namespace, or (of the root namespace) for all.
  engine.apply(istio('PeerAuthentication', 'security', 'p', 'elsewhere', '{mtls: {mode: STRICT}}'));
  expect([web?.isTouched, far?.isTouched, gateway?.isTouched]).toEqual([false, false, false]);
  engine.apply(istio('PeerAuthentication', 'security', 'p', 'far', '{mtls: {mode: STRICT}}'));
  expect([web?.look(), gateway?.look()]).toEqual([{}, {}]);
  expect(Object.keys(far?.look() ?? {})).toEqual(['LDS']);
  // Routers have no Sidecar.
  engine.apply(istio('Sidecar', 'networking', 'default', 'ingress', '{egress: [{hosts: ["~/*"]}]}'));
  expect([web?.look(), far?.look(), gateway?.look()]).toEqual([{}, {}, {}]);
  // Sidecars have no Gateway.
  engine.apply(
    istio(
      'Gateway',
      'networking',
      'g',
      'ingress',
      '{selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}',
    ),
  );
  expect([web?.look(), far?.look()]).toEqual([{}, {}]);
  expect(Object.keys(gateway?.look() ?? {})).toEqual(['LDS', 'RDS']);
});

test('Resources: what nobody reads touches nobody', () => {
  const route = istio(
    'VirtualService',
    'networking',
    'v',
    'shop',
    '{hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}',
  );
  const engine = new Engine(`${mesh}---${route}`);
  const proxies = [webNode, cartNode, farNode, gatewayNode].map((node) => new Proxy(engine, node));
  const { computations } = engine.graph;
  const unread = [
    pod('cart-0', 'cart', '10.1.0.2'),
    pod('cart-0', 'cart', '10.1.0.2').replace('namespace: shop,', 'namespace: shop, annotations: {a: b},'),
    pod('cart-0', 'cart', '10.1.0.2').replace('phase: Running,', 'phase: Running, message: well,'),
    service('cart', 2).replace('namespace: shop', 'namespace: shop, annotations: {a: b}'),
    `${route}status: {observedGeneration: 3}\n`,
  ];
  for (const yaml of unread) {
    engine.apply(yaml);
    expect(proxies.map(({ isTouched }) => isTouched)).toEqual([false, false, false, false]);
  }
  // The rows of the objects themselves.
  expect(engine.graph.computations - computations).toBeLessThan(8);
});

test('Resources: a rule that others hide is looked at, and ends there', () => {
  const hidden = (connections: number): string =>
    istio(
      'DestinationRule',
      'networking',
      'all',
      'istio-system',
      `{host: "*.shop.svc.cluster.local", trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}}`,
    );
  const own = ['web', 'cart', 'pods'].map((host) =>
    istio(
      'DestinationRule',
      'networking',
      host,
      'shop',
      `{host: ${host}, subsets: [{name: a, labels: {a: b}}]}`,
    ),
  );
  const engine = new Engine([mesh, ...own, hidden(1)].join('---'));
  const proxies = [webNode, farNode].map((node) => new Proxy(engine, node));
  const { computations } = engine.graph;
  engine.apply(hidden(2));
  for (const proxy of proxies) expect(proxy.look()).toEqual({});
  // The answer for each service, and what finds them: no cluster, no endpoints, no routes.
  expect(engine.graph.computations - computations).toBeLessThan(16);
});

test('Resources: workloads share what they call, and replicas everything (B4.09)', () => {
  const engine = new Engine(mesh);
  const first = new Proxy(engine, webNode);
  const { builds } = engine.resources;
  const sizes = engine.sizes();
  const replica = new Proxy(engine, { ...webNode, podName: 'web-1', id: 'web-1', ipAddresses: ['10.1.0.6'] });
  expect(engine.resources.builds).toBe(builds);
  expect(engine.sizes()).toEqual({ ...sizes, scope: (sizes['scope'] ?? 0) + 1 });
  const other = new Proxy(engine, cartNode);
  expect([first, replica, other].map(({ isTouched }) => isTouched)).toEqual([false, false, false]);
  // Its inbound cluster and listener.
  expect(engine.resources.builds).toBeLessThanOrEqual(builds + 2);
});

test('Resources: proxies, services and names that come and go leave nothing behind', () => {
  const engine = new Engine(mesh);
  const proxies = [webNode, farNode].map((node) => new Proxy(engine, node));
  const settle = (): Readonly<Record<string, number>> => {
    for (const proxy of proxies) proxy.look();
    for (let round = 0; round < 3; round++) engine.graph.evict();
    return engine.sizes();
  };
  const round = (index: number): void => {
    const more = [service(`s${index}`, 50), pod(`s${index}-0`, `s${index}`, '10.1.1.1')];
    engine.apply(more.join('---'));
    const node = proxyNode({
      namespace: `ns-${index}`,
      podName: `p${index}`,
      ipAddresses: [`10.1.2.${index}`],
    });
    const guest = new Proxy(engine, node);
    for (const proxy of [...proxies, guest]) proxy.look();
    engine.resources.nameSet([`outbound|80||s${index}.shop.svc.cluster.local`]);
    guest.close();
    for (const yaml of more.toReversed()) engine.remove(yaml);
    settle();
  };
  round(0);
  const before = settle();
  for (let index = 1; index <= 40; index++) round(index);
  // What is remembered weakly goes with the garbage, not with a round.
  const weak = { nameSets: 0, variants: 0 };
  expect({ ...settle(), ...weak }).toEqual({ ...before, ...weak });
});
