import { describe, expect, test } from 'vitest';
import { gatewayPod } from '../../../test/support/translated.ts';
import { configsOfYaml, proxyNode, worldOf, worldOfYaml } from '../../../test/support/world.ts';
import { Graph } from '../../collections/index.ts';
import type { Config } from '../../config/config.ts';
import { configKey, originOf } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import { formatFieldPath } from '../../model/origin.ts';
import { routes } from '../../translate/index.ts';
import { proxyScope } from '../../translate/scope.ts';
import type { World } from '../../translate/world.ts';
import { PilotWorld } from './world.ts';

const service = (name: string, namespace = 'default', ports = '{name: http, port: 80}'): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: 10.96.0.1, selector: {app: ${name}}, ports: [${ports}]}
`;
const frontDoor = service(
  'istio-ingressgateway',
  'istio-system',
  '{name: http, port: 80, targetPort: 8080}',
).replace('{app: istio-ingressgateway}', '{istio: ingressgateway}');
const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: istio-system}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: istio-ingressgateway}]
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
`;
const route = (name: string, path: string, backend: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: default}
spec:
  parentRefs: [{name: front, namespace: istio-system}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: ${path}}}]
    backendRefs: [{name: ${backend}, port: 80}]
`;
const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: web.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {name: http}}}}]}
`;
const yaml = (...documents: readonly string[]): string => documents.join('---\n');

/** What the ingress gateway answers on port 80, with where each route comes from. */
function served(world: World): readonly string[] {
  const scope = proxyScope(world, proxyNode(gatewayPod));
  const input = routes.input(world, scope, 'http.8080');
  return (input?.virtualHosts ?? []).flatMap(({ name, routes: all }) =>
    all.map((each) => {
      if (each.kind !== 'rule') return `${name} ${each.kind}`;
      const uri = each.match?.uri;
      const { kind, name: owner, fieldPath } = each.origin;
      return `${name} ${uri?.prefix ?? uri?.exact ?? '*'} ${each.clusters.join(',')} <- ${kind} ${owner} ${formatFieldPath(fieldPath)}`;
    }),
  );
}

describe('MadeConfigs', () => {
  test('PilotWorld: an HTTPRoute and an Ingress are served, and blamed on themselves (partly C14.01, C14.02)', () => {
    const world = worldOfYaml(
      yaml(service('a'), service('b'), frontDoor, gateway, route('r', '/a', 'b'), ingress),
    );
    expect(served(world)).toEqual([
      'shop.example.com:80 /a outbound|80||b.default.svc.cluster.local <- HTTPRoute r spec.rules[0].matches[0]',
      'web.example.com:80 / outbound|80||a.default.svc.cluster.local <- Ingress web spec.rules[0].http.paths[0]',
    ]);
  });

  test('PilotWorld: a Gateway made of another points at its listener (partly C14.02)', () => {
    const world = worldOfYaml(yaml(frontDoor, gateway));
    const [made] = world.gatewaysSelecting('istio-system', { istio: 'ingressgateway' });
    expect(made === undefined ? undefined : originOf(made, 'spec', 'servers', 0)).toEqual({
      kind: 'Gateway.gateway.networking.k8s.io',
      namespace: 'istio-system',
      name: 'front',
      fieldPath: ['spec', 'listeners', 0],
      parts: {},
    });
  });

  test('PilotWorld: ingressControllerMode decides which Ingresses are served (C14.01)', () => {
    const unnamed = ingress.replace(', annotations: {kubernetes.io/ingress.class: istio}', '');
    const objects = configsOfYaml(yaml(service('a'), frontDoor, unnamed));
    expect(served(worldOf(objects))).toEqual([]);
    expect(served(worldOf(objects, { ingressControllerMode: 'DEFAULT' }))).toHaveLength(1);
    expect(served(worldOf(objects, { ingressControllerMode: 'OFF' }))).toEqual([]);
    const named = configsOfYaml(
      yaml(
        service('a'),
        frontDoor,
        unnamed.replace('spec:\n', 'spec:\n  ingressClassName: ours\n'),
        'apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: ours}\nspec: {controller: istio.io/ingress-controller}\n',
      ),
    );
    expect(served(worldOf(named))).toHaveLength(1);
  });

  test('PilotWorld: routes of Services hold in the mesh, those of a client in its own namespace (partly C14.02)', () => {
    const objects = configsOfYaml(
      yaml(
        service('a'),
        service('b'),
        route('r', '/a', 'b').replace(
          '[{name: front, namespace: istio-system}]',
          '[{group: "", kind: Service, name: a, port: 80}]',
        ),
      ),
    );
    const made = worldOf(objects).virtualServicesFor('mesh', 'default');
    expect(made.map(({ name, spec }) => [name, spec.hosts, spec.http?.[0]?.match])).toEqual([
      [
        'default~80~a.default.svc.cluster.local',
        ['a.default.svc.cluster.local'],
        [{ uri: { prefix: '/a' }, port: 80 }],
      ],
    ]);
  });

  test('PilotWorld: a BackendTLSPolicy is a DestinationRule of its Service (partly C14.02)', () => {
    const policy = `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tls, namespace: default}
spec:
  targetRefs: [{group: "", kind: Service, name: a}]
  validation: {hostname: a.example.com, wellKnownCACertificates: System}
`;
    const world = worldOfYaml(yaml(service('a'), policy));
    const rules = world.destinationRulesFor('a.default.svc.cluster.local', 'other');
    expect(rules.map(({ spec }) => spec.trafficPolicy?.tls)).toEqual([
      { mode: 'SIMPLE', sni: 'a.example.com' },
    ]);
    expect(world.destinationRulesFor('b.default.svc.cluster.local', 'other')).toEqual([]);
  });

  test('PilotWorld.statuses: every object is told where it stands (C14.01, partly C14.02)', () => {
    const pod = `
apiVersion: v1
kind: Pod
metadata: {name: gw-0, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: proxy, image: x}]}
status: {podIP: 10.1.0.9, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
    const balanced = frontDoor.replace(
      'spec: {',
      'status: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}\nspec: {type: LoadBalancer, ',
    );
    const world = new PilotWorld(new Graph(), defaultMeshConfig);
    const objects = configsOfYaml(
      yaml(service('a'), balanced, pod, gateway, route('r', '/a', 'missing'), ingress),
    );
    world.apply(objects.map((after) => ({ key: configKey(after), after })));
    const told = world.statuses().map(({ config, status }) => [config.kind, JSON.stringify(status)]);
    const text = Object.fromEntries(told) as Readonly<Record<string, string>>;
    expect(text['Ingress']).toBe('{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}');
    expect(text['Gateway.gateway.networking.k8s.io']).toContain('"value":"192.0.2.7"');
    expect(text['Gateway.gateway.networking.k8s.io']).toContain('"attachedRoutes":1');
    expect(text['HTTPRoute']).toContain(
      '"reason":"BackendNotFound","message":"backend(missing.default.svc.cluster.local) not found"',
    );
  });

  test('PilotWorld: after any edits what is served is that of a world made anew', () => {
    const versions: readonly (readonly string[])[] = [
      [service('a'), service('a', 'default', '{name: http, port: 81}')],
      [frontDoor],
      [gateway, gateway.replace('from: All', 'from: Same')],
      [route('r', '/a', 'a'), route('r', '/b', 'a')],
      [route('s', '/a/long', 'a')],
      [ingress, ingress.replace('web.example.com', 'shop.example.com')],
    ];
    const world = new PilotWorld(new Graph(), defaultMeshConfig);
    const inForce = new Map<string, Config>();
    // Every object in every version, in an order that comes back to each: no chance, so that a failure repeats.
    for (let step = 0; step < 60; step++) {
      const texts = versions[(step * 5 + Math.floor(step / 6)) % versions.length] ?? [];
      const choice = step % (texts.length + 1);
      const [object] = configsOfYaml(texts[0] ?? '');
      const key = configKey(object as Config);
      const before = inForce.get(key);
      const text = texts[choice];
      const after = text === undefined ? undefined : configsOfYaml(text)[0];
      if (after === undefined) inForce.delete(key);
      else inForce.set(key, after);
      world.apply([
        { key, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) },
      ]);
      const anew = new PilotWorld(new Graph(), defaultMeshConfig);
      anew.apply([...inForce.values()].map((config) => ({ key: configKey(config), after: config })));
      expect(served(world), `step ${step}`).toEqual(served(anew));
      const statuses = (each: PilotWorld) =>
        each.statuses().map(({ config, status }) => [configKey(config), status]);
      expect(statuses(world), `step ${step}`).toEqual(statuses(anew));
    }
  });

  test('PilotWorld: a route that changes leaves the others’ conversions alone', () => {
    const graph = new Graph();
    const world = new PilotWorld(graph, defaultMeshConfig);
    const many = Array.from({ length: 40 }, (_, index) => route(`r${index}`, `/${index}`, 'a'));
    const objects = configsOfYaml(yaml(service('a'), frontDoor, gateway, ...many));
    world.apply(objects.map((after) => ({ key: configKey(after), after })));
    served(world);
    const before = graph.computations;
    const [changed] = configsOfYaml(route('r7', '/changed', 'a'));
    world.apply([{ key: 'HTTPRoute/default/r7', after: changed as Config }]);
    served(world);
    // The route, its parents, and what joins them; 40 routes would be 80 and more.
    expect(graph.computations - before).toBeLessThan(20);
  });
});
