// What one proxy has acknowledged of what it should have, name by name.
import type { Clock } from '../../base/clock.ts';
import { typeUrls } from '../../xds/types.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { isSameContent } from '../resources/snapshot-changes.ts';
import type { ProxyView } from './proxy-state.ts';
import type { RevisionLedger } from './revisions.ts';

/** Time for a proxy that has something new to ask for what it needs: as delivery gives it. */
export const askMs = 1000;

/** Responses of one type that the proxy has said nothing of. */
interface Unanswered {
  /** When the oldest was sent (monotonic). */
  readonly sinceMs: number;
  readonly count: number;
}

export class Acknowledgements {
  readonly #view: ProxyView;
  readonly #ledger: RevisionLedger;
  readonly #clock: Clock;
  /** Type URL -> when it last acknowledged something of it (monotonic). */
  readonly #ackedMs = new Map<string, number>();
  /** Type URL -> the newest revision when the last response of it was made: it has all of that. */
  readonly #sentRevision = new Map<string, number>();
  /** By type URL. */
  readonly #unanswered = new Map<string, Unanswered>();

  constructor(view: ProxyView, ledger: RevisionLedger, clock: Clock) {
    this.#view = view;
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** A response of a type is on its way. */
  sent(typeUrl: string): void {
    this.#sentRevision.set(typeUrl, this.#ledger.latest);
    const before = this.#unanswered.get(typeUrl) ?? { sinceMs: this.#clock.monotonicMs(), count: 0 };
    this.#unanswered.set(typeUrl, { ...before, count: before.count + 1 });
  }

  /** The proxy has answered its last response of a type with a refusal: that says nothing of those before it. */
  nacked(typeUrl: string): void {
    const before = this.#unanswered.get(typeUrl);
    if (before === undefined || before.count <= 1) this.#unanswered.delete(typeUrl);
    else this.#unanswered.set(typeUrl, { ...before, count: before.count - 1 });
  }

  acked(typeUrl: string): void {
    this.#ackedMs.set(typeUrl, this.#clock.monotonicMs());
    this.#unanswered.delete(typeUrl);
  }

  /** When something of a type was last acknowledged (monotonic). */
  lastMs(typeUrl: string): number | undefined {
    return this.#ackedMs.get(typeUrl);
  }

  /** Since when a response of a type is not answered (monotonic). */
  unansweredMs(typeUrl: string): number | undefined {
    return this.#unanswered.get(typeUrl)?.sinceMs;
  }

  /** The newest revision that the last response of a type holds; 0: there was none. */
  sentRevision(typeUrl: string): number {
    return this.#sentRevision.get(typeUrl) ?? 0;
  }

  /** Delivery, which has one response under way at a time, has taken one for accepted of which nothing was said. */
  isMute(typeUrl: string): boolean {
    const count = this.#unanswered.get(typeUrl)?.count ?? 0;
    return count > (this.#view.inFlight(typeUrl) === undefined ? 0 : 1);
  }

  isTypeAcked(typeUrl: string, names: readonly string[]): boolean {
    if (!this.#view.subscriptions.has(typeUrl)) return true;
    const target = this.#view.target(typeUrl);
    return names.every((name) => this.isNameAcked(typeUrl, name, target));
  }

  /** Whether it has what `target` has under a name, and what follows from that; or does not ask for it. */
  isNameAcked(typeUrl: string, name: string, target: Snapshot | undefined): boolean {
    const subscription = this.#view.subscriptions.get(typeUrl);
    if (subscription?.wildcard !== true && subscription?.names.has(name) !== true) return true;
    if (this.isMute(typeUrl)) return false;
    const wanted = target?.get(name);
    if (!isSameContent(wanted, this.#view.inUseOf(typeUrl, name))) return false;
    return !this.hasNeeds(typeUrl, wanted);
  }

  hasNeeds(typeUrl: string, encoded: Encoded | undefined): boolean {
    return encoded !== undefined && this.needs(typeUrl, encoded).length > 0;
  }

  /** What follows from a resource and is not acknowledged: endpoints of a cluster, routes of a listener. */
  needs(typeUrl: string, { facts }: Encoded): readonly string[] {
    if (typeUrl === typeUrls.cluster && facts.endpointsName !== undefined)
      return this.#missing(typeUrl, typeUrls.endpoint, [facts.endpointsName]);
    if (typeUrl === typeUrls.listener && facts.routes !== undefined)
      return this.#missing(typeUrl, typeUrls.route, facts.routes);
    return [];
  }

  #missing(typeUrl: string, neededUrl: string, names: readonly string[]): readonly string[] {
    const view = this.#view;
    const mayAsk = this.#clock.monotonicMs() - (this.#ackedMs.get(typeUrl) ?? 0) < askMs;
    const asked = view.subscriptions.get(neededUrl);
    return names.filter((name) => {
      if (view.inUseOf(neededUrl, name) !== undefined) return false;
      if (asked?.names.has(name) !== true) return mayAsk;
      // Refused: it is told of as that, and not waited for here.
      return !view
        .refusals()
        .some((refusal) => refusal.typeUrl === neededUrl && refusal.resource.name === name);
    });
  }
}
