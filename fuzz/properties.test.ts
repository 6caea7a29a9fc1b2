// What must hold of the translation of any valid config.
import type { JsonValue } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { messageToJson } from '../src/api/any.ts';
import { Graph } from '../src/collections/index.ts';
import { configKey } from '../src/config/config.ts';
import { defaultMeshConfig } from '../src/config/mesh-config.ts';
import type { ProxyNode } from '../src/model/proxy-node.ts';
import { PilotWorld } from '../src/pilot/world/world.ts';
import * as translate from '../src/translate/index.ts';
import { proxyScope } from '../src/translate/scope.ts';
import type { World } from '../src/translate/world.ts';
import { proxyKinds as kinds } from '../test/support/golden.ts';
import { proxyNode, worldOf } from '../test/support/world.ts';
import { configsOf, randomMesh } from './generate-mesh.ts';
import { Draw } from './random.ts';

const meshes = 60;
const nodes: readonly Partial<ProxyNode>[] = [
  { labels: { app: 'a', version: 'v1' }, ipAddresses: ['10.1.0.1'] },
  { type: 'router', namespace: 'istio-system', labels: { istio: 'ingressgateway' } },
];

/** `Cluster/outbound|80||a` -> its bytes, as text. */
function bytesOf(world: World, node: Partial<ProxyNode>): Record<string, string> {
  const scope = proxyScope(world, proxyNode(node));
  const all: Record<string, string> = {};
  for (const kind of kinds)
    for (const name of kind.names(world, scope)) {
      const input = kind.input(world, scope, name);
      if (input === undefined) continue;
      const { message } = kind.build(input);
      all[`${kind.schema.name}/${name}`] = Buffer.from(toBinary(kind.schema, message)).toString('base64');
    }
  return all;
}

function jsonOf(world: World, node: Partial<ProxyNode>): Record<string, Record<string, JsonValue>> {
  const scope = proxyScope(world, proxyNode(node));
  return Object.fromEntries(
    kinds.map((kind) => [
      kind.schema.name,
      Object.fromEntries(
        kind.names(world, scope).flatMap((name) => {
          const input = kind.input(world, scope, name);
          return input === undefined
            ? []
            : [[name, messageToJson(kind.schema, kind.build(input).message)] as const];
        }),
      ),
    ]),
  );
}

/** Every value of these keys, however deep. */
function valuesOf(json: JsonValue, keys: ReadonlySet<string>, found: Set<string>): void {
  if (Array.isArray(json)) for (const item of json) valuesOf(item, keys, found);
  else if (typeof json === 'object' && json !== null)
    for (const [key, value] of Object.entries(json)) {
      if (keys.has(key) && typeof value === 'string') found.add(value);
      else valuesOf(value, keys, found);
    }
}

function shuffled<T>(items: readonly T[], draw: Draw): readonly T[] {
  return items
    .map((item) => ({ item, at: draw.fraction() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

test('translation: the order of objects changes no byte', () => {
  for (let seed = 1; seed <= meshes; seed += 1) {
    const documents = randomMesh(seed);
    const again = shuffled(documents, new Draw(seed));
    for (const node of nodes)
      expect(bytesOf(worldOf(configsOf(again)), node), `seed ${seed}`).toEqual(
        bytesOf(worldOf(configsOf(documents)), node),
      );
  }
});

test('translation: objects that come one by one, go and come again give the same bytes as all at once', () => {
  for (let seed = 1; seed <= meshes; seed += 1) {
    const configs = configsOf(randomMesh(seed));
    const draw = new Draw(seed);
    const world = new PilotWorld(new Graph(), defaultMeshConfig);
    for (const config of configs) {
      world.apply([{ key: configKey(config), after: config }]);
      if (draw.chance(0.1)) bytesOf(world, draw.one(nodes));
    }
    for (const config of shuffled(configs, draw).slice(0, 3)) {
      world.apply([{ key: configKey(config), before: config }]);
      for (const node of nodes) bytesOf(world, node);
      world.apply([{ key: configKey(config), after: config }]);
    }
    for (const node of nodes)
      expect(bytesOf(world, node), `seed ${seed}`).toEqual(bytesOf(worldOf(configs), node));
  }
});

test('translation: routes that listeners name exist, endpoints that clusters name too, and clusters of known destinations', () => {
  for (let seed = 1; seed <= meshes; seed += 1) {
    const world = worldOf(configsOf(randomMesh(seed)));
    for (const node of nodes) {
      const scope = proxyScope(world, proxyNode(node));
      const json = jsonOf(world, node);
      const routeNames = new Set<string>();
      valuesOf(json['Listener'] ?? {}, new Set(['routeConfigName']), routeNames);
      for (const name of routeNames)
        expect(translate.routes.input(world, scope, name), `seed ${seed}: routes ${name}`).toBeDefined();
      for (const [name, cluster] of Object.entries(json['Cluster'] ?? {})) {
        if ((cluster as { type?: string }).type !== 'EDS') continue;
        expect(
          translate.endpoints.input(world, scope, name),
          `seed ${seed}: endpoints ${name}`,
        ).toBeDefined();
      }
      const named = new Set<string>();
      valuesOf(json['Listener'] ?? {}, new Set(['cluster']), named);
      valuesOf(json['RouteConfiguration'] ?? {}, new Set(['cluster']), named);
      const known = new Set(Object.keys(json['Cluster'] ?? {}));
      const dangling = [...named].filter((name) => !known.has(name) && isOurs(world, node, name));
      expect(dangling, `seed ${seed}`).toEqual([]);
    }
  }
});

/** Whether the mesh has that destination: a user may name others, and gets 503 NC, as in Istio. */
function isOurs(world: World, { namespace = 'default' }: Partial<ProxyNode>, name: string): boolean {
  const [direction, portText, subset = '', hostname = ''] = name.split('|');
  if (direction !== 'outbound') return true;
  const service = world.service(hostname, namespace);
  if (service === undefined || service.resolution === 'alias') return false;
  const served = service.ports.find(
    ({ servicePort, protocol }) => servicePort === Number(portText) && protocol !== 'UDP',
  );
  if (served === undefined) return false;
  return (
    subset === '' ||
    world
      .destinationRulesFor(hostname, namespace)
      .some(({ spec }) => (spec.subsets ?? []).some((each) => each.name === subset))
  );
}
