// Local processes: starting a program as the leader of its own process group, reading its lines, ending
// the whole group.
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import type { ProcessGuard } from './guard.ts';

export interface ProcessSpec {
  /** A program on PATH of `environment`, or a path. */
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment; nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
}

export interface ProcessExit {
  /** Null where a signal ended it, or where it never started. */
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it could not be started at all. */
  readonly error?: string;
}

export interface StartedProcess {
  /** Undefined if it could not be started; `exited` then says why. */
  readonly pid: number | undefined;
  /** Settles once, when the program has ended and its output has been read; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** To the program and everything in its process group; no effect when it has ended. */
  signal(signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** Takes one line of output, without its newline. */
export type LineSink = (line: string) => void;

/** Starts processes: the machine's, or a test's. */
export interface ProcessStarter {
  /** Never throws: what went wrong is in `exited`. */
  start(spec: ProcessSpec, onLine: LineSink): StartedProcess;
}

/** A longer line is handed on in pieces of this many characters. */
const lineLengthMax = 16 * 1024;
/** How long after a program's end its last output, and that of what it left behind, is waited for. */
const outputGraceMs = 300;

/** Processes of this machine. */
export class LocalProcesses implements ProcessStarter {
  readonly #guard: ProcessGuard;
  readonly #stateDirectory: string;
  readonly #clock: Clock;
  #started = 0;

  /** Named pipes are made in `stateDirectory` for the moment of a start. */
  constructor(guard: ProcessGuard, stateDirectory: string, clock: Clock) {
    this.#guard = guard;
    this.#stateDirectory = stateDirectory;
    this.#clock = clock;
  }

  start(spec: ProcessSpec, onLine: LineSink): StartedProcess {
    this.#started++;
    const pipe = openNamedPipe(join(this.#stateDirectory, `output-${this.#started}`));
    const output = pipe?.writeEnd ?? 'pipe';
    let child: ChildProcess;
    try {
      child = spawn(spec.command, [...spec.args], {
        cwd: spec.workingDirectory,
        env: { ...spec.environment, ...this.#guard.environment },
        // A session of its own: Ctrl-C at the terminal reaches us alone, and we end the group in order.
        detached: true,
        stdio: ['ignore', output, output],
      });
    } catch (error) {
      // A NUL in an argument, or more arguments than the system takes.
      pipe?.readEnd.destroy();
      if (pipe !== undefined) closeSync(pipe.writeEnd);
      const reason = `cannot start ${spec.command}: ${error instanceof Error ? error.message : String(error)}`;
      const exited = Promise.resolve({ code: null, signal: null, error: reason });
      return { pid: undefined, exited, signal: () => {} };
    }
    if (child.pid !== undefined) this.#guard.add(child.pid);
    if (pipe !== undefined) closeSync(pipe.writeEnd);
    const outputs = [pipe?.readEnd, child.stdout, child.stderr].filter((stream) => stream instanceof Socket);
    const outputEnded = Promise.all(outputs.map((output) => readLines(output, onLine)));
    const ended = new Promise<ProcessExit>((resolve) => {
      child.on('error', (error) => {
        if (child.pid === undefined) resolve({ code: null, signal: null, error: startError(spec, error) });
      });
      child.on('exit', (code, signal) => resolve({ code, signal }));
    });
    const exited = ended.then(async (exit) => {
      if (child.pid !== undefined) {
        // As in a container: when the first process ends, all end.
        signalGroup(child.pid, 'SIGKILL');
        this.#guard.remove(child.pid);
      }
      await Promise.race([outputEnded, delay(this.#clock, outputGraceMs)]);
      for (const output of outputs) output.destroy();
      return exit;
    });
    let over = false;
    void ended.then(() => {
      over = true;
    });
    return {
      pid: child.pid,
      exited,
      signal: (signal) => {
        if (child.pid !== undefined && !over) signalGroup(child.pid, signal);
      },
    };
  }
}

interface NamedPipe {
  readonly writeEnd: number;
  readonly readEnd: Socket;
}

/**
 * A pipe that programs can open again as /dev/stdout, as nginx and Envoy do for their logs: what
 * node gives to children is a socket, which cannot be opened. Undefined where there is no mkfifo.
 */
function openNamedPipe(path: string): NamedPipe | undefined {
  if (spawnSync('mkfifo', ['-m', '600', path], { stdio: 'ignore' }).status !== 0) return undefined;
  try {
    // Not blocking: a read end opens at once, although nobody writes yet.
    const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writeEnd = openSync(path, constants.O_WRONLY);
    return { writeEnd, readEnd: new Socket({ fd: readEnd, readable: true, writable: false }) };
  } catch {
    // No descriptor is left: the program may still run with node's own pipes, or says so itself.
    return undefined;
  } finally {
    rmSync(path, { force: true });
  }
}

/** Sends a signal to a process group that may be gone. */
export function signalGroup(groupId: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-groupId, signal);
  } catch {
    // Nobody of that group is left.
  }
}

function readLines(stream: Readable, onLine: LineSink): Promise<void> {
  return new Promise((resolve) => {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
      while (rest.length > lineLengthMax) {
        onLine(rest.slice(0, lineLengthMax));
        rest = rest.slice(lineLengthMax);
      }
    });
    stream.on('error', () => {});
    stream.on('close', () => {
      if (rest !== '') onLine(rest);
      resolve();
    });
  });
}

function startError(spec: ProcessSpec, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `cannot start ${spec.command}: ${whatIsMissing(spec)}`;
  if (error.code === 'EACCES') return `cannot start ${spec.command}: it is not executable`;
  return `cannot start ${spec.command}: ${error.message}`;
}

/** The system says only that something of the two is not there. */
function whatIsMissing({ command, workingDirectory }: ProcessSpec): string {
  if (!existsSync(workingDirectory)) return `there is no folder ${workingDirectory}`;
  if (!command.includes('/')) return 'there is no such program on PATH';
  return command.startsWith('/') ? 'there is no such file' : `there is no such file in ${workingDirectory}`;
}

function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
