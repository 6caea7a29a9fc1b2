// Commands to a running load generator, a JSON object a line: how a benchmark makes changes at the moment from which
// they are measured, in the process whose clock measures them.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import type { LoadRun } from './run.ts';

interface Step {
  readonly path: string;
  /** Absent: the file is removed. */
  readonly text?: string;
}

/** What may be asked. Every command is answered by one line with the same `id`. */
export type Command =
  /** Writes or removes files at once, by rename, and waits until all is quiet. */
  | ({ readonly do: 'change'; readonly files: readonly Step[] } & Waiting)
  /** The same in two steps, for who knows better when all is done. Without files: others make the change now. */
  | { readonly do: 'begin'; readonly files: readonly Step[] }
  /** Writes or removes files, while something is measured. */
  | { readonly do: 'write'; readonly files: readonly Step[] }
  /** All proxies lose their streams now. */
  | { readonly do: 'reconnect'; readonly forgets: boolean }
  | ({ readonly do: 'end' } & Waiting)
  | { readonly do: 'converged'; readonly withinMs: number }
  | { readonly do: 'report' }
  | { readonly do: 'stop' };

interface Waiting {
  readonly quietMs: number;
  readonly withinMs: number;
}

/** Carries out one command; resolves to its answer. Rejects with what is wrong with it. */
export async function carryOut(run: LoadRun, command: Command): Promise<unknown> {
  switch (command.do) {
    case 'change':
      return run.change(() => command.files.forEach(save), command.quietMs, command.withinMs);
    case 'begin':
      run.begin(() => command.files.forEach(save));
      return {};
    case 'write':
      command.files.forEach(save);
      return {};
    case 'reconnect':
      run.begin(() => run.reconnectAll(command.forgets));
      return {};
    case 'end':
      return run.end(command.quietMs, command.withinMs);
    case 'converged':
      return { converged: await run.converged(command.withinMs) };
    case 'report':
      return run.report();
    case 'stop':
      return {};
    default:
      throw new Error(`there is no command ${JSON.stringify((command as { do?: unknown }).do)}`);
  }
}

/** As an editor saves: whoever watches sees the file before or after, never half of it. */
export function save({ path, text }: Step): void {
  if (text === undefined) {
    rmSync(path, { force: true });
    return;
  }
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}
