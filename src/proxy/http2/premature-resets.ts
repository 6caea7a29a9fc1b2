// Rapid reset (CVE-2023-44487): a connection most of whose requests are taken back at once is closed, as by Envoy.

/** Envoy's runtime key overload.premature_reset_total_stream_count. */
const streamCountLimit = 500;
/** Envoy's overload.premature_reset_min_stream_lifetime_seconds. */
const lifetimeMsMin = 1000;

export class PrematureResets {
  #closed = 0;
  #premature = 0;

  /** A stream ended, in whatever way. */
  onClosed(): void {
    this.#closed++;
  }

  /** It was reset by the client before it had a response; `lifetimeMs` after its start. */
  onReset(lifetimeMs: number): void {
    if (lifetimeMs <= lifetimeMsMin) this.#premature++;
  }

  /** Half of all streams so far; below the limit, once so many that it would be half of the limit. */
  get tooMany(): boolean {
    if (this.#closed === 0) return false;
    if (this.#closed < streamCountLimit) return this.#premature * 2 >= streamCountLimit;
    return this.#premature * 2 >= this.#closed;
  }
}
