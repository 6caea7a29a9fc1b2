// One pod on this machine: addresses, sidecar, containers; from its start to the end of its last process.
import type { ProxyProcess } from '../agent/proxy-process.ts';
import type { LineSink, ProcessStarter } from '../agent/process.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import type { Container, PodSpec } from '../config/kube-types.ts';
import type { ContainerSources, PodFacts, Problem } from './container-environment.ts';
import { appAddressOf, planContainer } from './container-environment.ts';
import { ContainerRun } from './container-run.ts';

/**
 * waiting: for its sidecar. initializing: init containers run. running: containers have been started.
 * draining: it is going away and no longer an endpoint, what is under way is finished. ending: its
 * processes have been told to end. gone: they have.
 */
export type PodState = 'waiting' | 'initializing' | 'running' | 'draining' | 'ending' | 'gone';

export type EventSeverity = 'info' | 'warning';

export interface PodTimes {
  /** How long a sidecar may take until the app is started without it. */
  readonly sidecarWaitMs: number;
  /** How long it takes until no proxy of the mesh sends new requests to a pod that is no endpoint any more. */
  readonly endpointRemovalMs: number;
  /** How long requests that are under way may keep a pod that goes away. */
  readonly drainMsMax: number;
}

export const defaultPodTimes: PodTimes = {
  sidecarWaitMs: 10_000,
  endpointRemovalMs: 1000,
  drainMsMax: 30_000,
};

export interface LocalPodOptions {
  readonly facts: PodFacts;
  readonly spec: PodSpec;
  readonly sources: ContainerSources;
  readonly starter: ProcessStarter;
  readonly clock: Clock;
  readonly times: PodTimes;
  /** Its sidecar, or what a gateway pod consists of. Gets a listener for its changes. */
  readonly proxy: ((onChange: () => void) => ProxyProcess) | undefined;
  /** A gateway has no app: its containers only say that a proxy is to run there. */
  readonly isGateway: boolean;
  /** A line of output of a container. */
  readonly onLine: (container: string, line: string) => void;
  readonly onEvent: (container: string, text: string, severity: EventSeverity) => void;
  /** Called after every change that its status shows. */
  readonly onChange: () => void;
}

const activeRequestsPeriodMs = 100;
const defaultGraceSeconds = 30;
/** Time for a proxy to close its connections. */
const proxyGraceMs = 2000;

export class LocalPod {
  readonly facts: PodFacts;
  readonly createdMs: number;
  readonly problems: readonly { readonly container: string; readonly problem: Problem }[];
  readonly proxy: ProxyProcess | undefined;
  readonly #options: LocalPodOptions;
  readonly #containers: ContainerRun[];
  readonly #initContainers: ContainerRun[];
  #state: PodState = 'waiting';
  #sidecarTimer: Timer | undefined;
  #deletionMs: number | undefined;
  #everReady = false;
  #ended: Promise<void> | undefined;

  constructor(options: LocalPodOptions) {
    this.#options = options;
    this.facts = options.facts;
    this.createdMs = options.clock.now();
    const problems: { container: string; problem: Problem }[] = [];
    const spec = options.isGateway ? {} : options.spec;
    const plan = (container: Container, where: 'containers' | 'initContainers', index: number) =>
      this.#plan(container, ['spec', where, index], problems);
    const init = (spec.initContainers ?? []).map((container, index) =>
      plan(container, 'initContainers', index),
    );
    const main = (spec.containers ?? []).map((container, index) => plan(container, 'containers', index));
    this.#initContainers = init.filter((container) => container !== undefined);
    this.#containers = main.filter((container) => container !== undefined);
    this.problems = problems;
    const runsSomething = options.isGateway || this.#containers.length > 0;
    this.proxy = runsSomething ? options.proxy?.(() => this.#changed()) : undefined;
  }

  get state(): PodState {
    return this.#state;
  }

  get containers(): readonly ContainerRun[] {
    return this.#containers;
  }

  /** When its end was asked for, in milliseconds since the epoch. */
  get deletionMs(): number | undefined {
    return this.#deletionMs;
  }

  /** Sidecar and every container are ready, and none is missing. */
  get ready(): boolean {
    if (this.#state !== 'running' || this.problems.length > 0) return false;
    const proxyReady = this.proxy === undefined || this.proxy.ready;
    return proxyReady && this.#containers.every((container) => container.ready);
  }

  start(): void {
    if (this.proxy === undefined) {
      this.#startContainers();
      return;
    }
    this.proxy.start();
    // An app that calls others while it starts needs its sidecar (as Kubernetes' sidecar containers).
    this.#sidecarTimer = this.#options.clock.after(this.#options.times.sidecarWaitMs, () =>
      this.#startContainers(),
    );
  }

  /**
   * Takes the pod away without losing a request: it stops being an endpoint at once, its processes
   * are told to end when what is under way is finished. Settles when nothing of it runs.
   */
  remove(): Promise<void> {
    this.#ended ??= this.#remove();
    return this.#ended;
  }

  /** Ends everything now: SIGTERM at once, SIGKILL after `graceMs`. */
  end(graceMs: number): Promise<void> {
    this.#deletionMs ??= this.#options.clock.now();
    this.#enter('ending');
    return this.#endProcesses(graceMs, true);
  }

  /** SIGKILL for everything. */
  kill(): void {
    for (const container of [...this.#initContainers, ...this.#containers]) container.kill();
    this.proxy?.kill();
  }

  async #remove(): Promise<void> {
    const { clock, times, spec } = this.#options;
    this.#deletionMs = clock.now();
    this.#enter('draining');
    if (this.#everReady) {
      await sleep(clock, times.endpointRemovalMs);
      await this.#awaitRequests();
    }
    this.#enter('ending');
    await this.#endProcesses((spec.terminationGracePeriodSeconds ?? defaultGraceSeconds) * 1000, false);
  }

  /** Waits until the sidecar has no request under way, within bounds; without a sidecar nobody knows. */
  async #awaitRequests(): Promise<void> {
    const { clock, times } = this.#options;
    const deadlineMs = clock.monotonicMs() + times.drainMsMax;
    while (clock.monotonicMs() < deadlineMs && this.#state === 'draining') {
      const active = await this.proxy?.activeRequests();
      if (active === undefined || active === 0) return;
      await sleep(clock, activeRequestsPeriodMs);
    }
  }

  async #endProcesses(graceMs: number, atOnce: boolean): Promise<void> {
    const containers = [...this.#initContainers, ...this.#containers].map((run) => run.stop(graceMs));
    // The sidecar last: an app that ends in order may still have something to say.
    if (!atOnce) await Promise.all(containers);
    await Promise.all([...containers, this.proxy?.stop(Math.min(graceMs, proxyGraceMs))]);
    this.#enter('gone');
  }

  #startContainers(): void {
    if (this.#state !== 'waiting') return;
    this.#sidecarTimer?.cancel();
    this.#state = 'initializing';
    this.#initialize();
  }

  /** Starts the next init container, or the containers when all have ended well. */
  #initialize(): void {
    if (this.#state !== 'initializing') return;
    const next = this.#initContainers.find((container) => container.state !== 'completed');
    if (next !== undefined) {
      if (next.state === 'created') next.start();
      return;
    }
    this.#state = 'running';
    for (const container of this.#containers) container.start();
    this.#changed();
  }

  #changed(): void {
    if (this.proxy?.ready === true) this.#startContainers();
    this.#initialize();
    this.#everReady ||= this.ready;
    this.#options.onChange();
  }

  #enter(state: PodState): void {
    if (this.#state === state || this.#state === 'gone') return;
    this.#sidecarTimer?.cancel();
    this.#state = state;
    this.#options.onChange();
  }

  #plan(
    container: Container,
    path: readonly (string | number)[],
    problems: { container: string; problem: Problem }[],
  ): ContainerRun | undefined {
    const { facts, sources, starter, clock, spec, onLine, onEvent } = this.#options;
    const refused = unsupportedFields(container);
    const plan = planContainer(container, facts, sources);
    const found = [...(plan.kind === 'refused' ? plan.problems : []), ...refused];
    for (const problem of found)
      problems.push({ container: container.name, problem: { ...problem, path: [...path, ...problem.path] } });
    if (plan.kind === 'refused' || refused.length > 0) return undefined;
    const isInit = path.includes('initContainers');
    const sink: LineSink = (line) => onLine(container.name, line);
    return new ContainerRun({
      container: isInit ? { name: container.name } : container,
      spec: plan.spec,
      address: appAddressOf(facts),
      restartPolicy: isInit ? 'OnFailure' : (spec.restartPolicy ?? 'Always'),
      starter,
      clock,
      onLine: sink,
      onEvent: (text, severity) => onEvent(container.name, text, severity),
      onChange: () => this.#changed(),
    });
  }
}

/** What a container asks for and a local process cannot have: refused by name rather than left out. */
function unsupportedFields(container: Container): Problem[] {
  const problems: Problem[] = [];
  for (const name of ['readinessProbe', 'livenessProbe', 'startupProbe'] as const) {
    if (container[name]?.grpc === undefined) continue;
    problems.push({
      path: [name, 'grpc'],
      message: `container ${container.name}: gRPC probes are not supported; use httpGet, tcpSocket or exec`,
    });
  }
  if (container.restartPolicy === 'Always') {
    problems.push({
      path: ['restartPolicy'],
      message: `container ${container.name}: init containers that keep running are not supported; make it one of the containers`,
    });
  }
  return problems;
}
