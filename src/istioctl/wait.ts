// `wait`: what is waited for, and what is said at its end, in istioctl's words where it has them.
// https://github.com/istio/istio/blob/1.22.0/istioctl/pkg/wait/wait.go
import type { Clock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { ControlPlane } from './control-plane.ts';
import type { ObjectRevisionJson, RevisionJson } from './distribution.ts';
import {
  askObject,
  askRevision,
  describeRevision,
  isDistributed,
  isHopeless,
  lastWord,
  untilOver,
} from './distribution.ts';
import { findKind } from './resource-kinds.ts';

export interface WaitOptions {
  readonly clock: Clock;
  readonly controlPlane: ControlPlane;
  readonly timeoutMs: number;
  /** 0 to 1: the part of the affected proxies that must have acknowledged. */
  readonly threshold: number;
  /** `pod.namespace`: this one alone. */
  readonly proxy: string | undefined;
}

/** Returns the line that says so. Throws a UserError where the time is over, or a proxy refused. */
export async function waitForRevision(revision: number, options: WaitOptions): Promise<string> {
  const { clock, controlPlane, timeoutMs, threshold, proxy } = options;
  const { report } = await untilOver({
    clock,
    timeoutMs,
    ask: () => askRevision(controlPlane, revision, proxy),
    isOver: lastWord(clock, threshold),
  });
  if (report.accepted !== true)
    throw new UserError(
      `timeout expired before revision ${revision} was accepted; the control plane is at ${report.latest} (it counts from its start, ${report.startedAt})`,
    );
  if (isDistributed(report, threshold)) return presentText(`Revision ${revision}`, report);
  throw failure(`revision ${revision}`, report, options);
}

/** As waitForRevision, for the present form of an object, or for its end. */
export async function waitForObject(
  kindText: string,
  nameText: string,
  options: WaitOptions & {
    readonly namespace?: string;
    readonly generation?: number;
    readonly isDelete: boolean;
  },
): Promise<string> {
  const { clock, controlPlane, timeoutMs, threshold, proxy, generation, isDelete } = options;
  const kind = findKind(kindText);
  const object = { kind: kind.kind, ...splitName(nameText, options.namespace, kind.isNamespaced) };
  const isThere = ({ object: { inForce, generation: now = 0 } }: ObjectRevisionJson): boolean =>
    isDelete ? !inForce : inForce && (generation === undefined || now >= generation);
  const isArrived = (each: ObjectRevisionJson): boolean =>
    // What never was there is gone everywhere.
    isThere(each) && (isDistributed(each, threshold) || (isDelete && each.object.revision === undefined));
  const isLast = lastWord(clock, threshold);
  const { report } = await untilOver({
    clock,
    timeoutMs,
    ask: () => askObject(controlPlane, object, proxy),
    isOver: (each) => isArrived(each) || (isThere(each) && isLast(each)),
  });
  const version =
    report.object.apiVersion ?? `${kind.group === '' ? '' : `${kind.group}/`}${kind.versions[0] ?? ''}`;
  const title = `${version}/${kind.kind}/${object.namespace}/${object.name}`;
  if (isArrived(report))
    return presentText(`Resource ${title}`, report, isDelete ? 'gone from' : 'present on');
  if (isThere(report)) throw failure(`resource ${title}`, report, options);
  throw new UserError([timeoutText(`resource ${title}`, proxy), ...whyNotThere(report, options)].join('\n'));
}

/** `reviews.default`; a bare name is in `namespace`, else in `default`. */
function splitName(
  text: string,
  namespace: string | undefined,
  isNamespaced: boolean,
): { readonly namespace: string; readonly name: string } {
  if (!isNamespaced) return { namespace: '', name: text };
  const dot = text.lastIndexOf('.');
  if (dot < 0) return { namespace: namespace ?? 'default', name: text };
  return { namespace: text.slice(dot + 1), name: text.slice(0, dot) };
}

function presentText(title: string, report: RevisionJson, verb = 'present on'): string {
  const { present = 0, configurations = 0, affected = 0 } = report;
  return `${title} ${verb} ${present} out of ${configurations} configurations across ${affected} sidecars`;
}

function failure(title: string, report: RevisionJson, options: WaitOptions): UserError {
  const { clock, threshold, proxy } = options;
  const what = isHopeless(report, threshold)
    ? `${title} was refused, and cannot become effective on ${proxy ?? 'all sidecars'} before it changes`
    : timeoutText(title, proxy);
  return new UserError([what, ...describeRevision(report, clock.now())].join('\n'));
}

function timeoutText(title: string, proxy: string | undefined): string {
  return `timeout expired before ${title} became effective on ${proxy ?? 'all sidecars'}`;
}

function whyNotThere(
  { object, latest }: ObjectRevisionJson,
  { controlPlane }: WaitOptions,
): readonly string[] {
  const complaints = object.diagnostics.map(({ text }) => text);
  if (complaints.length > 0) return complaints;
  if (object.inForce)
    return [
      `the control plane has generation ${object.generation ?? 0} of it (revision ${object.revision ?? 0})`,
    ];
  return [`the control plane at ${controlPlane.address} does not have it (revision ${latest})`];
}
