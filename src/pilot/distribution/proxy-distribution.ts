// What the revisions changed for one proxy, and how much of that it has acknowledged. See docs/distribution.md.
import type { Clock } from '../../base/clock.ts';
import { configKey } from '../../config/config.ts';
import { typeUrls } from '../../xds/types.ts';
import type { StandingRefusal } from '../delivery/delivery.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { changesBetween } from '../resources/snapshot-changes.ts';
import { Acknowledgements, askMs } from './acknowledgements.ts';
import { lagOf } from './lag.ts';
import type { LagReason, LaggingResource, OpenResponse, ProxyState, ProxyView } from './proxy-state.ts';
import { lagOrder } from './proxy-state.ts';
import type { Revision, RevisionLedger } from './revisions.ts';

export interface ProxyDistributionOptions {
  readonly view: ProxyView;
  readonly ledger: RevisionLedger;
  readonly clock: Clock;
}

/** Names whose content differs, or that are gone. */
type ChangedNames = readonly string[];

/** What one look found changed, for the revisions `from` to `to`. */
interface Transaction {
  readonly from: number;
  readonly to: number;
  /** Monotonic: when it was looked at. */
  readonly atMs: number;
  /** By type URL: what may not be acknowledged yet. */
  readonly parts: ReadonlyMap<string, ChangedNames>;
  /** How many changed at first. */
  readonly resources: number;
}

interface Settled {
  readonly from: number;
  readonly to: number;
  /** Wall time. */
  readonly ackedAtMs: number;
  readonly types: number;
  readonly resources: number;
}

/** What of a revision counts here. */
export type LookedRevision = Pick<
  Revision,
  'revision' | 'relevantThrough' | 'acceptedMonotonicMs' | 'objects'
>;

const openMax = 16;
const settledMax = 64;

export class ProxyDistribution {
  readonly #options: ProxyDistributionOptions;
  readonly #acks: Acknowledgements;
  /** The newest revision when it connected. */
  readonly connectedAt: number;
  readonly #connectedMs: number;
  /** Looked at for every revision up to this one. */
  #lookedThrough: number;
  readonly #seen = new Map<string, { snapshot: Snapshot; names: ReadonlySet<string>; wildcard: boolean }>();
  /** Seen to have changed, and not part of a transaction yet. */
  #pending = new Map<string, ChangedNames>();
  #open: Transaction[] = [];
  #settled: Settled[] = [];
  #forgottenThrough = 0;
  #isConnecting = true;
  #idleSinceMs: number | undefined;
  /** Targets were asked for since the last look, and may have moved. */
  #mayHaveMoved = false;

  constructor(options: ProxyDistributionOptions) {
    this.#options = options;
    this.#acks = new Acknowledgements(options.view, options.ledger, options.clock);
    this.connectedAt = options.ledger.latest;
    this.#lookedThrough = options.ledger.latest;
    this.#connectedMs = options.clock.monotonicMs();
  }

  /** A target was asked for: it may be newer than the last look. */
  noteTarget(): void {
    if (this.#options.ledger.latest > this.#lookedThrough) this.#mayHaveMoved = true;
  }

  /** A response of a type is on its way. */
  sent(typeUrl: string): void {
    this.#acks.sent(typeUrl);
  }

  /** The proxy has refused its last response of a type. */
  nacked(typeUrl: string): void {
    this.#acks.nacked(typeUrl);
  }

  /** The proxy has acknowledged a response; before anything else of that type is sent. */
  acked(typeUrl: string, response: OpenResponse | undefined): void {
    this.#acks.acked(typeUrl);
    const revision = this.#acks.sentRevision(typeUrl);
    if (response === undefined || response.changed.length === 0 || this.#open.length === 0) return;
    const changed = new Set(response.changed);
    const target = this.#options.view.target(typeUrl);
    this.#open = this.#open.map((transaction) => {
      const names = transaction.parts.get(typeUrl);
      if (names === undefined || transaction.to > revision) return transaction;
      // It has this form, though by now there may be a newer one.
      const rest = names.filter(
        (name) => !changed.has(name) || this.#acks.hasNeeds(typeUrl, target?.get(name)),
      );
      if (rest.length === names.length) return transaction;
      return { ...transaction, parts: new Map(transaction.parts).set(typeUrl, rest) };
    });
  }

  /** A request was taken in, and what could be sent for it was. */
  received(typeUrl: string): void {
    const { view } = this.#options;
    const subscription = view.subscriptions.get(typeUrl);
    if (subscription === undefined) this.#seen.delete(typeUrl);
    else if (this.#seen.get(typeUrl)?.names !== subscription.names) this.#look(typeUrl);
    this.#settle();
  }

  /**
   * Everything that was accepted up to now is part of what the proxy should have. `isTouched`: something that it reads
   * was changed. Returns the types in which that changed something for it.
   */
  lookedAt(isTouched: boolean): readonly string[] {
    const { ledger, view, clock } = this.#options;
    if (isTouched || this.#mayHaveMoved) for (const typeUrl of view.subscriptions.keys()) this.#look(typeUrl);
    this.#mayHaveMoved = false;
    const parts = this.#pending;
    const from = this.#lookedThrough + 1;
    const to = ledger.latest;
    this.#lookedThrough = to;
    if (parts.size === 0) return [];
    this.#pending = new Map();
    // Nothing was accepted since: what changed is the doing of time or of the proxy itself.
    if (from > to) return [];
    let resources = 0;
    for (const names of parts.values()) resources += names.length;
    this.#open.push({ from, to, atMs: clock.monotonicMs(), parts, resources });
    if (this.#open.length > openMax) this.#mergeOldest();
    this.#settle();
    return [...parts.keys()];
  }

  /** How far the proxy is with a revision. */
  stateAt({ revision, relevantThrough, acceptedMonotonicMs, objects }: LookedRevision): ProxyState {
    this.#settle();
    const { clock, view } = this.#options;
    if (revision <= this.connectedAt) {
      const keys = new Set(objects.map(({ key }) => key));
      // It has the newest state, but for what it refused of that.
      const refusals = view
        .refusals()
        .filter(
          ({ typeUrl, resource }) => isMadeOf(resource, keys) && !this.#isOpenName(typeUrl, resource.name),
        );
      if (refusals.length > 0) {
        const types = new Set(refusals.map(({ typeUrl }) => typeUrl)).size;
        return { state: 'refused', types, ackedTypes: 0, refusals, resources: [] };
      }
      return this.#isConnecting ? lagging('connecting', this.#connectedMs) : { state: 'unaffected' };
    }
    if (relevantThrough > this.#lookedThrough) return lagging('queued', acceptedMonotonicMs);
    const open = this.#open.filter(({ from, to }) => from <= revision && revision <= to);
    if (open.length > 0) return this.#stateOf(open, clock.monotonicMs());
    const settled = this.#settled.find(({ from, to }) => from <= revision && revision <= to);
    if (settled !== undefined) {
      const { ackedAtMs, types, resources } = settled;
      return { state: 'acked', ackedAtMs, types, resources };
    }
    if (revision <= this.#forgottenThrough) return { state: 'forgotten' };
    // What it has not asked for yet may be what the revision changed.
    return this.#isConnecting ? lagging('connecting', this.#connectedMs) : { state: 'unaffected' };
  }

  /** Whether anything that a revision changed is open. */
  get isOpen(): boolean {
    this.#settle();
    return this.#open.length > 0 || this.#isConnecting;
  }

  #look(typeUrl: string): void {
    const { view, ledger } = this.#options;
    const subscription = view.subscriptions.get(typeUrl);
    const snapshot = view.target(typeUrl);
    if (subscription === undefined || snapshot === undefined) return;
    const { names, wildcard } = subscription;
    const before = this.#seen.get(typeUrl);
    this.#seen.set(typeUrl, { snapshot, names, wildcard });
    // Without a new revision what differs is the doing of the proxy, which asks for other names.
    if (before === undefined || before.snapshot === snapshot || ledger.latest === this.#lookedThrough) return;
    let changed = namesBetween(before.snapshot, snapshot);
    // What it asks for only now, or not any more, was changed by the proxy.
    if (before.names !== names && !(before.wildcard && wildcard))
      changed = changed.filter(
        (name) => (before.wildcard || before.names.has(name)) && (wildcard || names.has(name)),
      );
    if (changed.length === 0) return;
    const known = this.#pending.get(typeUrl);
    this.#pending.set(typeUrl, known === undefined ? changed : union(known, changed));
  }

  /** Moves what is over from the open to the settled ones. */
  #settle(): void {
    this.#settleConnecting();
    if (this.#open.length === 0) return;
    const still = this.#open.filter((transaction) => {
      if (!this.#isAcked(transaction)) return true;
      this.#settled.push({
        from: transaction.from,
        to: transaction.to,
        ackedAtMs: this.#options.clock.now(),
        types: transaction.parts.size,
        resources: transaction.resources,
      });
      return false;
    });
    if (still.length === this.#open.length) return;
    this.#open = still;
    this.#settled.sort((a, b) => a.to - b.to);
    while (this.#settled.length > settledMax) {
      this.#forgottenThrough = Math.max(this.#forgottenThrough, this.#settled.shift()?.to ?? 0);
    }
  }

  /** The first configuration is there when listeners are, or when a proxy that asks for none has been idle a while. */
  #settleConnecting(): void {
    if (!this.#isConnecting) return;
    const { view, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (!view.idle || view.subscriptions.size === 0) {
      this.#idleSinceMs = undefined;
      return;
    }
    this.#idleSinceMs ??= nowMs;
    if (this.#acks.lastMs(typeUrls.listener) === undefined && nowMs - this.#idleSinceMs < askMs) return;
    // Idle is: nothing under way, nothing held. What is left to look at is whether it has yet to ask for more.
    // Listeners first: they are few, and mostly what is waited for.
    for (const typeUrl of [typeUrls.listener, typeUrls.cluster])
      for (const encoded of view.target(typeUrl)?.values() ?? [])
        if (view.inUseOf(typeUrl, encoded.name) !== undefined && this.#acks.hasNeeds(typeUrl, encoded))
          return;
    for (const typeUrl of view.subscriptions.keys()) if (this.#acks.isMute(typeUrl)) return;
    this.#isConnecting = false;
  }

  /** Whether a later revision has changed it since, and is not acknowledged. */
  #isOpenName(typeUrl: string, name: string): boolean {
    return this.#open.some(({ parts }) => parts.get(typeUrl)?.includes(name) === true);
  }

  #isAcked({ parts }: Transaction): boolean {
    for (const [typeUrl, names] of parts) if (!this.#acks.isTypeAcked(typeUrl, names)) return false;
    return true;
  }

  #stateOf(open: readonly Transaction[], nowMs: number): ProxyState {
    const { view } = this.#options;
    const parts = mergedParts(open);
    const refusals = view.refusals();
    const refused: StandingRefusal[] = [];
    const resources: LaggingResource[] = [];
    let ackedTypes = 0;
    const span = { lookedMs: open[0]?.atMs ?? nowMs, revision: open.at(-1)?.from ?? 0 };
    for (const [typeUrl, names] of parts) {
      const target = view.target(typeUrl);
      const waiting = names.filter((name) => !this.#acks.isNameAcked(typeUrl, name, target));
      if (waiting.length === 0 || !view.subscriptions.has(typeUrl)) {
        ackedTypes++;
        continue;
      }
      for (const name of waiting) {
        const refusal = refusals.find((each) => each.typeUrl === typeUrl && each.resource.name === name);
        if (refusal === undefined) resources.push(lagOf(view, this.#acks, typeUrl, name, target, span));
        else refused.push(refusal);
      }
    }
    const types = parts.size;
    if (refused.length > 0) return { state: 'refused', types, ackedTypes, refusals: refused, resources };
    const [first] = resources.toSorted((a, b) => lagOrder.indexOf(a.reason) - lagOrder.indexOf(b.reason));
    return {
      state: 'lagging',
      reason: first?.reason ?? 'sent',
      sinceMs: first?.sinceMs ?? nowMs,
      types,
      ackedTypes,
      resources,
    };
  }

  /** A proxy that never answers costs no more than this. */
  #mergeOldest(): void {
    const [first, second, ...rest] = this.#open;
    if (first === undefined || second === undefined) return;
    const parts = new Map<string, ChangedNames>();
    for (const [typeUrl, names] of mergedParts([first, second])) {
      const target = this.#options.view.target(typeUrl);
      const waiting = names.filter((name) => !this.#acks.isNameAcked(typeUrl, name, target));
      if (waiting.length > 0) parts.set(typeUrl, waiting);
    }
    const resources = first.resources + second.resources;
    this.#open = [{ from: first.from, to: second.to, atMs: first.atMs, parts, resources }, ...rest];
  }
}

function isMadeOf({ provenance }: Encoded, keys: ReadonlySet<string>): boolean {
  return provenance.some(({ origin }) => keys.has(configKey(origin)));
}

function lagging(reason: LagReason, sinceMs: number): ProxyState {
  return { state: 'lagging', reason, sinceMs, types: 1, ackedTypes: 0, resources: [] };
}

function namesBetween(before: Snapshot, after: Snapshot): ChangedNames {
  const { changed, removed } = changesBetween(before, after);
  return removed.length === 0 ? changed : [...changed, ...removed];
}

function mergedParts(transactions: readonly Transaction[]): ReadonlyMap<string, ChangedNames> {
  const [only] = transactions;
  if (only !== undefined && transactions.length === 1) return only.parts;
  const merged = new Map<string, ChangedNames>();
  for (const { parts } of transactions) {
    for (const [typeUrl, names] of parts) {
      const known = merged.get(typeUrl);
      merged.set(typeUrl, known === undefined ? names : union(known, names));
    }
  }
  return merged;
}

function union(a: ChangedNames, b: ChangedNames): ChangedNames {
  return a === b ? a : [...new Set([...a, ...b])];
}
