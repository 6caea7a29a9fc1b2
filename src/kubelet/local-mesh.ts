// A whole mesh on this machine: configuration from a folder, a control plane, and a kubelet that runs
// the pods; from the checks before the start to the last process's end.
import { mkdtempSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ProcessGuard } from '../agent/guard.ts';
import { LocalProcesses } from '../agent/process.ts';
import type { DataPlane } from '../agent/proxy-process.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import type { LogLevel } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Diagnostic } from '../config/config.ts';
import { DirectorySource } from '../config/directory.ts';
import type { KubeServiceSpec } from '../config/kube-types.ts';
import type { MeshConfig, ProxyConfig } from '../config/mesh-config.ts';
import { defaultProxyConfig } from '../config/mesh-config.ts';
import { MeshConfigSource } from '../config/mesh-config-source.ts';
import { ConfigStore } from '../config/store.ts';
import { AddressAllocator } from './addresses.ts';
import { ConfigReview } from './config-review.ts';
import { inheritedEnvironment } from './container-environment.ts';
import { entryPoints, formatEntryPoint } from './entry-points.ts';
import { Kubelet } from './kubelet.ts';
import type { ProxyTokens } from './pod-factory.ts';
import { proxyContainer } from './pod-factory.ts';
import { defaultPodTimes } from './pod.ts';
import type { HeldPort } from './preflight.ts';
import { checkLoopback, claimPorts, firstOpenPort, hasAddress, holdPort } from './preflight.ts';
import { checkTcp } from './probe.ts';
import { Report } from './report.ts';

/** What the mesh needs of a control plane. */
export interface ControlPlane {
  setMeshConfig(meshConfig: MeshConfig): void;
  /** Whether every connected proxy runs what it should by what is known now. */
  isSettled(): boolean;
  close(): Promise<void>;
}

/** What a control plane is started with; its xDS and debug ports are free then. */
export interface ControlPlaneStart {
  readonly store: ConfigStore;
  readonly meshConfig: MeshConfig;
  readonly writeLog: (line: string) => void;
}

export interface LocalMeshOptions {
  /** A folder of YAML, or one file. */
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly dataPlane: DataPlane;
  readonly startControlPlane: (start: ControlPlaneStart) => Promise<ControlPlane>;
  /** A MeshConfig in YAML, which wins over the folder's ConfigMap `istio`. */
  readonly meshConfigFile: string | undefined;
  readonly gatewayPort: number;
  readonly xdsPort: number;
  readonly debugPort: number;
  readonly httpProxyPort: number;
  readonly addressRange: string;
  readonly proxyLogLevel: LogLevel;
  readonly tokens: ProxyTokens;
  /** Program and first arguments that start this program: node and its main file. */
  readonly self: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly colors: boolean;
  /** Takes one line without its newline. */
  readonly write: (line: string) => void;
}

/** What a kubelet stands on. */
interface Ground {
  readonly guard: ProcessGuard;
  readonly stateDirectory: string;
  readonly addresses: AddressAllocator;
  readonly baseEnvironment: Readonly<Record<string, string>>;
  readonly meshConfig: MeshConfig;
}

/** Where the control plane and the gateway listen for this machine. */
export const hostAddress = '127.0.0.1';

/** A port of the network address of the range: who holds it, has the range. */
const rangeLockPort = 15000;
/** Where the tools look for the control plane unless they are told. */
const defaultDebugPort = 15014;
const stopGraceMs = 3000;
/** How long the last of the start is waited for, once every pod is ready. */
const settleMs = 3000;
const settlePeriodMs = 25;
const patienceMs = 15_000;

export class LocalMesh {
  readonly #options: LocalMeshOptions;
  readonly #report: Report;
  readonly #wishes = new ConfigStore();
  readonly #facts = new ConfigStore();
  #guard: ProcessGuard | undefined;
  #rangeLock: HeldPort | undefined;
  #directory: DirectorySource | undefined;
  #meshConfig: MeshConfigSource | undefined;
  #defaultProxyConfig: ProxyConfig = defaultProxyConfig;
  #controlPlane: ControlPlane | undefined;
  #kubelet: Kubelet | undefined;
  #patience: Timer | undefined;
  #review: ConfigReview | undefined;
  #dangling: readonly Diagnostic[] = [];
  #announced = false;
  /** Whether the gateway answered when it was last said; undefined until the mesh is ready. */
  #answering: boolean | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: LocalMeshOptions) {
    this.#options = options;
    const { write, colors, clock } = options;
    this.#report = new Report({ write, colors, monotonicMs: () => clock.monotonicMs() });
  }

  /** Settles when everything has been started, which is before everything is ready. Throws UserError. */
  async start(): Promise<void> {
    const { path, clock, environment, self, startControlPlane } = this.#options;
    const addresses = new AddressAllocator(this.#options.addressRange);
    await this.#claim(addresses);
    if (this.#hasStopped()) return;
    const stateDirectory = mkdtempSync(join(tmpdir(), 'fairlead-'));
    const baseEnvironment = inheritedEnvironment(environment);
    const guard = new ProcessGuard({
      self,
      runId: stateDirectory,
      stateDirectory,
      environment: baseEnvironment,
    });
    this.#guard = guard;
    const logger = this.#report.logger();
    this.#facts.subscribeDiagnostics(() => this.#reportDiagnostics());
    this.#directory = new DirectorySource({ path, store: this.#wishes, clock, logger });
    this.#directory.start();
    const meshConfig = this.#startMeshConfig();
    this.#controlPlane = await startControlPlane({
      store: this.#facts,
      meshConfig,
      writeLog: (line) => this.#report.notice(line),
    });
    if (this.#hasStopped()) return;
    this.#introduce();
    this.#kubelet = await this.#makeKubelet({
      guard,
      stateDirectory,
      addresses,
      baseEnvironment,
      meshConfig,
    });
    // Ctrl-C may have come at any of the waits before.
    if (this.#hasStopped()) return;
    this.#kubelet.start();
    this.#bePatient();
    this.#review = new ConfigReview({
      store: this.#facts,
      clock,
      domainSuffix: meshConfig.domainSuffix,
      rootNamespace: meshConfig.rootNamespace,
      onReferences: (dangling) => {
        this.#dangling = dangling;
        this.#reportDiagnostics();
      },
      onRest: () => void this.#checkWayIn(),
    });
  }

  /** Ends everything in order; settles when nothing is left. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Ends everything now. */
  async kill(): Promise<void> {
    this.#kubelet?.kill();
    await this.#guard?.close();
  }

  #hasStopped(): boolean {
    return this.#stopped !== undefined;
  }

  async #stop(): Promise<void> {
    this.#patience?.cancel();
    this.#review?.close();
    this.#directory?.close();
    this.#meshConfig?.close();
    await this.#kubelet?.stop(stopGraceMs);
    await this.#controlPlane?.close();
    await this.#guard?.close();
    this.#rangeLock?.release();
  }

  async #claim(addresses: AddressAllocator): Promise<void> {
    const { platform, gatewayPort, xdsPort, debugPort, addressRange } = this.#options;
    await checkLoopback(addresses.networkAddress, platform);
    await claimPorts([
      { purpose: 'the ingress gateway', address: hostAddress, port: gatewayPort, flag: '--port' },
      { purpose: 'the control plane (xDS)', address: hostAddress, port: xdsPort, flag: '--xds-port' },
      { purpose: 'the debug pages', address: hostAddress, port: debugPort, flag: '--debug-port' },
    ]);
    this.#rangeLock = await holdPort({
      purpose: `the pods' addresses ${addressRange}`,
      address: addresses.networkAddress,
      port: rangeLockPort,
      flag: '--address-range',
    });
  }

  #startMeshConfig(): MeshConfig {
    const { clock, meshConfigFile } = this.#options;
    this.#meshConfig = new MeshConfigSource({
      store: this.#wishes,
      clock,
      onChange: (meshConfig) => {
        this.#defaultProxyConfig = meshConfig.defaultConfig;
        this.#controlPlane?.setMeshConfig(meshConfig);
      },
      ...(meshConfigFile === undefined ? {} : { file: meshConfigFile }),
    });
    const meshConfig = this.#meshConfig.start();
    this.#defaultProxyConfig = meshConfig.defaultConfig;
    return meshConfig;
  }

  async #makeKubelet(ground: Ground): Promise<Kubelet> {
    const { clock, random, dataPlane, self } = this.#options;
    const { guard, stateDirectory, addresses, baseEnvironment, meshConfig } = ground;
    const hostAddresses = (await hasAddress('::1')) ? [hostAddress, '::1'] : [hostAddress];
    return new Kubelet({
      wishes: this.#wishes,
      facts: this.#facts,
      clock,
      random,
      starter: new LocalProcesses(guard, stateDirectory, clock),
      addresses,
      listener: {
        line: (pod, container, line) => {
          // A proxy that ends says that it lost the control plane: nobody needs to know.
          const ends = this.#hasStopped() || pod.state === 'ending';
          const isFarewell = ends && container === proxyContainer;
          if (!isFarewell) this.#report.line(pod, container, line);
        },
        event: (pod, container, text, severity) => this.#report.event(pod, container, text, severity),
        changed: () => this.#podsChanged(),
      },
      onFault: (error) => {
        const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.#report.warn(`internal error, please report it: ${detail}`);
      },
      dataPlane,
      proxyLogLevel: this.#options.proxyLogLevel,
      tokens: this.#options.tokens,
      discovery: { address: hostAddress, port: this.#options.xdsPort },
      stateDirectory,
      sources: { baseEnvironment, self, nodePath: process.execPath },
      machineName: hostname(),
      rootNamespace: meshConfig.rootNamespace,
      defaultProxyConfig: () => this.#defaultProxyConfig,
      domainSuffix: meshConfig.domainSuffix,
      trustDomain: meshConfig.trustDomain,
      httpProxyPort: meshConfig.proxyHttpPort || this.#options.httpProxyPort,
      gateway: { hostAddresses, hostPort: this.#options.gatewayPort },
      firstOpenPort: firstOpenPort(),
      times: defaultPodTimes,
    });
  }

  #introduce(): void {
    const { path, xdsPort, debugPort, dataPlane, addressRange, gatewayPort } = this.#options;
    const proxies = dataPlane.kind === 'envoy' ? `Envoy (${dataPlane.path})` : 'Fairlead';
    this.#report.table(`fairlead up ${path}`, [
      [
        'control plane',
        `xDS on ${hostAddress}:${xdsPort}, pages on http://${hostAddress}:${debugPort}/debug`,
      ],
      ['data plane', `${proxies}, one process for each pod, admin page on port 15000 of the pod's address`],
      ['pods', `processes of this machine with addresses of ${addressRange}`],
      ['gateway', `will answer on http://localhost:${gatewayPort}`],
    ]);
  }

  #podsChanged(): void {
    const kubelet = this.#kubelet;
    if (kubelet === undefined || this.#hasStopped()) return;
    this.#report.pods(kubelet.pods);
    if (this.#announced || this.#unready().length > 0) return;
    this.#announced = true;
    this.#patience?.cancel();
    void this.#announce();
  }

  /** What is not ready, and may become so: a container without a command never does. */
  #unready(): readonly string[] {
    const kubelet = this.#kubelet;
    return (kubelet?.unsettled() ?? [])
      .filter((workload) => {
        const pods = kubelet?.podsOf(workload) ?? [];
        return pods.length === 0 || pods.some(({ problems }) => problems.length === 0);
      })
      .map(({ config }) => `${config.kind} ${config.namespace}/${config.name}`);
  }

  async #announce(): Promise<void> {
    const { gatewayPort } = this.#options;
    const url = `http://localhost:${gatewayPort}`;
    const entries = entryPoints(this.#wishes);
    // A pod is ready before every proxy knows it.
    await this.#waitUntil(() => this.#controlPlane?.isSettled() ?? true);
    const answers = (): Promise<boolean> => checkTcp(hostAddress, gatewayPort, 1000);
    // With no route there may be no listener, and no reason to wait for one.
    if (entries.length > 0) await this.#waitUntil(answers);
    const isAnswering = await answers();
    if (this.#hasStopped()) return;
    this.#answering = isAnswering;
    this.#report.notice('');
    const ready = `The mesh is ready (${this.#report.seconds()} s)`;
    if (isAnswering) {
      this.#report.notice(`${ready}: ${url}`);
      for (const entry of entries) this.#report.notice(`  ${formatEntryPoint(entry, url)}`);
    } else {
      const reason = this.#isEmpty()
        ? `there is no YAML object in ${this.#options.path}`
        : 'no Gateway of the YAML opens port 80 there';
      this.#report.notice(`${ready}. Nothing answers on ${url} yet: ${reason}.`);
      const inside = this.#exampleFromInside();
      if (inside !== undefined) this.#report.notice(`  ${inside}`);
    }
    this.#report.notice('Change the YAML and it follows at once. Ctrl-C ends everything.');
    this.#report.notice('');
  }

  /** Says when the way in from this machine opens or closes. */
  async #checkWayIn(): Promise<void> {
    if (this.#answering === undefined) return;
    await this.#waitUntil(() => this.#controlPlane?.isSettled() ?? true);
    const { gatewayPort } = this.#options;
    const isAnswering = await checkTcp(hostAddress, gatewayPort, 1000);
    if (this.#hasStopped() || isAnswering === this.#answering) return;
    this.#answering = isAnswering;
    const url = `http://localhost:${gatewayPort}`;
    if (isAnswering) this.#report.notice(`${url} answers now`);
    else this.#report.warn(`${url} does not answer any more: no Gateway of the YAML opens port 80 there`);
  }

  #reportDiagnostics(): void {
    this.#report.diagnostics([...this.#facts.diagnostics(), ...this.#dangling]);
  }

  /** Whether nothing was read but what is built in. */
  #isEmpty(): boolean {
    return this.#wishes.all().length === 0;
  }

  /** How to call the mesh as one of its pods does. */
  #exampleFromInside(): string | undefined {
    const caller = this.#kubelet?.pods.find(({ facts }) => facts.httpProxyPort !== undefined)?.facts;
    const service = this.#wishes.list('Service').find(({ namespace }) => namespace === caller?.namespace);
    if (caller === undefined || service === undefined) return undefined;
    const debug =
      this.#options.debugPort === defaultDebugPort
        ? ''
        : ` --debug-address http://${hostAddress}:${this.#options.debugPort}`;
    const servicePort = (service.spec as KubeServiceSpec).ports?.[0]?.port ?? 80;
    const host = servicePort === 80 ? service.name : `${service.name}:${servicePort}`;
    return `${this.#programName()} x exec${debug} ${caller.name}.${caller.namespace} -- curl -si http://${host}/`;
  }

  /** How this program was started: `fairlead` where that is on PATH, else node and its file. */
  #programName(): string {
    const [, main] = this.#options.self;
    return main === undefined || !main.endsWith('.js') ? 'fairlead' : `node ${relative(process.cwd(), main)}`;
  }

  /** Asks again and again, for as long as a start may take. */
  async #waitUntil(isSo: () => boolean | Promise<boolean>): Promise<void> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + settleMs;
    while (!this.#hasStopped() && !(await isSo()) && clock.monotonicMs() < deadlineMs)
      await sleep(clock, settlePeriodMs);
  }

  #bePatient(): void {
    this.#patience = this.#options.clock.after(patienceMs, () => {
      const waiting = this.#unready();
      if (waiting.length > 0) this.#report.warn(`still waiting for ${waiting.join(', ')}`);
      this.#bePatient();
    });
  }
}
