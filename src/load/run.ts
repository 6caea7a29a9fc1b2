// A run: N proxies that connect at a rate, and what befalls them from then on.
import type { Clock, Timer } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ProxyIdentity } from './identity.ts';
import { encodeNode } from './identity.ts';
import { NamePool } from './names.ts';
import type { Behaviour, Dialect } from './played-proxy.ts';
import { PlayedProxy } from './played-proxy.ts';
import type { ChangeReport, RunReport } from './tally.ts';
import { Tally } from './tally.ts';
import type { LoadWire } from './wire.ts';

export interface LoadRunOptions {
  readonly identities: readonly ProxyIdentity[];
  readonly dialect: Dialect;
  readonly wire: LoadWire;
  readonly clock: Clock;
  readonly random: Random;
  readonly behaviour: (index: number) => Behaviour;
  /** Streams opened a second. */
  readonly rate: number;
}

/** How often the pace of connecting and of reconnecting is kept. */
const tickMs = 10;

export class LoadRun {
  readonly #options: LoadRunOptions;
  readonly #proxies: readonly PlayedProxy[];
  readonly #tally: Tally;
  readonly #timers = new Set<Timer>();

  constructor(options: LoadRunOptions) {
    this.#options = options;
    this.#tally = new Tally(options.clock);
    const pool = new NamePool();
    this.#proxies = options.identities.map(
      (identity, index) =>
        new PlayedProxy({
          index,
          node: encodeNode(identity),
          behaviour: options.behaviour(index),
          pool,
          observer: this.#tally,
          dialect: options.dialect,
          wire: options.wire,
          clock: options.clock,
          random: options.random,
        }),
    );
  }

  /** Opens all streams at the rate. Resolves when the last one was opened. */
  async connect(): Promise<void> {
    const { clock, rate } = this.#options;
    const startMs = clock.monotonicMs();
    for (let opened = 0; opened < this.#proxies.length;) {
      const due = Math.min(
        this.#proxies.length,
        Math.floor(((clock.monotonicMs() - startMs) / 1000) * rate) + 1,
      );
      for (; opened < due; opened++) this.#proxies[opened]?.open();
      // oxlint-disable-next-line no-await-in-loop -- the pace
      if (opened < this.#proxies.length) await sleep(clock, tickMs);
    }
  }

  /** Resolves to whether all proxies had everything within the time. */
  async converged(withinMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + withinMs;
    while (!this.#proxies.every(({ hasConverged }) => hasConverged)) {
      if (clock.monotonicMs() >= untilMs) return false;
      // oxlint-disable-next-line no-await-in-loop -- waiting
      await sleep(clock, tickMs);
    }
    return true;
  }

  /**
   * Makes a change and waits until no proxy has been sent or has answered anything for `quietMs`, at most `withinMs`.
   */
  async change(make: () => void, quietMs: number, withinMs: number): Promise<ChangeReport> {
    this.begin(make);
    return this.end(quietMs, withinMs);
  }

  /** Makes a change, from which on is measured until `end`. */
  begin(make: () => void): void {
    this.#tally.begin();
    make();
  }

  /** Waits as `change` does. Rejects where nothing was begun. */
  async end(quietMs: number, withinMs: number): Promise<ChangeReport> {
    await this.quiet(quietMs, withinMs);
    const report = this.#tally.end();
    if (report === undefined) throw new Error('no change was begun, or another one has ended it');
    return report;
  }

  /** Resolves when nothing has come and nothing was answered for `quietMs`; to false after `withinMs`. */
  async quiet(quietMs: number, withinMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    for (;;) {
      const nowMs = clock.monotonicMs();
      const restMs = Math.max(this.#tally.lastMs, startMs) + quietMs - nowMs;
      if (restMs <= 0) return true;
      if (nowMs - startMs >= withinMs) return false;
      // oxlint-disable-next-line no-await-in-loop -- waiting
      await sleep(clock, Math.min(restMs, withinMs) + 1);
    }
  }

  /** Every proxy loses its stream now and opens the next at once; `forgets`: all of them have restarted. */
  reconnectAll(forgets: boolean): void {
    for (const proxy of this.#proxies) proxy.close();
    for (const proxy of this.#proxies) proxy.open(forgets);
  }

  /** From now on so many proxies a second, chosen by chance, open their stream anew. */
  keepReconnecting(perSecond: number): void {
    const { clock, random } = this.#options;
    let due = 0;
    const timer = clock.every(tickMs, () => {
      for (due += (perSecond * tickMs) / 1000; due >= 1; due--)
        this.#proxies[Math.floor(random() * this.#proxies.length)]?.reconnect();
    });
    this.#timers.add(timer);
  }

  report(): RunReport {
    return this.#tally.report(this.#proxies);
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
    for (const proxy of this.#proxies) proxy.close();
    this.#options.wire.close();
  }
}
