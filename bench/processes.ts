// Programs that a scenario starts, each pinned to the cores it may use, and all stopped at the end.
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The proxy under test has this core to itself; load generator and backend share the other one. */
export const proxyCore = '0';
export const loadCore = '1';

export interface Running {
  readonly pid: number;
  stop(): void;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** Starts a program on `core`; what it prints is shown only if it dies by itself. */
export function start(
  core: string,
  command: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Running {
  const child = spawn('taskset', ['-c', core, command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  running.add(child);
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let stopped = false;
  child.on('exit', (code, signal) => {
    running.delete(child);
    if (!stopped) console.error(`${command} ended by itself (${code ?? signal}):\n${output}`);
  });
  return {
    pid: child.pid ?? -1,
    stop: () => {
      stopped = true;
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 2000).unref();
    },
  };
}

/** User and system time that a process and its children that are still alive have used, in microseconds. */
export function cpuMicroseconds(pid: number): number {
  const children = spawnSync('pgrep', ['-P', String(pid)])
    .stdout.toString()
    .split('\n')
    .filter(Boolean)
    .map(Number);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return ticks * 10_000 + children.reduce((sum, child) => sum + cpuMicroseconds(child), 0);
}
