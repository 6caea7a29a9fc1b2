// `fairlead x load --control` as a process of its own: proxies on a core that the control plane does not use.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Command } from '../src/load/control.ts';
import type { ChangeReport, RunReport } from '../src/load/tally.ts';
import { loadCore } from './processes.ts';

export interface LoadFile {
  readonly path: string;
  /** Absent: it is removed. */
  readonly text?: string;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class LoadProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  #ids = 0;
  #stderr = '';

  /** `args` are those of `fairlead x load`. */
  constructor(main: string, args: readonly string[]) {
    const child = spawn(
      'taskset',
      ['-c', loadCore, process.execPath, main, 'x', 'load', '--control', ...args],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    this.#child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4000);
    });
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', (line) => this.#answer(line));
    child.on('exit', () => {
      const error = new Error(`the load generator has ended: ${this.#stderr}`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Writes the files now; what follows is measured until `end`. */
  async begin(files: readonly LoadFile[]): Promise<void> {
    await this.#ask({ do: 'begin', files });
  }

  /** Writes files, while something is measured. */
  async write(files: readonly LoadFile[]): Promise<void> {
    await this.#ask({ do: 'write', files });
  }

  /** All proxies lose their streams now; measured until `end`. */
  async reconnect(forgets: boolean): Promise<void> {
    await this.#ask({ do: 'reconnect', forgets });
  }

  /** Waits until nothing has been sent or answered for `quietMs`. */
  end(quietMs = 300, withinMs = 60_000): Promise<ChangeReport> {
    return this.#ask({ do: 'end', quietMs, withinMs });
  }

  /** Rejects where they have not all got everything in time. */
  async converged(withinMs: number): Promise<void> {
    const { converged } = await this.#ask<{ converged: boolean }>({ do: 'converged', withinMs });
    if (!converged)
      throw new Error(
        `not all proxies converged within ${withinMs} ms: ${JSON.stringify(await this.report())}`,
      );
  }

  report(): Promise<RunReport> {
    return this.#ask({ do: 'report' });
  }

  async stop(): Promise<void> {
    const gone = new Promise<void>((resolve) => void this.#child.once('exit', () => resolve()));
    void this.#ask({ do: 'stop' }).catch(() => {});
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }

  #ask<Result>(command: Command): Promise<Result> {
    const id = ++this.#ids;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }

  #answer(line: string): void {
    // What was not measured is NaN, which JSON writes as null.
    const { id, result, error } = JSON.parse(line, (_key, value: unknown) => value ?? Number.NaN) as {
      id: number;
      result?: unknown;
      error?: string;
    };
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }
}
