// Why a resource of one proxy is not acknowledged yet. See docs/distribution.md.
import type { Snapshot } from '../resources/snapshot.ts';
import { isSameContent } from '../resources/snapshot-changes.ts';
import type { Acknowledgements } from './acknowledgements.ts';
import type { LaggingResource, ProxyView } from './proxy-state.ts';

/** The changes that a resource lags behind. */
export interface LagSpan {
  /** When the first of them was looked at (monotonic). */
  readonly lookedMs: number;
  /** The first revision of the last of them. */
  readonly revision: number;
}

/** `name` is not acknowledged in the form that `target` has of it. */
export function lagOf(
  view: ProxyView,
  acks: Acknowledgements,
  typeUrl: string,
  name: string,
  target: Snapshot | undefined,
  { lookedMs, revision }: LagSpan,
): LaggingResource {
  const wanted = target?.get(name);
  const unansweredMs = acks.unansweredMs(typeUrl) ?? lookedMs;
  if (acks.isMute(typeUrl)) return { typeUrl, name, reason: 'sent', sinceMs: unansweredMs };
  if (wanted !== undefined && isSameContent(wanted, view.inUseOf(typeUrl, name))) {
    const sinceMs = acks.lastMs(typeUrl) ?? lookedMs;
    return { typeUrl, name, reason: 'asking', sinceMs, waitsFor: acks.needs(typeUrl, wanted) };
  }
  const held = view.held().find((each) => each.typeUrl === typeUrl && each.name === name);
  if (held !== undefined)
    return { typeUrl, name, reason: 'held', sinceMs: lookedMs, waitsFor: held.clusters };
  const flight = view.inFlight(typeUrl);
  if (flight !== undefined) {
    // A response from before the change may hold the name, too; of a removal nothing can be seen in it.
    const isLater = acks.sentRevision(typeUrl) >= revision;
    const isIn = isLater && (wanted === undefined || flight.names.includes(name));
    return { typeUrl, name, reason: isIn ? 'sent' : 'earlier', sinceMs: unansweredMs };
  }
  if (view.busy) return { typeUrl, name, reason: 'reading', sinceMs: lookedMs };
  const reason = view.isIsolating(typeUrl, name) ? 'isolating' : 'earlier';
  return { typeUrl, name, reason, sinceMs: lookedMs };
}
