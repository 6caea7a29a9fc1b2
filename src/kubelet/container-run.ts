// One container of a pod: its process and its probes.
import type { LineSink, ProcessExit, ProcessSpec, ProcessStarter } from '../agent/process.ts';
import type { RestartPolicy, SupervisedState } from '../agent/supervised-process.ts';
import { SupervisedProcess, describeExit } from '../agent/supervised-process.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Container } from '../config/kube-types.ts';
import type { ProbeCheck } from './probe.ts';
import { ProbeRunner, checkTcp, probeCheck } from './probe.ts';

export interface ContainerRunOptions {
  readonly container: Container;
  readonly spec: ProcessSpec;
  /** Where the app listens. */
  readonly address: string;
  readonly restartPolicy: RestartPolicy;
  readonly starter: ProcessStarter;
  readonly clock: Clock;
  readonly onLine: LineSink;
  /** What happened, for the person at the terminal: crashes, failed probes. */
  readonly onEvent: (text: string, severity: 'info' | 'warning') => void;
  /** Called after every change of `ready` or `state`. */
  readonly onChange: () => void;
}

/** How long a container without a readiness probe may take until its first port accepts connections. */
const listenWaitMs = 10_000;
const listenPeriodMs = 50;
const livenessGraceMs = 5000;
/** After this somebody wonders why a pod does not become ready. */
const hintMs = 10_000;

export class ContainerRun {
  readonly #options: ContainerRunOptions;
  readonly #process: SupervisedProcess;
  #probes: ProbeRunner[] = [];
  #hint: Timer | undefined;
  #ready = false;
  #started = false;

  constructor(options: ContainerRunOptions) {
    this.#options = options;
    this.#process = new SupervisedProcess({
      starter: options.starter,
      clock: options.clock,
      spec: options.spec,
      restartPolicy: options.restartPolicy,
      onLine: options.onLine,
      onChange: () => this.#processChanged(),
    });
  }

  get name(): string {
    return this.#options.container.name;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Its startup probe, if any, has succeeded. */
  get started(): boolean {
    return this.#started;
  }

  get state(): SupervisedState {
    return this.#process.state;
  }

  get restarts(): number {
    return this.#process.restarts;
  }

  get lastExit(): ProcessExit | undefined {
    return this.#process.lastExit;
  }

  start(): void {
    this.#process.start();
  }

  stop(graceMs: number): Promise<void> {
    return this.#process.stop(graceMs);
  }

  kill(): void {
    this.#process.kill();
  }

  #processChanged(): void {
    this.#stopProbes();
    this.#ready = false;
    this.#started = false;
    const { state, lastExit } = this.#process;
    if (state === 'running') this.#startProbes();
    if (state === 'backoff' && lastExit !== undefined) {
      const seconds = Math.round(this.#process.backOffMs / 1000);
      this.#options.onEvent(
        `${describeExit(lastExit)}; starting it again in ${seconds} s (restart ${this.restarts + 1})`,
        'warning',
      );
    }
    this.#options.onChange();
  }

  #stopProbes(): void {
    for (const probe of this.#probes) probe.stop();
    this.#probes = [];
    this.#hint?.cancel();
  }

  #startProbes(): void {
    const { startupProbe } = this.#options.container;
    if (startupProbe === undefined) {
      this.#startedUp();
      return;
    }
    this.#run(startupProbe, (succeeded) => {
      if (succeeded) {
        this.#stopProbes();
        this.#startedUp();
      } else this.#failed('startup');
    });
  }

  #startedUp(): void {
    this.#started = true;
    const { container } = this.#options;
    const { readinessProbe, livenessProbe, ports = [] } = container;
    const port = ports.find(({ protocol = 'TCP' }) => protocol === 'TCP')?.containerPort;
    if (livenessProbe !== undefined) {
      this.#run(livenessProbe, (succeeded) => {
        if (!succeeded) this.#failed('liveness');
      });
    }
    if (readinessProbe !== undefined) {
      this.#run(readinessProbe, (succeeded) => {
        if (!succeeded && this.#ready) this.#options.onEvent('its readiness probe fails', 'warning');
        this.#setReady(succeeded);
      });
      this.#hintAt(port);
      return;
    }
    if (port === undefined) this.#setReady(true);
    else this.#awaitListening(port);
  }

  /** The likeliest reason, where nothing listens on the port that the container declares. */
  #hintAt(port: number | undefined): void {
    const { address, clock, onEvent } = this.#options;
    const look = async (): Promise<void> => {
      const seconds = hintMs / 1000;
      const listens = port === undefined || (await checkTcp(address, port, 1000));
      if (this.#ready || this.state !== 'running') return;
      const reason = listens
        ? ''
        : `: nothing listens on ${address}:${port}; it must listen on the address in $HOST`;
      onEvent(`its readiness probe has not succeeded for ${seconds} s${reason}`, 'warning');
    };
    this.#hint = clock.after(hintMs, () => {
      if (!this.#ready) void look();
    });
  }

  /**
   * Kubernetes calls a container without a readiness probe ready when its process exists. Here the
   * process is often a script that needs a moment, and requests that come too early would fail.
   */
  #awaitListening(port: number): void {
    const { address, clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + listenWaitMs;
    const check: ProbeCheck = async (timeoutMs) => {
      if (await checkTcp(address, port, timeoutMs)) return true;
      if (clock.monotonicMs() < deadlineMs) return false;
      this.#options.onEvent(
        `nothing listens on ${address}:${port} after ${listenWaitMs / 1000} s; does the app listen on the address in $HOST? It counts as ready now (it has no readinessProbe)`,
        'warning',
      );
      return true;
    };
    const once = new ProbeRunner({ periodSeconds: listenPeriodMs / 1000 }, check, clock, (succeeded) => {
      if (!succeeded) return;
      once.stop();
      this.#setReady(true);
    });
    this.#probes.push(once);
    once.start();
  }

  #run(probe: NonNullable<Container['readinessProbe']>, onVerdict: (succeeded: boolean) => void): void {
    const check = probeCheck(probe, this.#options);
    if (check === undefined) return;
    const runner = new ProbeRunner(probe, check, this.#options.clock, onVerdict);
    this.#probes.push(runner);
    runner.start();
  }

  #failed(probe: 'startup' | 'liveness'): void {
    this.#options.onEvent(`its ${probe} probe fails: it is started again`, 'warning');
    this.#process.restart(livenessGraceMs);
  }

  #setReady(ready: boolean): void {
    if (this.#ready === ready) return;
    this.#ready = ready;
    this.#options.onChange();
  }
}
