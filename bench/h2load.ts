// h2load as load generator: closed loop over connections with several streams each.
import { spawn } from 'node:child_process';
import { loadCore } from './processes.ts';

export interface Http2Load {
  readonly requestsPerSecond: number;
  readonly meanMs: number;
  readonly requests: number;
  /** Requests that failed, and answers that were not 2xx. */
  readonly errors: number;
}

export interface Http2LoadOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** A file whose content is sent with each request. */
  readonly dataFile?: string | undefined;
  readonly connections: number;
  readonly streams: number;
  readonly seconds: number;
}

/** Runs h2load once. Rejects if it prints no result. */
export async function h2load(options: Http2LoadOptions): Promise<Http2Load> {
  const { url, headers, dataFile, connections, streams, seconds } = options;
  const args = ['-c', loadCore, 'h2load', '-t1', `-c${connections}`, `-m${streams}`, `-D${seconds}`];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`);
  if (dataFile !== undefined) args.push('-d', dataFile);
  const output = await run('taskset', [...args, url]);
  const rate = /finished in [\d.]+s, ([\d.]+) req\/s/.exec(output);
  const counts = /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/.exec(output);
  const codes = /status codes: (\d+) 2xx/.exec(output);
  const mean = /time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)/.exec(output);
  if (rate === null || counts === null || codes === null || mean === null)
    throw new Error(`h2load printed no result:\n${output}`);
  const done = Number(counts[1]);
  return {
    requestsPerSecond: Number(rate[1]),
    meanMs: Number(mean[1]) * { us: 0.001, ms: 1, s: 1000 }[mean[2] as 'us' | 'ms' | 's'],
    requests: done,
    errors: Number(counts[2]) + done - Number(codes[1]),
  };
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
