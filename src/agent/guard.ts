// What makes sure that nothing outlives us, whatever happens to us: one small process that is told of
// every process group that we start. When its standard input ends, we are gone, and it ends them all.
//
// A process that left its group is still found on Linux: it carries our mark in its environment.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { signalGroup } from './process.ts';

/** The environment variable that marks what belongs to one run. */
const runVariable = 'FAIRLEAD_RUN';
/** A reaper that cannot start must not be started for ever. */
const reaperStartsMax = 20;
/** How long processes have to end after SIGTERM when we are gone. */
const orphanGraceMs = 1500;

export interface ProcessGuardOptions {
  /** Program and first arguments that start this program: node and its main file. */
  readonly self: readonly [string, ...string[]];
  /** Names this run; no two runs of a machine may share it. */
  readonly runId: string;
  /** Removed at the end. */
  readonly stateDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
}

export class ProcessGuard {
  readonly #options: ProcessGuardOptions;
  readonly #groups = new Set<number>();
  #reaper: ChildProcess | undefined;
  #reaperStarts = 0;
  #closed = false;

  constructor(options: ProcessGuardOptions) {
    this.#options = options;
    this.#startReaper();
  }

  /** What every process of this run must have in its environment. */
  get environment(): Readonly<Record<string, string>> {
    return { [runVariable]: this.#options.runId };
  }

  /** Process groups that run now. */
  get groups(): ReadonlySet<number> {
    return this.#groups;
  }

  add(groupId: number): void {
    this.#groups.add(groupId);
    this.#tell(`+${groupId}`);
  }

  remove(groupId: number): void {
    this.#groups.delete(groupId);
    this.#tell(`-${groupId}`);
  }

  /** Ends what is left at once (SIGKILL), removes the state directory and waits for the reaper's end. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const reaper = this.#reaper;
    const gone = reaper === undefined || reaper.exitCode !== null || reaper.signalCode !== null;
    const exited = gone ? undefined : new Promise((resolve) => void reaper.once('exit', resolve));
    for (const group of this.#groups) signalGroup(group, 'SIGKILL');
    for (const pid of processesOfRun(this.#options.runId, new Set([reaper?.pid ?? 0])))
      killProcess(pid, 'SIGKILL');
    rmSync(this.#options.stateDirectory, { recursive: true, force: true });
    reaper?.stdin?.end('done\n');
    reaper?.ref();
    await exited;
  }

  #startReaper(): void {
    if (++this.#reaperStarts > reaperStartsMax) return;
    const [program, ...args] = this.#options.self;
    const reaper = spawn(program, [...args, 'reap', this.#options.runId, this.#options.stateDirectory], {
      env: { ...this.#options.environment, ...this.environment },
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#reaper = reaper;
    reaper.unref();
    reaper.stdin.on('error', () => {});
    reaper.on('error', () => {});
    reaper.on('exit', () => {
      // Somebody ended it: another takes its place, and is told of everything that runs.
      if (!this.#closed && reaper.pid !== undefined) this.#startReaper();
    });
    for (const group of this.#groups) this.#tell(`+${group}`);
  }

  #tell(line: string): void {
    this.#reaper?.stdin?.write(`${line}\n`);
  }
}

/** The reaper's whole life: reads what the guard tells it until that ends, then cleans up unless told `done`. */
export async function reap(
  input: Readable,
  runId: string,
  stateDirectory: string,
  clock: Clock,
): Promise<void> {
  const groups = new Set<number>();
  for await (const line of createInterface({ input })) {
    if (line === 'done') return;
    const group = Number(line.slice(1));
    // Never 0 or 1: as a group these would mean ourselves, or everything.
    if (!Number.isSafeInteger(group) || group < 2) continue;
    if (line.startsWith('+')) groups.add(group);
    else groups.delete(group);
  }
  const self = new Set([process.pid]);
  for (const group of groups) signalGroup(group, 'SIGTERM');
  for (const pid of processesOfRun(runId, self)) killProcess(pid, 'SIGTERM');
  await sleep(clock, orphanGraceMs);
  for (const group of groups) signalGroup(group, 'SIGKILL');
  for (const pid of processesOfRun(runId, self)) killProcess(pid, 'SIGKILL');
  rmSync(stateDirectory, { recursive: true, force: true });
}

/** Processes of this machine that carry the run's mark; none where there is no /proc. */
export function processesOfRun(runId: string, except: ReadonlySet<number>): number[] {
  let entries: string[];
  try {
    entries = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  } catch {
    return [];
  }
  const mark = `${runVariable}=${runId}`;
  return entries.map(Number).filter((pid) => !except.has(pid) && environmentOf(pid).includes(mark));
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    // Ended meanwhile, or another user's.
    return [];
  }
}

function killProcess(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended meanwhile.
  }
}
