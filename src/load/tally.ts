// What a run has seen: messages and bytes by type, and how long changes take to be acknowledged.
import type { Clock } from '../base/clock.ts';
import type { HistogramSummary } from './histogram.ts';
import { Histogram } from './histogram.ts';
import type { LoadObserver, PlayedProxy } from './played-proxy.ts';

export interface TypeTally {
  responses: number;
  bytes: number;
  resources: number;
  removed: number;
  acks: number;
  nacks: number;
}

/** What one change has caused. */
export interface ChangeReport {
  /** Proxies that were sent anything. */
  readonly proxies: number;
  /** From the change to the last answer of each of these. */
  readonly ackMs: HistogramSummary;
  readonly responses: number;
  readonly bytes: number;
  /** By short name of the type. */
  readonly byType: Readonly<Record<string, TypeTally>>;
}

export interface RunReport {
  readonly proxies: number;
  /** Streams open now. */
  readonly open: number;
  /** Proxies that have everything now. */
  readonly converged: number;
  /** From opening a stream until everything had come, of all streams. */
  readonly connectMs: HistogramSummary;
  /** From a change to each proxy's last answer to it, over all changes. */
  readonly changeMs: HistogramSummary;
  readonly changes: number;
  readonly requests: number;
  readonly requestBytes: number;
  readonly byType: Readonly<Record<string, TypeTally>>;
  /** Streams that ended without the proxy's doing, by reason. */
  readonly ends: Readonly<Record<string, number>>;
}

interface RunningChange {
  readonly sinceMs: number;
  /** Proxy -> its last answer. */
  readonly lastAnswers: Map<PlayedProxy, number>;
  readonly byType: Map<string, TypeTally>;
}

/** Reasons that a server makes up freely: the rest is counted together. */
const reasonsMax = 50;

export class Tally implements LoadObserver {
  readonly #clock: Clock;
  readonly #byType = new Map<string, TypeTally>();
  readonly #connectMs = new Histogram();
  readonly #changeMs = new Histogram();
  readonly #ends = new Map<string, number>();
  #changes = 0;
  #requests = 0;
  #requestBytes = 0;
  #lastMs = 0;
  #running: RunningChange | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Monotonic: when a proxy was last sent something, or answered. */
  get lastMs(): number {
    return this.#lastMs;
  }

  received(typeUrl: string, bytes: number, resources: number, removed: number): void {
    this.#lastMs = this.#clock.monotonicMs();
    for (const tallies of this.#tallies()) {
      const tally = tallyOf(tallies, typeUrl);
      tally.responses++;
      tally.bytes += bytes;
      tally.resources += resources;
      tally.removed += removed;
    }
  }

  requested(bytes: number): void {
    this.#requests++;
    this.#requestBytes += bytes;
  }

  answered(proxy: PlayedProxy, typeUrl: string, isAck: boolean): void {
    this.#lastMs = this.#clock.monotonicMs();
    this.#running?.lastAnswers.set(proxy, this.#lastMs);
    for (const tallies of this.#tallies()) {
      const tally = tallyOf(tallies, typeUrl);
      if (isAck) tally.acks++;
      else tally.nacks++;
    }
  }

  converged(_proxy: PlayedProxy, sinceOpenMs: number): void {
    this.#connectMs.add(sinceOpenMs);
  }

  ended(_proxy: PlayedProxy, reason: string): void {
    const known = this.#ends.has(reason) || this.#ends.size < reasonsMax ? reason : 'others';
    this.#ends.set(known, (this.#ends.get(known) ?? 0) + 1);
  }

  /** A change is made now; what is answered from here on counts as caused by it. */
  begin(): void {
    const sinceMs = this.#clock.monotonicMs();
    this.#lastMs = sinceMs;
    this.#running = { sinceMs, lastAnswers: new Map(), byType: new Map() };
  }

  /** Nothing more will come of the change. Undefined where none is running. */
  end(): ChangeReport | undefined {
    const change = this.#running;
    if (change === undefined) return undefined;
    this.#running = undefined;
    this.#changes++;
    const ackMs = new Histogram();
    for (const atMs of change.lastAnswers.values()) {
      ackMs.add(atMs - change.sinceMs);
      this.#changeMs.add(atMs - change.sinceMs);
    }
    const tallies = [...change.byType.values()];
    return {
      proxies: change.lastAnswers.size,
      ackMs: ackMs.summary(),
      responses: tallies.reduce((sum, { responses }) => sum + responses, 0),
      bytes: tallies.reduce((sum, { bytes }) => sum + bytes, 0),
      byType: Object.fromEntries(change.byType),
    };
  }

  report(proxies: readonly PlayedProxy[]): RunReport {
    return {
      proxies: proxies.length,
      open: proxies.filter(({ isOpen }) => isOpen).length,
      converged: proxies.filter(({ hasConverged }) => hasConverged).length,
      connectMs: this.#connectMs.summary(),
      changeMs: this.#changeMs.summary(),
      changes: this.#changes,
      requests: this.#requests,
      requestBytes: this.#requestBytes,
      byType: Object.fromEntries([...this.#byType].map(([type, tally]) => [type, { ...tally }])),
      ends: Object.fromEntries(this.#ends),
    };
  }

  #tallies(): readonly Map<string, TypeTally>[] {
    return this.#running === undefined ? [this.#byType] : [this.#byType, this.#running.byType];
  }
}

function tallyOf(tallies: Map<string, TypeTally>, typeUrl: string): TypeTally {
  const short = typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
  let tally = tallies.get(short);
  if (tally === undefined) {
    tally = { responses: 0, bytes: 0, resources: 0, removed: 0, acks: 0, nacks: 0 };
    tallies.set(short, tally);
  }
  return tally;
}
