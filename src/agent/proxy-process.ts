// The proxy beside an app: writes its bootstrap, keeps its process running, knows whether it is ready.
import { rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import type { LogLevel } from '../base/logger.ts';
import type { AdminAddress } from './admin-client.ts';
import { activeRequests, isLive } from './admin-client.ts';
import type { BootstrapOptions } from './bootstrap.ts';
import { defaultProxyPorts, renderBootstrap } from './bootstrap.ts';
import type { LineSink, ProcessStarter } from './process.ts';
import { SupervisedProcess, describeExit, localBackOff } from './supervised-process.ts';

/** Which program is the proxy. */
export type DataPlane =
  | {
      readonly kind: 'fairlead';
      /** Program and first arguments that start this program: node and its main file. */
      readonly self: readonly [string, ...string[]];
    }
  | { readonly kind: 'envoy'; readonly path: string };

/** Of a ProxyConfig. Our own proxy is one thread and has no drain time of its own: they are Envoy's flags. */
export interface ProxyProcessSettings {
  /** Worker threads; 0: one a core. Default 2: many proxies share this machine. */
  readonly concurrency?: number | undefined;
  /** Default 45 s. */
  readonly drainDurationMs?: number | undefined;
}

export interface ProxyProcessOptions {
  readonly bootstrap: BootstrapOptions;
  readonly dataPlane: DataPlane;
  readonly logLevel: LogLevel;
  readonly settings?: ProxyProcessSettings;
  /** The bootstrap file is written here. */
  readonly stateDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly starter: ProcessStarter;
  readonly clock: Clock;
  readonly onLine: LineSink;
  /** Called after every change of `ready` or `state`. */
  readonly onChange: () => void;
  /** Why it ended, each time that it is started again. */
  readonly onCrash: (text: string) => void;
  /** Called once, when it is to end for good. */
  readonly onEnd?: (() => void) | undefined;
  /** Default: asks the admin page. */
  readonly probe?: (admin: AdminAddress) => Promise<boolean>;
}

const probeTimeoutMs = 2000;
/** While it is not ready somebody waits for it. */
const startProbePeriodMs = 100;
const readyProbePeriodMs = 2000;
/** Failed probes in a row after which a proxy that was ready is not. */
const failureThreshold = 3;

export class ProxyProcess {
  readonly admin: AdminAddress;
  readonly #options: ProxyProcessOptions;
  readonly #process: SupervisedProcess;
  readonly #bootstrapFile: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #ready = false;
  #failures = 0;
  #probeTimer: Timer | undefined;
  #over = false;

  constructor(options: ProxyProcessOptions) {
    this.#options = options;
    const { node, adminPort, bindAddress } = options.bootstrap;
    this.admin = {
      address: bindAddress ?? node.ipAddresses[0],
      port: adminPort ?? defaultProxyPorts.admin,
    };
    this.#bootstrapFile = join(options.stateDirectory, `${node.podName}.${node.namespace}.bootstrap.json`);
    this.#process = new SupervisedProcess({
      starter: options.starter,
      clock: options.clock,
      spec: {
        ...proxyCommand(options.dataPlane, this.#bootstrapFile, options.logLevel, options.settings),
        environment: options.environment,
        workingDirectory: options.stateDirectory,
      },
      // Traffic waits for it: it comes back sooner than an app would.
      backOff: { ...localBackOff, firstMs: 250, maxMs: 10_000 },
      onLine: options.onLine,
      onChange: () => this.#processChanged(),
    });
  }

  /** It runs, and has all its configuration. */
  get ready(): boolean {
    return this.#ready;
  }

  get process(): SupervisedProcess {
    return this.#process;
  }

  start(): void {
    writeFileSync(this.#bootstrapFile, JSON.stringify(renderBootstrap(this.#options.bootstrap), null, 2), {
      mode: 0o600,
    });
    this.#process.start();
    this.#probeAfter(startProbePeriodMs);
  }

  /** Requests under way; undefined if it cannot say. */
  activeRequests(): Promise<number | undefined> {
    return activeRequests(this.admin, probeTimeoutMs);
  }

  async stop(graceMs: number): Promise<void> {
    this.#end();
    await this.#process.stop(graceMs);
  }

  kill(): void {
    this.#end();
    this.#process.kill();
  }

  #end(): void {
    if (!this.#over) this.#options.onEnd?.();
    this.#over = true;
    this.#probeTimer?.cancel();
    this.#agent.destroy();
    rmSync(this.#bootstrapFile, { force: true });
  }

  #probeAfter(delayMs: number): void {
    if (this.#over) return;
    this.#probeTimer = this.#options.clock.after(delayMs, () => void this.#probe());
  }

  async #probe(): Promise<void> {
    const probe = this.#options.probe ?? ((admin) => isLive(admin, probeTimeoutMs, this.#agent));
    const live = this.#process.state === 'running' && (await probe(this.admin));
    if (this.#over) return;
    this.#failures = live ? 0 : this.#failures + 1;
    if (live || this.#failures >= failureThreshold) this.#setReady(live);
    this.#probeAfter(this.#ready ? readyProbePeriodMs : startProbePeriodMs);
  }

  #processChanged(): void {
    const { state, lastExit, backOffMs } = this.#process;
    if (state !== 'running') this.#setReady(false);
    if (state === 'backoff' && lastExit !== undefined)
      this.#options.onCrash(`${describeExit(lastExit)}; starting it again in ${backOffMs} ms`);
    this.#options.onChange();
  }

  #setReady(ready: boolean): void {
    if (this.#ready === ready) return;
    this.#ready = ready;
    this.#options.onChange();
  }
}

/** How to start the proxy on a bootstrap file. Flags of Envoy are those that Istio's agent gives it. */
export function proxyCommand(
  dataPlane: DataPlane,
  bootstrapFile: string,
  logLevel: LogLevel,
  { concurrency = 2, drainDurationMs = 45_000 }: ProxyProcessSettings = {},
): { readonly command: string; readonly args: readonly string[] } {
  if (dataPlane.kind === 'fairlead') {
    const [command, ...first] = dataPlane.self;
    return { command, args: [...first, 'proxy', '-c', bootstrapFile, '--log-level', logLevel] };
  }
  const flags = [
    // Many proxies share this machine: no shared memory between them.
    '--disable-hot-restart',
    // Without the flag, one thread a core.
    ...(concurrency === 0 ? [] : [`--concurrency ${concurrency}`]),
    `--drain-time-s ${Math.round(drainDurationMs / 1000)}`,
    '--drain-strategy immediate',
    '--local-address-ip-version v4',
    `--log-level ${logLevel}`,
    // A warning at every start, that no limit of connections is set, says nothing new.
    '--component-log-level misc:error,main:error',
    '--log-format-escaped',
  ].flatMap((flag) => flag.split(' '));
  const logFormat = '%Y-%m-%dT%T.%fZ %l envoy %n %v';
  return { command: dataPlane.path, args: ['-c', bootstrapFile, ...flags, '--log-format', logFormat] };
}
