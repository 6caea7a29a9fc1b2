// Probes of a container: what is asked (HTTP, TCP, a command), how often, and what the answers mean.
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';
import type { LineSink, ProcessSpec, ProcessStarter } from '../agent/process.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Container, Probe } from '../config/kube-types.ts';

/** Asks once. Settles within the timeout, never rejects. */
export type ProbeCheck = (timeoutMs: number) => Promise<boolean>;

export interface ProbeTarget {
  /** Where the app listens: probes go to it directly, never through the sidecar. */
  readonly address: string;
  readonly container: Container;
  /** For `exec`. */
  readonly spec: ProcessSpec;
  readonly starter: ProcessStarter;
  readonly clock: Clock;
}

/** Until it has succeeded once somebody waits for it: then a probe does not wait for its whole period... */
const firstPeriodMsMax = 250;
/** ...for the first ten seconds; whoever is not ready by then is asked at the pace of the YAML. */
const hurriedAsksMax = 40;

/** Runs one probe until it is stopped, and says when its verdict changes. */
export class ProbeRunner {
  readonly #probe: Probe;
  readonly #check: ProbeCheck;
  readonly #clock: Clock;
  readonly #onVerdict: (succeeded: boolean) => void;
  #verdict: boolean | undefined;
  #succeededOnce = false;
  #asked = 0;
  #inRow = 0;
  #lastResult: boolean | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  /** `onVerdict` is called with the first verdict and whenever it changes, by the probe's thresholds. */
  constructor(probe: Probe, check: ProbeCheck, clock: Clock, onVerdict: (succeeded: boolean) => void) {
    this.#probe = probe;
    this.#check = check;
    this.#clock = clock;
    this.#onVerdict = onVerdict;
  }

  start(): void {
    this.#askAfter((this.#probe.initialDelaySeconds ?? 0) * 1000);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #askAfter(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    const succeeded = await this.#check((this.#probe.timeoutSeconds ?? 1) * 1000);
    if (this.#stopped) return;
    this.#inRow = succeeded === this.#lastResult ? this.#inRow + 1 : 1;
    this.#lastResult = succeeded;
    this.#succeededOnce ||= succeeded;
    const threshold = succeeded ? (this.#probe.successThreshold ?? 1) : (this.#probe.failureThreshold ?? 3);
    const periodMs = Math.max(0.05, this.#probe.periodSeconds ?? 10) * 1000;
    this.#asked += 1;
    const isHurried = !this.#succeededOnce && this.#asked <= hurriedAsksMax;
    this.#askAfter(isHurried ? Math.min(periodMs, firstPeriodMsMax) : periodMs);
    if (this.#inRow < threshold || this.#verdict === succeeded) return;
    this.#verdict = succeeded;
    this.#onVerdict(succeeded);
  }
}

/** The check that a probe asks for; undefined with a kind that we do not have (grpc), or none. */
export function probeCheck(probe: Probe, target: ProbeTarget): ProbeCheck | undefined {
  if (probe.httpGet !== undefined) {
    const { httpGet } = probe;
    const port = portNumber(httpGet.port, target.container);
    return port === undefined
      ? undefined
      : (timeoutMs) => checkHttp(httpGet, port, target.address, timeoutMs);
  }
  if (probe.tcpSocket !== undefined) {
    const port = portNumber(probe.tcpSocket.port, target.container);
    const address = probe.tcpSocket.host ?? target.address;
    return port === undefined ? undefined : (timeoutMs) => checkTcp(address, port, timeoutMs);
  }
  const command = probe.exec?.command;
  if (command !== undefined && command.length > 0)
    return (timeoutMs) => checkExec(command, target, timeoutMs);
  return undefined;
}

/** A container's port by number or name; undefined if it has no port of that name. */
export function portNumber(port: number | string, container: Container): number | undefined {
  if (typeof port === 'number') return port;
  if (/^\d+$/.test(port)) return Number(port);
  return container.ports?.find((candidate) => candidate.name === port)?.containerPort;
}

/** Whether something accepts connections. */
export function checkTcp(address: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.on('connect', () => settle(true));
    socket.on('timeout', () => settle(false));
    socket.on('error', () => settle(false));
  });
}

/** Kubelet: any status from 200 to 399 is success. */
function checkHttp(
  httpGet: NonNullable<Probe['httpGet']>,
  port: number,
  appAddress: string,
  timeoutMs: number,
): Promise<boolean> {
  const host = httpGet.host ?? appAddress;
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/fairlead', accept: '*/*' };
  for (const { name, value } of httpGet.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const path = httpGet.path ?? '/';
  const options = {
    host,
    port,
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    agent: false,
    timeout: timeoutMs,
    // Kubelet does not verify certificates either.
    rejectUnauthorized: false,
  };
  return new Promise((resolve) => {
    const outgoing = (httpGet.scheme === 'HTTPS' ? requestHttps : requestHttp)(options, (incoming) => {
      incoming.resume();
      incoming.on('error', () => {});
      const status = incoming.statusCode ?? 0;
      resolve(status >= 200 && status < 400);
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
    outgoing.on('error', () => resolve(false));
    outgoing.end();
  });
}

async function checkExec(
  command: readonly string[],
  target: ProbeTarget,
  timeoutMs: number,
): Promise<boolean> {
  const [program = '', ...args] = command;
  const quiet: LineSink = () => {};
  const started = target.starter.start({ ...target.spec, command: program, args }, quiet);
  const kill = target.clock.after(timeoutMs, () => started.signal('SIGKILL'));
  const exit = await started.exited;
  kill.cancel();
  return exit.code === 0;
}
