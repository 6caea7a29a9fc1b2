// Scenario xds-engine: the push engine alone, without sockets: a mesh of 1,000 services and 2,000 proxies, and what
// each kind of change costs until every proxy's resources are right again.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { silentLogger } from '../../src/base/logger.ts';
import { Graph } from '../../src/collections/index.ts';
import type { Config } from '../../src/config/config.ts';
import { configKey } from '../../src/config/config.ts';
import { defaultMeshConfig } from '../../src/config/mesh-config.ts';
import type { AnyResourceKind } from '../../src/pilot/resources/resources.ts';
import { Resources } from '../../src/pilot/resources/resources.ts';
import { PilotWorld } from '../../src/pilot/world/world.ts';
import { clusters, endpoints, listeners, routes } from '../../src/translate/index.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import type { BenchOptions, Measurement, Scenario } from '../scenario.ts';
import { quantile } from '../scenario.ts';
import type { MeshShape } from './mesh.ts';
import {
  destinationRuleYaml,
  podYaml,
  serviceYaml,
  syntheticMesh,
  virtualServiceYaml,
  wildcardRuleYaml,
} from './mesh.ts';
import { EngineProxy, clientTime, cpuMs, describeSizes, refreshAll } from './proxies.ts';

export const xdsEngine: Scenario = {
  name: 'xds-engine',
  about:
    'the push engine without sockets, 1,000 services x 2,000 proxies: MB in all, CPU ms for each kind of change',
  run,
};

const shapes: readonly (readonly [string, MeshShape])[] = [
  ['mesh', { services: 1000, podsPerService: 2, namespaces: 20, sidecars: false, gateways: 4 }],
  ['sidecars', { services: 1000, podsPerService: 2, namespaces: 20, sidecars: true, gateways: 4 }],
];

const kinds = [clusters, endpoints, listeners, routes] as readonly AnyResourceKind[];

async function run({ log, rounds, only }: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  for (const [index, [name, shape]] of shapes.entries()) {
    const options = { rounds, only, isFirst: index === 0, log: (line: string) => log(`${name}: ${line}`) };
    const measured = measure(shape, options);
    for (const [key, value] of Object.entries(measured)) metrics[`${name}_${key}`] = value;
  }
  return { metrics, ratios: {}, missing: [] };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

type MeasureOptions = Pick<BenchOptions, 'rounds' | 'only' | 'log'> & { readonly isFirst: boolean };

function measure(shape: MeshShape, { rounds, only, isFirst, log }: MeasureOptions): Record<string, number> {
  const metrics: Record<string, number> = {};
  const { configs, nodes } = syntheticMesh(shape);
  collectGarbage();
  const heapBefore = process.memoryUsage().heapUsed;
  const graph = new Graph();
  const world = new PilotWorld(graph, defaultMeshConfig);
  const resources = new Resources({ graph, world, kinds, scopeOf: proxyScope, logger: silentLogger });
  world.apply(configs.map((after) => ({ key: configKey(after), after })));
  const proxies = nodes.map((node) => new EngineProxy(resources, node));
  const took: number[] = [];
  const startedMs = cpuMs();
  for (const proxy of proxies) {
    const beginMs = cpuMs() - clientTime.ms;
    proxy.refresh();
    took.push(cpuMs() - clientTime.ms - beginMs);
  }
  metrics['first_all_cpu_s'] = (cpuMs() - startedMs - clientTime.ms) / 1000;
  metrics['first_one_p50_cpu_ms'] = quantile(took, 0.5);
  metrics['first_one_max_cpu_ms'] = Math.max(...took);
  collectGarbage();
  const { heapUsed, rss, arrayBuffers } = process.memoryUsage();
  metrics['heap_mb'] = (heapUsed - heapBefore) / 2 ** 20;
  const rssMb = rss / 2 ** 20;
  // Of the first alone: afterwards the process has the garbage of the mesh before.
  if (isFirst) metrics['rss_mb'] = rssMb;
  log(
    `${nodes.length} proxies: all in ${(metrics['first_all_cpu_s'] ?? 0).toFixed(1)} s, the first ${took[0]?.toFixed(0)} ms, ` +
      `p50 ${(metrics['first_one_p50_cpu_ms'] ?? 0).toFixed(2)} ms; heap ${metrics['heap_mb'].toFixed(0)} MB, ` +
      `buffers ${(arrayBuffers / 2 ** 20).toFixed(0)} MB, RSS ${rssMb.toFixed(0)} MB; ${resources.builds} built; ${describeSizes(graph)}`,
  );
  log(`one proxy would be sent ${((proxies[0]?.bytes() ?? 0) / 1024).toFixed(0)} KB`);
  for (const [name, change] of changesOf(shape, configs, world)) {
    if (!name.includes(only)) continue;
    const totals: number[] = [];
    let line = '';
    for (let round = 0; round < Math.max(rounds, 3); round += 1) {
      const { computations } = graph;
      const { builds } = resources;
      const write = change(round);
      clientTime.ms = 0;
      const beginMs = cpuMs();
      write();
      const appliedMs = cpuMs();
      const { touched, changed, proxies: affected } = refreshAll(proxies);
      const endMs = cpuMs() - clientTime.ms;
      totals.push(endMs - beginMs);
      line =
        `${(appliedMs - beginMs).toFixed(1)} ms to mark, ${graph.computations - computations} computed, ` +
        `${resources.builds - builds} built, ${touched} touched, ${affected} proxies with ${changed} other snapshots`;
    }
    metrics[`${name}_cpu_ms`] = quantile(totals, 0.5);
    log(`${name}: ${totals.map((ms) => ms.toFixed(1)).join(' ')} ms; ${line}`);
  }
  for (const proxy of proxies) proxy.close();
  return metrics;
}

/** What is to be written in a round, made before time is taken. */
type Change = (round: number) => () => void;

function changesOf(
  shape: MeshShape,
  configs: readonly Config[],
  world: PilotWorld,
): readonly (readonly [string, Change])[] {
  const current = new Map(configs.map((config) => [configKey(config), config]));
  const put = (yaml: string): (() => void) => {
    const changes = configsOfYaml(yaml).map((after) => {
      const key = configKey(after);
      const before = current.get(key);
      current.set(key, after);
      return { key, after, ...(before === undefined ? {} : { before }) };
    });
    return () => world.apply(changes);
  };
  const remove = (yaml: string): (() => void) => {
    const changes = configsOfYaml(yaml).map((config) => {
      const key = configKey(config);
      const before = current.get(key) ?? config;
      current.delete(key);
      return { key, before };
    });
    return () => world.apply(changes);
  };
  const own = serviceYaml(shape, 7);
  return [
    ['endpoint_added', (round) => put(podYaml(shape, 7, 4 + round))],
    ['endpoint_removed', (round) => remove(podYaml(shape, 7, 4 + round))],
    ['route_changed', (round) => put(virtualServiceYaml(shape, 3, 5 + round))],
    ['service_added', (round) => put(serviceYaml(shape, shape.services + round))],
    ['service_removed', (round) => remove(serviceYaml(shape, shape.services + round))],
    ['rule_changed', (round) => put(destinationRuleYaml(shape, 10, 200 + round))],
    ['rule_for_all', (round) => put(wildcardRuleYaml(300 + round))],
    [
      'mesh_config',
      (round) => () => world.setMeshConfig({ ...defaultMeshConfig, connectTimeoutMs: 5000 + round }),
    ],
    [
      'mesh_config_unread',
      (round) => () =>
        world.setMeshConfig({ ...defaultMeshConfig, connectTimeoutMs: 5000, ingressClass: `c${round}` }),
    ],
    [
      'pod_replaced',
      (round) => {
        const [old, young] = round % 2 === 0 ? [1, 3] : [3, 1];
        const writes = [remove(podYaml(shape, 9, old)), put(podYaml(shape, 9, young))];
        return () => {
          for (const write of writes) write();
        };
      },
    ],
    ['label_unselected', (round) => put(podYaml(shape, 11, 0, { labels: `, nobody-${round}: x` }))],
    ['annotation', (round) => put(podYaml(shape, 12, 0, { annotations: `, round: r${round}` }))],
    ['pod_status', (round) => put(podYaml(shape, 13, 0, { reason: `reason: r${round}, ` }))],
    ['service_annotation', (round) => put(serviceYaml(shape, 14, `, annotations: {round: r${round}}`))],
    ['same_again', () => put(own)],
    [
      'vs_for_nobody',
      (round) =>
        put(
          virtualServiceYaml(shape, 3, 8)
            .replace('spec: {', `spec: {exportTo: ["nobody-${round}"], `)
            .replace('name: svc-3', 'name: extra'),
        ),
    ],
    [
      'namespace_elsewhere',
      (round) =>
        put(
          `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p${round}, namespace: elsewhere}\nspec: {mtls: {mode: STRICT}}\n`,
        ),
    ],
    ['nothing', () => () => {}],
  ];
}
