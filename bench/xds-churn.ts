// Scenario xds-churn: a rolling restart, one pod a second, for as long as one likes: does memory stay where it is?
import { addressIn } from '../src/load/mesh/shape.ts';
import type { LoadFile } from './load-process.ts';
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { Bed } from './xds-bed.ts';
import { folderOf } from './xds-changes.ts';

export const xdsChurn: Scenario = {
  name: 'xds-churn',
  about:
    'a rolling restart of one pod a second for --duration seconds before 500 and 2,000 proxies; memory over time',
  run,
};

const services = 1000;
const samples = 10;

async function run(options: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  for (const dialect of options.dialects)
    for (const proxies of options.proxies)
      // oxlint-disable-next-line no-await-in-loop -- one control plane at a time
      await churn(dialect, proxies, options, metrics);
  return { metrics, ratios: {}, missing: [] };
}

async function churn(
  dialect: 'sotw' | 'delta',
  proxies: number,
  { durationSeconds, log }: BenchOptions,
  metrics: Record<string, number>,
): Promise<void> {
  const name = `${dialect}_${proxies}_proxies`;
  const bed = await Bed.start({ dialect, proxies, mesh: { sidecars: true } });
  try {
    const rss: { readonly second: number; readonly mb: number }[] = [];
    const sampleEvery = Math.max(1, Math.floor(durationSeconds / samples));
    const cost = await bed.cost(async () => {
      const startMs = performance.now();
      await bed.begin(restart(bed, 0));
      for (let second = 1; second < durationSeconds; second++) {
        // oxlint-disable-next-line no-await-in-loop -- the pace
        await new Promise((resolve) =>
          setTimeout(resolve, Math.max(0, startMs + second * 1000 - performance.now())),
        );
        // oxlint-disable-next-line no-await-in-loop -- the pace
        await bed.write(restart(bed, second));
        if (second % sampleEvery !== 0) continue;
        rss.push({ second, mb: bed.rssMb() });
        log(`${name}: ${second} s, ${bed.rssMb().toFixed(0)} MB`);
      }
    });
    const perPod = 1 / durationSeconds;
    metrics[`${name}_cpu_s_per_pod`] = cost.cpuSeconds * perPod;
    metrics[`${name}_sent_kb_per_pod`] = (cost.report.bytes * perPod) / 1000;
    metrics[`${name}_responses_per_pod`] = cost.report.responses * perPod;
    metrics[`${name}_first_rss_mb`] = rss[0]?.mb ?? Number.NaN;
    metrics[`${name}_last_rss_mb`] = rss.at(-1)?.mb ?? Number.NaN;
    metrics[`${name}_growth_mb_per_minute`] = slope(rss.slice(Math.floor(rss.length / 2))) * 60;
    log(
      `${name}: ${(cost.cpuSeconds * perPod).toFixed(3)} s of processor, ${((cost.report.bytes * perPod) / 1000).toFixed(0)} kB and ${(cost.report.responses * perPod).toFixed(0)} responses a pod`,
    );
  } finally {
    await bed.stop();
  }
}

/** The first pod of a service gets another name and another address. */
function restart(bed: Bed, turn: number): readonly LoadFile[] {
  const service = turn % services;
  const round = Math.floor(turn / services) + 1;
  const path = `${folderOf(service)}/svc-${service}-pods.yaml`;
  const text = bed
    .original(path)
    .replace(`name: svc-${service}-0`, `name: svc-${service}-0-${round}`)
    .replace(/podIP: \S+/, `podIP: ${addressIn(13, turn)}`);
  return [{ path, text }];
}

/** MB a second, by least squares over the second half: what is built on first use is not growth. */
function slope(points: readonly { readonly second: number; readonly mb: number }[]): number {
  const count = points.length;
  const meanX = points.reduce((sum, { second }) => sum + second, 0) / count;
  const meanY = points.reduce((sum, { mb }) => sum + mb, 0) / count;
  const over = points.reduce((sum, { second, mb }) => sum + (second - meanX) * (mb - meanY), 0);
  const under = points.reduce((sum, { second }) => sum + (second - meanX) ** 2, 0);
  return over / under;
}
