// Numbers in the words of the trace.

interface ProtoDuration {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** `1.5s`, `25ms`, `none` for zero. */
export function durationText(duration: ProtoDuration): string {
  const ms = Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
  return msText(ms);
}

export function msText(ms: number): string {
  if (ms === 0) return 'none';
  return ms >= 1000 ? `${ms / 1000}s` : `${ms}ms`;
}

/** `12.5%` of a share between 0 and 1. */
export function shareText(share: number): string {
  return `${Number((share * 100).toFixed(4))}%`;
}

/** `1 endpoint`, `2 endpoints`. */
export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
