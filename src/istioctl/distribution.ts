// Whether a revision has arrived: asks the control plane's /debug/revisions until the affected proxies have acknowledged.
import type { Clock } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { ControlPlane } from './control-plane.ts';

export interface LaggingResourceJson {
  readonly type: string;
  readonly name: string;
  readonly reason: string;
  readonly since: string;
  readonly waitsFor?: readonly string[];
}

export interface LaggingProxyJson {
  readonly proxy: string;
  readonly reason: string;
  readonly since: string;
  readonly resourceCount: number;
  readonly resources: readonly LaggingResourceJson[];
}

export interface OriginJson {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly field: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface RefusalJson {
  readonly type: string;
  readonly name: string;
  readonly message: string;
  readonly from: readonly OriginJson[];
}

/** What /debug/revisions?revision= answers. */
export interface RevisionJson {
  readonly latest: number;
  readonly startedAt: string;
  readonly revision?: number;
  /** Absent or false: there is no such revision yet. */
  readonly accepted?: boolean;
  readonly connected?: number;
  readonly affected?: number;
  readonly acked?: number;
  readonly lagging?: number;
  readonly refused?: number;
  readonly forgotten?: number;
  readonly configurations?: number;
  readonly present?: number;
  readonly laggingBy?: readonly LaggingProxyJson[];
  readonly refusedBy?: readonly { readonly proxy: string; readonly refusals: readonly RefusalJson[] }[];
}

/** What /debug/revisions?kind= answers. */
export interface ObjectRevisionJson extends RevisionJson {
  readonly object: {
    readonly inForce: boolean;
    readonly revision?: number;
    readonly generation?: number;
    readonly apiVersion?: string;
    readonly digest?: string;
    readonly file?: string;
    readonly line?: number;
    readonly diagnostics: readonly {
      readonly severity: string;
      readonly text: string;
      readonly file: string;
      readonly line: number;
    }[];
  };
}

/** Asked of the control plane again after so long: soon at first, for most changes take milliseconds. */
const pollMs = [10, 20, 50, 100] as const;

export interface Waiting<Report> {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly ask: () => Promise<Report>;
  /** Whether that is the end of waiting. */
  readonly isOver: (report: Report) => boolean;
  /** Whether a control plane that does not answer is asked again, even if it never has. Default: no. */
  readonly isPatient?: boolean;
}

/**
 * The report with which waiting ended: the first that `isOver`, or the last before the time was over. A control plane
 * that is busy or restarts is asked again; what it failed with last is thrown when the time is over.
 */
export async function untilOver<Report>(
  waiting: Waiting<Report>,
): Promise<{ readonly report: Report; readonly isOver: boolean }> {
  const { clock, timeoutMs, ask, isOver } = waiting;
  const endMs = clock.monotonicMs() + timeoutMs;
  let isPatient = waiting.isPatient ?? false;
  for (let round = 0; ; round++) {
    let report: Report | undefined;
    let restMs: number;
    try {
      // oxlint-disable-next-line no-await-in-loop -- asked again and again is what this is
      report = await ask();
      isPatient = true;
      if (isOver(report)) return { report, isOver: true };
      restMs = endMs - clock.monotonicMs();
      if (restMs <= 0) return { report, isOver: false };
    } catch (error) {
      restMs = endMs - clock.monotonicMs();
      if (!isPatient || restMs <= 0) throw error;
    }
    // oxlint-disable-next-line no-await-in-loop -- as above
    await sleep(clock, Math.min(restMs, pollMs[Math.min(round, pollMs.length - 1)] ?? 100));
  }
}

export function askRevision(
  controlPlane: ControlPlane,
  revision: number,
  proxy?: string,
): Promise<RevisionJson> {
  return asked(controlPlane, new URLSearchParams({ revision: String(revision), ...proxyPart(proxy) }));
}

export function askObject(
  controlPlane: ControlPlane,
  object: { readonly kind: string; readonly namespace: string; readonly name: string },
  proxy?: string,
): Promise<ObjectRevisionJson> {
  const { kind, namespace, name } = object;
  return asked(controlPlane, new URLSearchParams({ kind, namespace, name, ...proxyPart(proxy) }));
}

function proxyPart(proxy: string | undefined): Record<string, string> {
  return proxy === undefined ? {} : { proxyID: proxy };
}

async function asked<Report>(controlPlane: ControlPlane, query: URLSearchParams): Promise<Report> {
  const answer = await controlPlane.getJson(`/debug/revisions?${query.toString()}`);
  if (typeof answer !== 'object' || answer === null || !('latest' in answer))
    throw new UserError(
      `${controlPlane.address}/debug/revisions is no account of revisions: is that a control plane of Fairlead?`,
    );
  return answer as Report;
}

/** Whether so many of the affected proxies have acknowledged that it is enough; nobody affected is enough. */
export function isDistributed(report: RevisionJson, threshold: number): boolean {
  if (report.accepted !== true) return false;
  const { affected = 0, acked = 0 } = report;
  return affected === 0 || acked / affected >= threshold;
}

/** Whether so many have refused that the threshold cannot be reached before someone changes something. */
export function isHopeless(report: RevisionJson, threshold: number): boolean {
  const { affected = 0, refused = 0 } = report;
  return affected > 0 && refused > 0 && (affected - refused) / affected < threshold;
}

/** Others may still be on their way when the first proxy refuses: they get so long before that is told. */
const graceMs = 500;

/** Whether a report is the last word: enough proxies have it, or enough have refused and the others have answered. */
export function lastWord(clock: Clock, threshold: number): (report: RevisionJson) => boolean {
  let hopelessMs: number | undefined;
  return (report) => {
    if (isDistributed(report, threshold)) return true;
    if (!isHopeless(report, threshold)) {
      hopelessMs = undefined;
      return false;
    }
    hopelessMs ??= clock.monotonicMs();
    return report.lagging === 0 || clock.monotonicMs() - hopelessMs >= graceMs;
  };
}

/** Who has it, who lags and why, who refused it and where that was written: one line each, for people. */
export function describeRevision(report: RevisionJson, nowMs: number): readonly string[] {
  const { affected = 0, acked = 0, lagging = 0, refused = 0, laggingBy = [], refusedBy = [] } = report;
  if (affected === 0) return [`revision ${report.revision ?? 0}: no connected proxy is affected`];
  const parts = [`${acked} of ${affected} affected proxies ${acked === 1 ? 'has' : 'have'} acknowledged`];
  if (lagging > 0) parts.push(`${lagging} ${lagging === 1 ? 'lags' : 'lag'}`);
  if (refused > 0) parts.push(`${refused} refused`);
  const lines = [`revision ${report.revision ?? 0}: ${parts.join(', ')}`];
  lines.push(...refusalLines(refusedBy));
  for (const proxy of laggingBy.slice(0, shownMax)) {
    const [first] = proxy.resources;
    const what = first === undefined ? '' : `${first.type} ${first.name}: `;
    const more = proxy.resourceCount > 1 ? ` (and ${proxy.resourceCount - 1} more resources)` : '';
    const words = reasonText(first?.reason ?? proxy.reason, first?.waitsFor ?? []);
    lines.push(`  lagging  ${proxy.proxy}  ${what}${words}${since(proxy.since, nowMs)}${more}`);
  }
  if (lagging > shownMax) lines.push(`  lagging  and ${lagging - shownMax} more proxies`);
  return lines;
}

const shownMax = 10;
const namesMax = 3;

/** Proxies mostly refuse the same for the same reason: that is one line. */
function refusalLines(
  refusedBy: readonly { readonly proxy: string; readonly refusals: readonly RefusalJson[] }[],
): readonly string[] {
  const groups = new Map<
    string,
    {
      readonly said: string;
      readonly proxies: Set<string>;
      readonly names: Set<string>;
      readonly from: Set<string>;
    }
  >();
  for (const { proxy, refusals } of refusedBy) {
    for (const { type, name, message, from } of refusals) {
      const said = oneLine(message);
      const group = groups.get(said) ?? { said, proxies: new Set(), names: new Set(), from: new Set() };
      groups.set(said, group);
      group.proxies.add(proxy);
      group.names.add(`${type} ${name}`);
      for (const origin of from) group.from.add(originText(origin));
    }
  }
  const lines: string[] = [];
  for (const { said, proxies, names, from } of [...groups.values()].slice(0, shownMax)) {
    lines.push(`  refused  ${firstOf(proxies)}  ${firstOf(names)}: ${said}`);
    for (const origin of [...from].slice(0, shownMax)) lines.push(`           ${origin}`);
  }
  if (groups.size > shownMax) lines.push(`  refused  for ${groups.size - shownMax} more reasons`);
  return lines;
}

function firstOf(texts: ReadonlySet<string>): string {
  const shown = [...texts].slice(0, namesMax).join(', ');
  return texts.size > namesMax ? `${shown} and ${texts.size - namesMax} more` : shown;
}

/** `VirtualService default/reviews spec.http[0] at mesh/reviews.yaml:12:5` */
function originText({ kind, namespace, name, field, file, line, column }: OriginJson): string {
  const place = file === '' ? '' : ` at ${file}:${line}:${column}`;
  return `${kind} ${namespace}/${name}${field === '' ? '' : ` ${field}`}${place}`;
}

function reasonText(reason: string, waitsFor: readonly string[]): string {
  const names = waitsFor.slice(0, 3).join(', ');
  switch (reason) {
    case 'queued':
      return 'not looked at yet';
    case 'connecting':
      return 'connected meanwhile, has not acknowledged its first configuration';
    case 'reading':
      return 'not sent: the proxy does not read what it was sent before';
    case 'earlier':
      return 'not sent: an earlier response is not answered';
    case 'held':
      return `held until the proxy has the clusters ${names}`;
    case 'sent':
      return 'sent, not acknowledged';
    case 'asking':
      return `acknowledged, but what it needs is not: ${names}`;
    case 'isolating':
      return 'refused with others; they are sent one by one';
    default:
      return reason;
  }
}

function since(text: string, nowMs: number): string {
  const ms = nowMs - Date.parse(text);
  if (!Number.isFinite(ms) || ms < 0) return '';
  return ms < 1000 ? `, for ${Math.round(ms)} ms` : `, for ${(ms / 1000).toFixed(1)} s`;
}

function oneLine(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ');
}
