// What a benchmark scenario is, and the shape of its result.
import { cpus, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';

export interface Scenario {
  readonly name: string;
  readonly about: string;
  run(options: BenchOptions): Promise<Measurement>;
}

export interface BenchOptions {
  /** Seconds of load for each target in each round. */
  readonly seconds: number;
  readonly rounds: number;
  /** Numbers of proxies that the scenarios of xDS play. */
  readonly proxies: readonly number[];
  readonly dialects: readonly ('sotw' | 'delta')[];
  /** Seconds of a scenario that lasts: churn. */
  readonly durationSeconds: number;
  /** Of the cases of a scenario those whose name contains this. */
  readonly only: string;
  readonly log: (line: string) => void;
}

export interface Measurement {
  /** Unit last in each name: `fairlead_requests_per_s`, `fairlead_p99_ms`. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Ours over the peer's, in the same run, by peer; above 1 ours is the larger. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Peers that are not installed here. */
  readonly missing: readonly string[];
}

export interface Result extends Measurement {
  readonly scenario: string;
  readonly machine: string;
}

/** Processor, cores, memory and versions: enough to read the absolutes with care. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  return `${model}, ${cpus().length} cores, ${memoryGib} GiB, Linux ${kernel}, Node ${process.versions.node}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value below which `share` (0 to 1) of all values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
