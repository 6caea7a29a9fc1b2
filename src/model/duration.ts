// Durations as people write them in Istio's YAML: Go's notation, of which protobuf's (`1.5s`) is a part.

const unitNanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Each unit once with twenty digits is shorter. Proxies write durations, too: matching takes long for endless ones. */
const lengthMax = 200;

/**
 * Nanoseconds of `1h30m`, `1.5s`, `100ms`, `-2s` or `0`; undefined for anything else. Exact up to 104 days,
 * to the nearest representable value above. Source: Go `time.ParseDuration`.
 */
export function parseDurationNs(text: string): number | undefined {
  if (text.length > lengthMax) return undefined;
  const negative = text.startsWith('-');
  const rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return 0;
  // One part after the other, nothing between them.
  const parts = rest.match(/(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)/g);
  if (parts === null || parts.join('') !== rest) return undefined;
  let total = 0;
  for (const part of parts) {
    const unit = /[a-zµ]+$/.exec(part)?.[0] ?? '';
    total += Math.round(Number(part.slice(0, part.length - unit.length)) * (unitNanoseconds[unit] ?? 0));
  }
  return negative ? -total : total;
}

/** Milliseconds, with fraction, of the same notation. */
export function parseDurationMs(text: string): number | undefined {
  const nanoseconds = parseDurationNs(text);
  return nanoseconds === undefined ? undefined : nanoseconds / 1e6;
}
