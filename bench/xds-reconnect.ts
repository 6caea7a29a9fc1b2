// Scenario xds-reconnect: every proxy loses its stream at the same moment, with all that it had and without.
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { Bed } from './xds-bed.ts';

export const xdsReconnect: Scenario = {
  name: 'xds-reconnect',
  about: 'all of 500 and 2,000 proxies reconnect at once, saying what they have and as if they had restarted',
  run,
};

async function run(options: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  for (const dialect of options.dialects)
    for (const proxies of options.proxies)
      // oxlint-disable-next-line no-await-in-loop -- one control plane at a time
      await reconnect(dialect, proxies, options, metrics);
  return { metrics, ratios: {}, missing: [] };
}

async function reconnect(
  dialect: 'sotw' | 'delta',
  proxies: number,
  { log }: BenchOptions,
  metrics: Record<string, number>,
): Promise<void> {
  const bed = await Bed.start({ dialect, proxies, mesh: { sidecars: true } });
  try {
    for (const forgets of [false, true]) {
      const name = `${dialect}_${proxies}_${forgets ? 'restarted' : 'reconnected'}`;
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const cost = await bed.cost(async () => {
        await bed.load.reconnect(forgets);
        // The control plane notices within moments that the old streams are gone.
        await new Promise((resolve) => setTimeout(resolve, 1000));
        await bed.connected(proxies);
        await bed.load.converged(bed.connectMs);
      }, 300_000);
      const { report } = cost;
      // Who says what it has may be told nothing.
      if (report.responses > 0) {
        metrics[`${name}_p50_ms`] = report.ackMs.p50;
        metrics[`${name}_p99_ms`] = report.ackMs.p99;
      }
      metrics[`${name}_cpu_s`] = cost.cpuSeconds;
      metrics[`${name}_sent_mb`] = report.bytes / 1e6;
      metrics[`${name}_responses`] = report.responses;
      metrics[`${name}_rss_mb`] = bed.rssMb();
      log(
        `${name}: p50 ${report.ackMs.p50.toFixed(0)} ms, p99 ${report.ackMs.p99.toFixed(0)} ms, ${cost.cpuSeconds.toFixed(1)} s of processor, ${(report.bytes / 1e6).toFixed(1)} MB in ${report.responses} responses, ${bed.rssMb().toFixed(0)} MB resident`,
      );
    }
    const { ends } = await bed.load.report();
    const refused = Object.values(ends).reduce((sum, count) => sum + count, 0);
    metrics[`${dialect}_${proxies}_refused`] = refused;
    log(`${dialect}_${proxies}: ${refused} streams were refused or ended: ${JSON.stringify(ends)}`);
  } finally {
    await bed.stop();
  }
}
