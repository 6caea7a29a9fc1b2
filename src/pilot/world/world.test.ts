import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { configsOfYaml, proxyNode, worldOf } from '../../../test/support/world.ts';
import { Graph } from '../../collections/index.ts';
import type { Config } from '../../config/config.ts';
import { configKey } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import { selectedGateways } from '../../translate/gateway/selection.ts';
import { clusters, endpoints, listeners, routes } from '../../translate/index.ts';
import { proxyScope } from '../../translate/scope.ts';
import type { World } from '../../translate/world.ts';
import type { AnyResourceKind } from '../resources/resources.ts';
import { PilotWorld } from './world.ts';

const kinds = [clusters, endpoints, listeners, routes] as readonly AnyResourceKind[];

/** Objects in several versions: the same name, other content. */
const versions: readonly (readonly Config[])[] = [
  many(
    (v) => `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: a${v}}, ports: [{name: http, port: ${80 + v}, targetPort: web}]}
`,
  ),
  many(
    (v) => `
apiVersion: v1
kind: Service
metadata: {name: b, namespace: other}
spec: {clusterIP: 10.96.0.2, selector: {app: b}, ports: [{name: ${v === 0 ? 'http' : 'tcp'}, port: 80}]}
`,
  ),
  many(
    (v) => `
apiVersion: v1
kind: Pod
metadata: {name: a-0, namespace: default, labels: {app: a${v}, version: v${v}}}
spec: {containers: [{name: app, image: x, ports: [{name: web, containerPort: ${8080 + v}}]}]}
status: {podIP: 10.1.0.${v + 1}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`,
  ),
  many(
    (v) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec: {hosts: [a], exportTo: ["${v === 0 ? '*' : '.'}"], http: [{timeout: ${v + 1}s, route: [{destination: {host: a, subset: v0}}]}]}
`,
  ),
  many(
    (v) => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: "${v === 0 ? 'a' : '*.default.svc.cluster.local'}", subsets: [{name: v0, labels: {version: v${v}}}]}
`,
  ),
  many(
    (v) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: other}
spec: {hosts: [ext.example.com], resolution: STATIC, ports: [{number: ${443 + v}, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.${v + 1}}]}
`,
  ),
  many(
    (v) => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec: {egress: [{hosts: ["${v === 0 ? './*' : '*/*'}"]}]}
`,
  ),
  many(
    (v) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec: {selector: {istio: ingress${v === 0 ? '' : 'x'}}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`,
  ),
];

function many(text: (version: number) => string): readonly Config[] {
  return [0, 1].flatMap((version) => configsOfYaml(text(version)));
}

const nodes = [
  proxyNode({ labels: { app: 'a0', version: 'v0', pod: 'p1' }, podName: 'a-0' }),
  proxyNode({ namespace: 'other', labels: { app: 'b' }, ipAddresses: ['10.1.0.7'] }),
  proxyNode({ type: 'router', labels: { istio: 'ingress' }, ipAddresses: ['10.1.0.8'] }),
];

/** Every input of every resource, as proxies of these nodes get them. */
function everything(world: World): unknown {
  return nodes.map((node) => {
    const scope = proxyScope(world, node);
    return kinds.map((kind) =>
      kind.names(world, scope).map((name) => [name, kind.input(world, scope, name)]),
    );
  });
}

describe('PilotWorld', () => {
  test('PilotWorld: after any edits the inputs of all resources are those of a world made anew', () => {
    const edit = fc.tuple(fc.nat(versions.length - 1), fc.option(fc.nat(1), { nil: undefined }));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 25 }), (edits) => {
        const graph = new Graph();
        const world = new PilotWorld(graph, defaultMeshConfig);
        const inForce = new Map<string, Config>();
        for (const [index, [object, version]] of edits.entries()) {
          const key = configKey(versions[object]?.[0] as Config);
          const before = inForce.get(key);
          const after = version === undefined ? undefined : versions[object]?.[version];
          if (after === undefined) inForce.delete(key);
          else inForce.set(key, after);
          world.apply([
            {
              key,
              ...(before === undefined ? {} : { before }),
              ...(after === undefined ? {} : { after }),
            },
          ]);
          // Every other edit is looked at: changes must also add up unseen.
          if (index % 2 === 0) expect(everything(world)).toEqual(everything(worldOf([...inForce.values()])));
          if (index % 5 === 0) graph.evict();
        }
        expect(everything(world)).toEqual(everything(worldOf([...inForce.values()])));
      }),
      { numRuns: 25 },
    );
  });

  test('PilotWorld: an endpoint that comes is looked at by the clusters of its service alone (B4.06, T19)', () => {
    const graph = new Graph();
    const world = new PilotWorld(graph, defaultMeshConfig);
    const objects = configsOfYaml(
      Array.from(
        { length: 50 },
        (_, i) => `
apiVersion: v1
kind: Service
metadata: {name: s${i}, namespace: default}
spec: {clusterIP: 10.96.1.${i}, selector: {app: s${i}}, ports: [{name: http, port: 80}]}
`,
      ).join('---\n'),
    );
    const podOf = (name: string, ip: string): Config | undefined =>
      configsOfYaml(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: s7}}
spec: {containers: [{name: app, image: x}]}
status: {podIP: ${ip}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`)[0];
    // The first endpoint of a service account changes whom clients expect; any further one does not.
    const all = [...objects, podOf('s7-0', '10.1.9.8') as Config];
    world.apply(all.map((after) => ({ key: configKey(after), after })));
    const node = nodes[1] ?? proxyNode();
    const scope = proxyScope(world, node);
    const fresh = (kind: AnyResourceKind): string[] =>
      kind.names(world, scope).filter((name) => {
        const key = `${kind.shortName}/${name}`;
        const before = graph.computations;
        graph.derive(key, () => kind.input(world, scope, name));
        return graph.computations === before;
      });
    for (const kind of kinds) fresh(kind);
    world.apply([{ key: 'Pod/default/s7-1', after: podOf('s7-1', '10.1.9.9') as Config }]);
    const stale = kinds.map((kind) => {
      const known = new Set(fresh(kind));
      return kind.names(world, scope).filter((name) => !known.has(name));
    });
    // The cluster looks whether the names of its workloads are still the same.
    expect(stale[0]).toEqual(['outbound|80||s7.default.svc.cluster.local']);
    expect(stale[1]).toEqual(['outbound|80||s7.default.svc.cluster.local']);
    expect(stale.slice(2)).toEqual([[], []]);
  });
});

test('PilotWorld: Gateways are for pods of any namespace, unless they are scoped to their own (C7.01)', () => {
  const gateway = (namespace: string, selector: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: ${namespace}}
spec: {selector: {${selector}}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
`;
  const configs = configsOfYaml(
    [
      gateway('apps', 'istio: gateway, tier: edge'),
      gateway('istio-system', 'istio: gateway'),
      gateway('others', 'istio: gateway, tier: core'),
    ].join('---'),
  );
  const namespaces = (scopeGatewaysToNamespace: boolean): readonly string[] => {
    const world = new PilotWorld(new Graph(), defaultMeshConfig, { scopeGatewaysToNamespace });
    world.apply(configs.map((config) => ({ key: configKey(config), after: config })));
    const node = proxyNode({
      type: 'router',
      namespace: 'istio-system',
      labels: { istio: 'gateway', tier: 'edge' },
    });
    return selectedGateways(world, proxyScope(world, node)).map(({ config }) => config.namespace);
  };
  expect(namespaces(false)).toEqual(['apps', 'istio-system']);
  expect(namespaces(true)).toEqual(['istio-system']);
});
