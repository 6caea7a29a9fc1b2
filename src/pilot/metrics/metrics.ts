// Counters, gauges and histograms in the Prometheus text format, with the names of Istio's control plane.

type Labels = Readonly<Record<string, string>>;

/** One value of a metric that is asked for when rendered. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

interface Metric {
  readonly name: string;
  render(lines: string[]): void;
}

/** A label set beyond this many of one metric is counted as `other`: peers choose some of the values. */
const seriesMax = 1000;
/** Characters of a label's value; the rest is cut off. */
const valueLengthMax = 1024;

export class Metrics {
  readonly #metrics: Metric[] = [];

  /** What only grows. */
  counter(name: string, help: string): Series {
    return this.#add(new Series(name, help, 'counter'));
  }

  /** What goes up and down; with `read` it is asked for when rendered. */
  gauge(name: string, help: string, read?: () => number | readonly Sample[]): Series {
    return this.#add(new Series(name, help, 'gauge', read));
  }

  /** `buckets`: upper bounds, ascending, in the unit of the metric. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, buckets));
  }

  /** Prometheus text format, version 0.0.4. */
  render(): string {
    const lines: string[] = [];
    for (const metric of this.#metrics) metric.render(lines);
    return `${lines.join('\n')}\n`;
  }

  #add<M extends Metric>(metric: M): M {
    this.#metrics.push(metric);
    return metric;
  }
}

export class Series implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #type: 'counter' | 'gauge';
  readonly #read: (() => number | readonly Sample[]) | undefined;
  readonly #values = new Map<string, number>();

  constructor(
    name: string,
    help: string,
    type: 'counter' | 'gauge',
    read?: () => number | readonly Sample[],
  ) {
    this.name = name;
    this.#help = help;
    this.#type = type;
    this.#read = read;
  }

  add(amount = 1, labels: Labels = {}): void {
    const key = keyOf(this.#values, labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
  }

  set(value: number, labels: Labels = {}): void {
    this.#values.set(keyOf(this.#values, labels), value);
  }

  get(labels: Labels = {}): number {
    return this.#values.get(labelText(labels)) ?? 0;
  }

  render(lines: string[]): void {
    lines.push(`# HELP ${this.name} ${this.#help}`, `# TYPE ${this.name} ${this.#type}`);
    const read = this.#read?.();
    if (typeof read === 'number') lines.push(`${this.name} ${read}`);
    else if (read !== undefined) {
      this.#values.clear();
      for (const { labels, value } of read) this.set(value, labels);
    }
    for (const [labels, value] of this.#values) lines.push(`${this.name}${braced(labels)} ${value}`);
  }
}

interface Distribution {
  readonly counts: number[];
  sum: number;
  count: number;
}

export class Histogram implements Metric {
  readonly name: string;
  readonly #help: string;
  readonly #buckets: readonly number[];
  readonly #values = new Map<string, Distribution>();

  constructor(name: string, help: string, buckets: readonly number[]) {
    this.name = name;
    this.#help = help;
    this.#buckets = buckets;
  }

  observe(value: number, labels: Labels = {}): void {
    const key = keyOf(this.#values, labels);
    let distribution = this.#values.get(key);
    if (distribution === undefined) {
      distribution = { counts: this.#buckets.map(() => 0), sum: 0, count: 0 };
      this.#values.set(key, distribution);
    }
    distribution.sum += value;
    distribution.count++;
    const bucket = this.#buckets.findIndex((bound) => value <= bound);
    if (bucket >= 0) distribution.counts[bucket] = (distribution.counts[bucket] ?? 0) + 1;
  }

  render(lines: string[]): void {
    lines.push(`# HELP ${this.name} ${this.#help}`, `# TYPE ${this.name} histogram`);
    for (const [labels, { counts, sum, count }] of this.#values) {
      const prefix = labels === '' ? '' : `${labels},`;
      let below = 0;
      this.#buckets.forEach((bound, index) => {
        below += counts[index] ?? 0;
        lines.push(`${this.name}_bucket{${prefix}le="${bound}"} ${below}`);
      });
      lines.push(`${this.name}_bucket{${prefix}le="+Inf"} ${count}`);
      lines.push(`${this.name}_sum${braced(labels)} ${sum}`, `${this.name}_count${braced(labels)} ${count}`);
    }
  }
}

function keyOf(values: ReadonlyMap<string, unknown>, labels: Labels): string {
  const key = labelText(labels);
  if (values.has(key) || values.size < seriesMax) return key;
  return labelText(Object.fromEntries(Object.keys(labels).map((name) => [name, 'other'])));
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escape(value.slice(0, valueLengthMax))}"`)
    .join(',');
}

function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}
