// What a trace comes to, in one sentence.
import { parseClusterName } from '../model/cluster-name.ts';
import type { ExplainedRequest } from './request.ts';
import { isPassthrough } from './target-stage.ts';
import type { Candidate, Failure, Hop, Outcome, Target } from './trace.ts';
import { countText, shareText } from './words.ts';

export function outcomeOf(hop: Hop, { host }: ExplainedRequest): Outcome {
  const base = { failure: null, candidates: [] as readonly Candidate[] };
  if (hop.failure !== null) return failed(hop.failure);
  const action = hop.http?.action;
  if (action !== undefined && action !== null && action.kind !== 'forward') {
    const where = action.location === null ? '' : ` to ${action.location}`;
    const what = action.kind === 'redirect' ? `redirected${where}` : `answered by the proxy`;
    return { ...base, kind: 'answered', summary: `${what} with status ${action.status ?? 0}` };
  }
  const targets = hop.targets.filter(({ picked, share }) => picked && share > 0);
  const failures = targets.flatMap((target) => {
    const failure = failureOf(target);
    return failure === undefined ? [] : [{ failure, share: target.share }];
  });
  const [first] = failures;
  const whole = targets.reduce((sum, { share }) => sum + share, 0);
  const lost = failures.reduce((sum, { share }) => sum + share, 0);
  if (first !== undefined && lost >= whole - 1e-9) return failed(first.failure);
  if (first !== undefined) {
    const summary = `${shareText(lost)} of requests fail: ${sentence(first.failure)}`;
    return { ...base, kind: 'partly', summary, failure: first.failure };
  }
  if (targets.length > 0 && targets.every(({ cluster }) => isPassthrough(cluster))) {
    const isDefault = hop.chain?.at === 'defaultFilterChain';
    const why = isDefault
      ? `no chain of the listener ${hop.listener?.name ?? ''} is for what the client speaks`
      : `the mesh does not know ${host}`;
    const summary = `${why}: it is let out as it is (ALLOW_ANY), without any rule`;
    return { ...base, kind: 'passthrough', summary };
  }
  return {
    ...base,
    kind: 'routed',
    summary: `routed to ${targets.map(targetText).join(', ') || hop.connection.destination}`,
  };
}

/** Its own, or that of a pod behind it: one pod that refuses is enough to fail some requests. */
function failureOf(target: Target): Failure | undefined {
  if (target.failure !== null) return target.failure;
  for (const { hop } of target.receivers) {
    const failure = hop.failure ?? hop.targets.map(failureOf).find((found) => found !== undefined);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function failed(failure: Failure): Outcome {
  return { kind: 'failed', summary: sentence(failure), failure, candidates: [] };
}

function sentence({ status, flag, reason, stage }: Failure): string {
  const code = [status === null ? '' : String(status), flag].filter((part) => part !== '').join(' ');
  return `${code === '' ? `fails at ${stage}` : code}: ${reason}`;
}

function targetText({ cluster, share, endpoints }: Target): string {
  const usable = countText(endpoints.filter(({ state }) => state === 'in').length, 'endpoint');
  if (cluster === '') return `one of ${usable} that Kubernetes chooses`;
  const name = parseClusterName(cluster);
  const where =
    name === undefined
      ? cluster
      : `${name.subset === '' ? '' : `subset ${name.subset} of `}${name.hostname}:${name.servicePort}`;
  return `${share < 1 ? `${shareText(share)} ` : ''}${where} (${usable})`;
}
