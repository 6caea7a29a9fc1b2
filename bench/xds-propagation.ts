// Scenario xds-propagation: what one change of each kind costs with 1,000 services, and how soon proxies acknowledge it.
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import type { Cost, Dialect } from './xds-bed.ts';
import { Bed } from './xds-bed.ts';
import type { MeshChange } from './xds-changes.ts';
import { destinationRule, endpoint, meshConfig, service, virtualService } from './xds-changes.ts';

export const xdsPropagation: Scenario = {
  name: 'xds-propagation',
  about:
    'one change of each kind with 1,000 services before 500 and 2,000 proxies, and one route of 3,000 before 100',
  run,
};

interface Case {
  readonly name: string;
  readonly dialect: Dialect;
  readonly proxies: number;
  readonly sidecars: boolean;
  readonly routes: number;
  readonly changes: readonly MeshChange[];
}

const everyChange: readonly MeshChange[] = [virtualService, endpoint, service, destinationRule, meshConfig];

function casesOf(options: BenchOptions): readonly Case[] {
  const { proxies, dialects } = options;
  return dialects.flatMap((dialect) => [
    {
      name: `${dialect}_3000_routes_100_proxies`,
      dialect,
      proxies: 100,
      sidecars: false,
      routes: 3,
      changes: [virtualService],
    },
    {
      name: `${dialect}_3000_routes_100_scoped_proxies`,
      dialect,
      proxies: 100,
      sidecars: true,
      routes: 3,
      changes: [virtualService],
    },
    ...proxies.flatMap((count) =>
      [true, false].map((sidecars) => ({
        name: `${dialect}_${count}_${sidecars ? 'scoped_' : ''}proxies`,
        dialect,
        proxies: count,
        sidecars,
        routes: 1,
        changes: everyChange,
      })),
    ),
  ]);
}

async function run(options: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  for (const each of casesOf(options).filter(({ name }) => name.includes(options.only))) {
    // oxlint-disable-next-line no-await-in-loop -- one control plane at a time
    await measure(each, options, metrics);
  }
  return { metrics, ratios: {}, missing: [] };
}

async function measure(
  each: Case,
  { log, rounds }: BenchOptions,
  metrics: Record<string, number>,
): Promise<void> {
  const { name, dialect, proxies, sidecars, routes, changes } = each;
  const bed = await Bed.start({
    dialect,
    proxies,
    mesh: { sidecars, routes, routed: routes > 1 ? 100 : 50 },
  });
  try {
    const { connectMs } = await bed.load.report();
    metrics[`${name}_connected_rss_mb`] = bed.rssMb();
    metrics[`${name}_connect_cpu_s`] = bed.cpuSeconds();
    metrics[`${name}_connect_p99_ms`] = connectMs.p99;
    log(`${name}: connected, ${bed.rssMb().toFixed(0)} MB, ${bed.cpuSeconds().toFixed(1)} s of processor`);
    for (const change of changes) {
      const sum = newSum();
      for (let turn = 0; turn < Math.max(2, rounds * 2); turn++) {
        // oxlint-disable-next-line no-await-in-loop -- one change after the other
        add(sum, await bed.change(change.files(bed, turn)));
      }
      write(metrics, `${name}_${change.name}`, sum);
      log(describe(`${name} ${change.name}`, sum));
    }
    metrics[`${name}_rss_mb`] = bed.rssMb();
    log(`${name}: ${bed.rssMb().toFixed(0)} MB at the end`);
  } finally {
    await bed.stop();
  }
}

/** Several changes alike. */
interface Sum {
  readonly p50s: number[];
  readonly p99s: number[];
  readonly costs: Cost[];
}

function newSum(): Sum {
  return { p50s: [], p99s: [], costs: [] };
}

function add(sum: Sum, cost: Cost): void {
  sum.costs.push(cost);
  if (cost.report.proxies === 0) return;
  sum.p50s.push(cost.report.ackMs.p50);
  sum.p99s.push(cost.report.ackMs.p99);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The median change's p50 and p99 over the proxies that it reached; the rest per change, in the mean. */
function write(metrics: Record<string, number>, name: string, { p50s, p99s, costs }: Sum): void {
  metrics[`${name}_p50_ms`] = middle(p50s);
  metrics[`${name}_p99_ms`] = middle(p99s);
  metrics[`${name}_cpu_s`] = mean(costs.map(({ cpuSeconds }) => cpuSeconds));
  metrics[`${name}_sent_kb`] = mean(costs.map(({ report }) => report.bytes)) / 1000;
  metrics[`${name}_proxies`] = mean(costs.map(({ report }) => report.proxies));
  metrics[`${name}_pushes`] = mean(costs.map(({ pushes }) => pushes));
}

function describe(name: string, { p50s, p99s, costs }: Sum): string {
  const cpu = mean(costs.map(({ cpuSeconds }) => cpuSeconds));
  const load = mean(costs.map(({ loadCpuSeconds }) => loadCpuSeconds));
  const kb = mean(costs.map(({ report }) => report.bytes)) / 1000;
  const proxies = mean(costs.map(({ report }) => report.proxies));
  return `${name}: p50 ${middle(p50s).toFixed(1)} ms, p99 ${middle(p99s).toFixed(1)} ms, ${cpu.toFixed(2)} s of processor (generator ${load.toFixed(2)}), ${kb.toFixed(0)} kB to ${proxies.toFixed(0)} proxies`;
}
