// The stats as text, JSON and Prometheus exposition, in Envoy's forms.
import type { Counter, Gauge, Histogram, StatName, StatTag, StatsStore, TextReadout } from './stats.ts';
import { defaultBucketBounds, shownQuantiles } from './histogram.ts';

export type StatType = 'All' | 'Counters' | 'Gauges' | 'Histograms' | 'TextReadouts';

export interface StatsQuery {
  /** Only what was ever written. */
  readonly usedOnly: boolean;
  readonly type: StatType;
  /** Whether a stat of that name is wanted. */
  readonly matches: (name: string) => boolean;
}

/** `name: value` lines, sorted; histograms last, with (interval, cumulative) of each quantile. */
export function printText(store: StatsStore, query: StatsQuery): string {
  const { texts, numbers, histograms } = select(store, query);
  const lines = [
    ...texts.map(({ id, value }) => `${id.name}: ${JSON.stringify(value)}\n`),
    ...numbers.map(({ id, value }) => `${id.name}: ${value}\n`),
    ...histograms.map((histogram) => `${histogram.id.name}: ${summary(histogram)}\n`),
  ];
  return lines.join('');
}

export function printJson(store: StatsStore, query: StatsQuery): string {
  const { texts, numbers, histograms } = select(store, query);
  const stats: object[] = [...texts, ...numbers].map(({ id, value }) => ({ name: id.name, value }));
  if (histograms.length > 0) {
    stats.push({
      histograms: {
        supported_quantiles: shownQuantiles.map((quantile) => quantile * 100),
        computed_quantiles: histograms.map((histogram) => ({
          name: histogram.id.name,
          values: shownQuantiles.map((quantile) => {
            const value = histogram.used ? histogram.quantile(quantile) : null;
            return { cumulative: value, interval: value };
          }),
        })),
      },
    });
  }
  return JSON.stringify({ stats });
}

/**
 * Prometheus text exposition 0.0.4. Names are `envoy_` and the tag-extracted name; `fixedTags` come last on
 * every line. Values of labels are escaped, so that no name of a peer can make a line of its own.
 */
export function printPrometheus(
  store: StatsStore,
  query: StatsQuery & { readonly textReadouts: boolean; readonly fixedTags: readonly StatTag[] },
): string {
  const groups = new Map<string, { readonly type: string; readonly lines: (readonly [string, string])[] }>();
  const add = (id: StatName, type: string, lines: (labels: string, name: string) => string): void => {
    const { name, tags } = extractCodes(id);
    const metric = `envoy_${name.replaceAll(/[^a-zA-Z0-9_]/g, '_')}`;
    const labels = [...tags, ...query.fixedTags].map(
      (tag) => `${tag.name.replaceAll(/[^a-zA-Z0-9_]/g, '_')}="${escapeLabel(tag.value)}"`,
    );
    let group = groups.get(`${type} ${metric}`);
    if (group === undefined) {
      group = { type, lines: [] };
      groups.set(`${type} ${metric}`, group);
    }
    group.lines.push([id.name, lines(labels.join(','), metric)]);
  };
  const { texts, counters, gauges, histograms } = select(store, query);
  const single = (value: number) => (labels: string, metric: string) => `${metric}{${labels}} ${value}\n`;
  for (const { id, value } of counters) add(id, 'counter', single(value));
  for (const { id, value } of gauges) add(id, 'gauge', single(value));
  if (query.textReadouts) {
    for (const { id, value } of texts) {
      const tags = [...id.tags, { name: 'text_value', value }];
      add({ ...id, tags }, 'gauge', single(0));
    }
  }
  for (const histogram of histograms) {
    add(histogram.id, 'histogram', (labels, metric) => bucketLines(histogram, labels, metric));
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted
    .map(([key, { type, lines }]) => {
      const metric = key.slice(type.length + 1);
      return `# TYPE ${metric} ${type}\n${lines.map(([, line]) => line).join('')}`;
    })
    .join('');
}

interface Selected {
  readonly texts: readonly TextReadout[];
  readonly counters: readonly Counter[];
  readonly gauges: readonly Gauge[];
  /** Counters and gauges, sorted together. */
  readonly numbers: readonly (Counter | Gauge)[];
  readonly histograms: readonly Histogram[];
}

function select(store: StatsStore, query: StatsQuery): Selected {
  const pick = <Stat extends { readonly id: StatName; readonly used?: boolean }>(
    type: StatType,
    stats: Iterable<Stat>,
  ): Stat[] => {
    if (query.type !== 'All' && query.type !== type) return [];
    const picked = [...stats].filter(
      (stat) => (!query.usedOnly || stat.used !== false) && query.matches(stat.id.name),
    );
    return picked.sort(byName);
  };
  const counters = pick('Counters', store.counters());
  const gauges = pick('Gauges', store.gauges());
  return {
    texts: pick('TextReadouts', store.textReadouts()),
    counters,
    gauges,
    numbers: [...counters, ...gauges].sort(byName),
    histograms: pick('Histograms', store.histograms()),
  };
}

function byName(a: { readonly id: StatName }, b: { readonly id: StatName }): number {
  return a.id.name < b.id.name ? -1 : 1;
}

/** We keep no interval: both numbers are those since the start. */
function summary(histogram: Histogram): string {
  if (!histogram.used) return 'No recorded values';
  return shownQuantiles
    .map((quantile) => {
      const value = shortNumber(histogram.quantile(quantile));
      return `P${shortNumber(quantile * 100)}(${value},${value})`;
    })
    .join(' ');
}

function shortNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function bucketLines(histogram: Histogram, labels: string, metric: string): string {
  const prefix = labels === '' ? '' : `${labels},`;
  const buckets = defaultBucketBounds.map(
    (bound) => `${metric}_bucket{${prefix}le="${bound}"} ${histogram.countAtMost(bound)}\n`,
  );
  return [
    ...buckets,
    `${metric}_bucket{${prefix}le="+Inf"} ${histogram.count}\n`,
    `${metric}_sum{${labels}} ${histogram.sum}\n`,
    `${metric}_count{${labels}} ${histogram.count}\n`,
  ].join('');
}

/** Envoy's tags for `..._rq_200` and `..._rq_2xx`. */
function extractCodes(id: StatName): { readonly name: string; readonly tags: readonly StatTag[] } {
  const match = /_rq_(?:(\d)xx|(\d{3}))$/.exec(id.tagExtractedName);
  if (match === null) return { name: id.tagExtractedName, tags: id.tags };
  const stem = id.tagExtractedName.slice(0, match.index);
  const [, codeClass, code = ''] = match;
  return codeClass === undefined
    ? { name: `${stem}_rq`, tags: [{ name: 'envoy_response_code', value: code }, ...id.tags] }
    : {
        name: `${stem}_rq_xx`,
        tags: [{ name: 'envoy_response_code_class', value: codeClass }, ...id.tags],
      };
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
