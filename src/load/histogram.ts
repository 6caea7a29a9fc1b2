// Durations by their size, in little memory whatever their number.

export interface HistogramSummary {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Each bucket is this much wider than the one before: a quantile is off by 1 % at most. */
const growth = 1.02;
const smallest = 0.001;
const logGrowth = Math.log(growth);

/** Values from 0 on, in any unit (here: milliseconds); below 0.001 all are the same. */
export class Histogram {
  readonly #buckets: number[] = [];
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    const index = value <= smallest ? 0 : Math.ceil(Math.log(value / smallest) / logGrowth);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count++;
    this.#sum += value;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /** The value that `share` (0 to 1) of all do not exceed; NaN while there is none. */
  quantile(share: number): number {
    if (this.#count === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (const [index, count] of this.#buckets.entries()) {
      seen += count ?? 0;
      if (seen < rank) continue;
      // The middle of the bucket, but never beyond what was seen.
      const middle = smallest * growth ** (index - 0.5);
      return Math.min(this.#max, Math.max(this.#min, middle));
    }
    return this.#max;
  }

  summary(): HistogramSummary {
    return {
      count: this.#count,
      min: this.#count === 0 ? Number.NaN : this.#min,
      mean: this.#sum / this.#count,
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      max: this.#count === 0 ? Number.NaN : this.#max,
    };
  }
}
