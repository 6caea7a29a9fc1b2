// Decides steps with `explain`: its trace must come to what the step expects of the matchers.
import { meshOfStore } from '../src/cmd/explain-files.ts';
import { ConfigStore } from '../src/config/store.ts';
import { explain } from '../src/explain/explain.ts';
import { findClient } from '../src/explain/from.ts';
import { parseRequest } from '../src/explain/request.ts';
import type { Hop, Trace } from '../src/explain/trace.ts';
import { configsOfYaml } from '../test/support/world.ts';
import type { ConformanceCase, Decision, Step } from './case.ts';

/** What is not as the step's `decision` says; empty if all is. */
export async function decideByExplaining(conformanceCase: ConformanceCase, step: Step): Promise<string[]> {
  const trace = await explainStep(conformanceCase, step);
  return differences(step.expect.decision ?? {}, trace).map(
    (difference) => `${difference} (${trace.outcome.summary})`,
  );
}

export async function explainStep({ config, namespace }: ConformanceCase, step: Step): Promise<Trace> {
  const store = new ConfigStore();
  store.apply([{ source: 'case', upserts: configsOfYaml(config), deletes: [] }]);
  const { mesh } = meshOfStore(store, { as: 'up', meshConfigFile: undefined });
  const { method, url, headers } = step.request;
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
  const from = findClient(mesh, step.from, step.from === 'gateway' ? undefined : namespace);
  return explain({ mesh, from, request: parseRequest({ method, url, headers: lines, port: portOf(step) }) });
}

/** Cases call the gateway by the port of this machine; its Service has port 80. */
function portOf({ from }: Step): number | undefined {
  return from === 'gateway' ? 80 : undefined;
}

function differences(wanted: Decision, { hop }: Trace): string[] {
  const found: string[] = [];
  const same = (what: string, expected: unknown, actual: unknown): void => {
    if (expected !== undefined && expected !== actual)
      found.push(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual ?? null)}`);
  };
  const action = hop.http?.action ?? undefined;
  if (typeof wanted.cluster === 'object') {
    const shares = hop.targets.map(({ cluster, share }) => [cluster, Math.round(share * 100)] as const);
    const counted = shares.filter(([, share]) => share > 0);
    same('clusters', JSON.stringify(sorted(Object.entries(wanted.cluster))), JSON.stringify(sorted(counted)));
  } else same('cluster', wanted.cluster, clusterOf(hop));
  same('virtual host', wanted.virtualHost, hop.http?.virtualHost?.name);
  same('path', wanted.path, action?.path ?? undefined);
  same('host', wanted.host, hop.targets[0]?.authority ?? action?.authority ?? undefined);
  same('location', wanted.redirect, action?.location ?? undefined);
  if (wanted.directStatus !== undefined) {
    same('kind', 'direct response', action?.kind);
    same('status', wanted.directStatus, action?.status);
  }
  const isLost = hop.failure !== null && ['virtual host', 'rules'].includes(hop.failure.stage);
  if (wanted.notRouted === true && !isLost) found.push('expected no route');
  return found;
}

/** A fault that answers every request leaves no cluster in the trace: the rule's own is then not told. */
function clusterOf({ targets }: Hop): string | undefined {
  return targets.length === 1 ? targets[0]?.cluster : undefined;
}

function sorted(counts: readonly (readonly [string, number])[]): (readonly [string, number])[] {
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}
