// wrk as load generator: closed loop over keep-alive connections.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCore } from './processes.ts';

export interface Load {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  /** Answers that were not 2xx or 3xx, and socket errors. */
  readonly errors: number;
}

export interface LoadOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly seconds: number;
}

const report = `
done = function(summary, latency, requests)
  io.write(string.format('RESULT %d %d %d %d %d\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
`;

export async function wrk({ url, headers, connections, seconds }: LoadOptions): Promise<Load> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const script = join(folder, 'report.lua');
  writeFileSync(script, report);
  const args = ['-c', loadCore, 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-s', script];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`);
  try {
    const output = await run('taskset', [...args, url]);
    const match = /RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/.exec(output);
    if (match === null) throw new Error(`wrk printed no result:\n${output}`);
    const [requests, durationUs, p50Us, p99Us, errors] = match.slice(1).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return {
      requests,
      requestsPerSecond: requests / (durationUs / 1e6),
      p50Ms: p50Us / 1000,
      p99Ms: p99Us / 1000,
      errors,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', reject);
    child.on('exit', () => resolve(output));
  });
}
