// One program that is kept running: started again after it ends, with a growing delay.
import type { Clock, Timer } from '../base/clock.ts';
import type { LineSink, ProcessExit, ProcessSpec, ProcessStarter, StartedProcess } from './process.ts';

/**
 * created: never started. running: its process runs. backoff: it ended and is started again when
 * the delay is over. completed: it ended, and its policy wants no restart. stopping: it has been
 * asked to end for good. stopped: it has.
 */
export type SupervisedState = 'created' | 'running' | 'backoff' | 'completed' | 'stopping' | 'stopped';

/** Kubernetes' restartPolicy. */
export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export interface BackOff {
  /** Delay before the first restart; it doubles with each, up to `maxMs`. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** A run that lasted this long starts the sequence anew. */
  readonly resetAfterMs: number;
}

/**
 * Kubelet's CrashLoopBackOff is 10 s doubling to 5 minutes, forgotten after 10 minutes. On a
 * developer's machine somebody waits for it: the same rule with shorter times.
 */
export const localBackOff: BackOff = { firstMs: 1000, maxMs: 60_000, resetAfterMs: 120_000 };

export interface SupervisedProcessOptions {
  readonly starter: ProcessStarter;
  readonly clock: Clock;
  readonly spec: ProcessSpec;
  readonly restartPolicy?: RestartPolicy;
  readonly backOff?: BackOff;
  readonly onLine: LineSink;
  /** Called after every change of `state`. */
  readonly onChange: () => void;
}

export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions;
  readonly #backOff: BackOff;
  #state: SupervisedState = 'created';
  #process: StartedProcess | undefined;
  #restartTimer: Timer | undefined;
  #restarts = 0;
  #failuresInRow = 0;
  #startedMs = 0;
  #lastExit: ProcessExit | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? localBackOff;
  }

  get state(): SupervisedState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** How it ended the last time; undefined if it never did. */
  get lastExit(): ProcessExit | undefined {
    return this.#lastExit;
  }

  get pid(): number | undefined {
    return this.#state === 'running' || this.#state === 'stopping' ? this.#process?.pid : undefined;
  }

  /** Milliseconds until the next start, in state backoff. */
  get backOffMs(): number {
    return Math.min(this.#backOff.firstMs * 2 ** Math.max(0, this.#failuresInRow - 1), this.#backOff.maxMs);
  }

  start(): void {
    if (this.#state === 'created') this.#run();
  }

  /** Ends the running process so that it is started again (a failed liveness probe). */
  restart(graceMs: number): void {
    const running = this.#process;
    if (this.#state !== 'running' || running === undefined) return;
    running.signal('SIGTERM');
    const kill = this.#options.clock.after(graceMs, () => running.signal('SIGKILL'));
    void running.exited.then(() => kill.cancel());
  }

  /** SIGTERM, and SIGKILL after `graceMs`. Settles when it has ended; calling it again waits for the same end. */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs);
    return this.#stopped;
  }

  /** SIGKILL, now; it is not started again. */
  kill(): void {
    void this.stop(0);
    this.#process?.signal('SIGKILL');
  }

  async #stop(graceMs: number): Promise<void> {
    this.#restartTimer?.cancel();
    const running = this.#process;
    if (this.#state !== 'running' || running === undefined) {
      this.#enter('stopped');
      return;
    }
    this.#enter('stopping');
    running.signal(graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
    const kill = this.#options.clock.after(graceMs, () => running.signal('SIGKILL'));
    await running.exited;
    kill.cancel();
    this.#enter('stopped');
  }

  #run(): void {
    const { starter, spec, onLine, clock } = this.#options;
    const started = starter.start(spec, onLine);
    this.#process = started;
    this.#startedMs = clock.monotonicMs();
    void started.exited.then((exit) => this.#ended(exit));
    this.#state = 'running';
    // What could not be started never ran: nobody may take it for ready. Its end follows at once.
    if (started.pid !== undefined) this.#options.onChange();
  }

  #ended(exit: ProcessExit): void {
    this.#lastExit = exit;
    // `stop` waits for the same end and says so itself.
    if (this.#state !== 'running') return;
    const { clock, restartPolicy = 'Always' } = this.#options;
    const failed = exit.code !== 0;
    if (restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && !failed)) {
      this.#enter('completed');
      return;
    }
    if (clock.monotonicMs() - this.#startedMs >= this.#backOff.resetAfterMs) this.#failuresInRow = 0;
    this.#failuresInRow++;
    this.#restartTimer = clock.after(this.backOffMs, () => {
      this.#restarts++;
      this.#run();
    });
    this.#enter('backoff');
  }

  #enter(state: SupervisedState): void {
    this.#state = state;
    this.#options.onChange();
  }
}

/** `exit code 1`, `signal SIGKILL`, or why it could not be started. */
export function describeExit(exit: ProcessExit): string {
  if (exit.error !== undefined) return exit.error;
  return exit.signal !== null ? `signal ${exit.signal}` : `exit code ${exit.code ?? 'unknown'}`;
}
