// A histogram with two significant decimal digits, as Envoy's circllhist keeps for whole numbers.
import type { StatName } from './stats.ts';

/** 0..99 one bucket each, then 90 buckets for each decade up to 10^9. */
const bucketCount = 100 + 90 * 7;

/** Upper bounds of Prometheus buckets, Envoy's defaults (`stats_config.histogram_bucket_settings`). */
export const defaultBucketBounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** The quantiles that `/stats` shows, Envoy's. */
export const shownQuantiles: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

export class Histogram {
  readonly id: StatName;
  /** How many values were recorded. */
  count = 0;
  /** Their sum, exact. */
  sum = 0;
  #buckets: Uint32Array | undefined;

  /** Use `StatsScope.histogram`. */
  constructor(id: StatName) {
    this.id = id;
  }

  /** Takes one value: below 0 counts as 0, above 10^9 as 10^9. */
  record(value: number): void {
    const whole = value > 0 ? Math.round(value) : 0;
    this.#buckets ??= new Uint32Array(bucketCount);
    this.#buckets[bucketOf(whole)]!++;
    this.count++;
    this.sum += whole;
  }

  get used(): boolean {
    return this.count > 0;
  }

  /** How many values lie at or below `bound`, up to the resolution of the buckets. */
  countAtMost(bound: number): number {
    if (this.#buckets === undefined) return 0;
    let total = 0;
    for (let i = 0; i < bucketCount && lowerBound(i) <= bound; i++) total += this.#buckets[i]!;
    return total;
  }

  /** The value below which the share `quantile` (0..1) lies; NaN when nothing was recorded. */
  quantile(quantile: number): number {
    if (this.#buckets === undefined || this.count === 0) return Number.NaN;
    const wanted = quantile * this.count;
    let total = 0;
    let last = 0;
    for (let i = 0; i < bucketCount; i++) {
      const inBucket = this.#buckets[i]!;
      if (inBucket === 0) continue;
      const low = lowerBound(i);
      if (quantile === 0) return low;
      const width = widthOf(i);
      if (total + inBucket >= wanted) return low + (width * (wanted - total)) / inBucket;
      total += inBucket;
      last = low + width;
    }
    return last;
  }

  reset(): void {
    this.#buckets?.fill(0);
    this.count = 0;
    this.sum = 0;
  }
}

function bucketOf(value: number): number {
  if (value < 100) return value;
  let scale = 10;
  let base = 100;
  while (value >= scale * 100) {
    scale *= 10;
    base += 90;
    if (base >= bucketCount) return bucketCount - 1;
  }
  return base + Math.floor(value / scale) - 10;
}

function lowerBound(bucket: number): number {
  if (bucket < 100) return bucket;
  const decade = Math.floor((bucket - 100) / 90);
  return (10 + ((bucket - 100) % 90)) * 10 ** (decade + 1);
}

/** Envoy's buckets hold [x, x + a tenth of its decade): 7 lies in [7, 7.1), 42 in [42, 43). */
function widthOf(bucket: number): number {
  if (bucket === 0) return 0;
  if (bucket < 10) return 0.1;
  if (bucket < 100) return 1;
  return 10 ** (Math.floor((bucket - 100) / 90) + 1);
}
