// What every scenario of xDS needs: a synthetic mesh in a folder, the control plane on one core, proxies on the other,
// and what a change costs.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { seededRandom } from '../src/base/random.ts';
import { kubernetes } from '../src/load/mesh/kubernetes.ts';
import type { MeshOptions } from '../src/load/mesh/shape.ts';
import type { ChangeReport } from '../src/load/tally.ts';
import { untilListening } from '../test/support/wait.ts';
import type { LoadFile } from './load-process.ts';
import { LoadProcess } from './load-process.ts';
import type { Running } from './processes.ts';
import { cpuMicroseconds, proxyCore, start } from './processes.ts';

export type Dialect = 'sotw' | 'delta';

export interface BedOptions {
  readonly mesh: Partial<MeshOptions>;
  readonly proxies: number;
  readonly gateways?: number;
  readonly dialect: Dialect;
  /** Options of node for the control plane. */
  readonly nodeArgs?: readonly string[];
}

/** What one change, or many alike, have cost. */
export interface Cost {
  readonly report: ChangeReport;
  /** Of the control plane. */
  readonly cpuSeconds: number;
  /** Of the load generator: where it comes near the time that has passed, it is what is measured. */
  readonly loadCpuSeconds: number;
  readonly seconds: number;
  /** Responses that the control plane says it has sent. */
  readonly pushes: number;
}

const main = process.env['FAIRLEAD_MAIN'] ?? 'dist/fairlead.js';
const xdsPort = Number(process.env['FAIRLEAD_BENCH_PORT'] ?? 20220);
const debugPort = xdsPort + 1;
/** A control plane rests that uses less than so much in so long: it looks at its files every two seconds. */
const restMs = 250;
const restSeconds = 0.05;
const restsNeeded = 3;
/** By Istio's formula a control plane on one processor admits 20 streams a second. */
const connectRate = 20;

export const meshDefaults: MeshOptions = {
  services: 1000,
  pods: 2000,
  namespaces: 20,
  routes: 1,
  routed: 50,
  gateways: 0,
  gatewayPods: 1,
  sidecars: false,
  serviceEntries: 0,
  endpoints: 'pods',
};

export class Bed {
  readonly folder: string;
  readonly load: LoadProcess;
  /** How long all proxies may take to connect. */
  readonly connectMs: number;
  readonly #pilot: Running;
  /** Of the control plane's processor time what our own questions have cost. */
  #askedSeconds = 0;
  /** What files held when they were written. */
  readonly #original = new Map<string, string>();

  private constructor(folder: string, pilot: Running, load: LoadProcess, connectMs: number) {
    this.folder = folder;
    this.connectMs = connectMs;
    this.#pilot = pilot;
    this.load = load;
  }

  /** Resolves when all proxies have everything. */
  static async start({ mesh, proxies, gateways, dialect, nodeArgs }: BedOptions): Promise<Bed> {
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
    const files = [...kubernetes.files({ ...meshDefaults, ...mesh }, seededRandom(1))];
    for (const { path, text } of files) {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    const pilot = start(proxyCore, process.execPath, [
      ...(nodeArgs ?? []),
      main,
      'pilot',
      `--config-dir=${folder}`,
      '--log-level=error',
      `--grpc-addr=127.0.0.1:${xdsPort}`,
      `--http-addr=127.0.0.1:${debugPort}`,
    ]);
    await untilListening('127.0.0.1', xdsPort, 60_000);
    const load = new LoadProcess(main, [
      `--address=127.0.0.1:${xdsPort}`,
      `--mesh=${folder}`,
      `--dialect=${dialect}`,
      `--proxies=${proxies}`,
      `--gateways=${gateways ?? 0}`,
      `--rate=${connectRate}`,
    ]);
    const bed = new Bed(folder, pilot, load, (proxies / connectRate) * 1000 + 200_000);
    for (const { path, text } of files) bed.#original.set(path, text);
    try {
      await load.converged(bed.connectMs);
    } catch (error) {
      await bed.stop();
      throw error;
    }
    return bed;
  }

  /** As it was written at the start; throws for a file that the mesh does not have. */
  original(path: string): string {
    const text = this.#original.get(path);
    if (text === undefined) throw new Error(`the mesh has no file ${path}`);
    return text;
  }

  /** Files of the mesh, relative to the folder. */
  paths(): readonly string[] {
    return [...this.#original.keys()];
  }

  /** Writes files (paths relative to the folder) at once and measures what follows. */
  change(files: readonly LoadFile[]): Promise<Cost> {
    return this.cost(() => this.begin(files));
  }

  /** Writes files; the load generator measures from here. */
  begin(files: readonly LoadFile[]): Promise<void> {
    return this.load.begin(this.#absolute(files));
  }

  /** Writes files, while something is measured. */
  write(files: readonly LoadFile[]): Promise<void> {
    return this.load.write(this.#absolute(files));
  }

  /**
   * Resolves when the control plane has rested for a while: it computed nothing and has nobody in its queue. It may compute for seconds before it sends anything, and be kept from computing by others.
   */
  async rested(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs;
    for (let resting = 0; ;) {
      const before = this.cpuSeconds();
      // oxlint-disable-next-line no-await-in-loop -- waiting
      await new Promise((resolve) => setTimeout(resolve, restMs));
      resting = this.cpuSeconds() - before <= restSeconds ? resting + 1 : 0;
      // It may only have been kept from computing: whoever answers with an empty queue has had its turn.
      // oxlint-disable-next-line no-await-in-loop -- waiting
      if (resting >= restsNeeded && (await this.#counters()).queue === 0) return;
      if (performance.now() > untilMs)
        throw new Error(`the control plane has not rested within ${withinMs} ms`);
    }
  }

  /** Resolves when the control plane counts so many proxies: those that it refused come back after a while. */
  async connected(proxies: number): Promise<void> {
    const untilMs = performance.now() + this.connectMs;
    // oxlint-disable-next-line no-await-in-loop -- waiting
    while ((await this.#counters()).clients < proxies) {
      if (performance.now() > untilMs) throw new Error(`not all of ${proxies} proxies have come back`);
      // oxlint-disable-next-line no-await-in-loop -- waiting
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  /** What the control plane spends on what `begin` sets off, until it rests. */
  async cost(begin: () => Promise<void>, withinMs = 120_000): Promise<Cost> {
    const before = await this.#spent();
    await begin();
    await this.rested(withinMs);
    const report = await this.load.end();
    const after = await this.#spent();
    return {
      report,
      cpuSeconds: after.cpu - before.cpu,
      loadCpuSeconds: after.loadCpu - before.loadCpu,
      seconds: after.at - before.at,
      pushes: after.pushes - before.pushes,
    };
  }

  /** Resident memory of the control plane, MB. */
  rssMb(): number {
    const status = readFileSync(`/proc/${this.#pilot.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
  }

  /** Seconds of processor that the control plane has used so far. */
  cpuSeconds(): number {
    return cpuMicroseconds(this.#pilot.pid) / 1e6;
  }

  async stop(): Promise<void> {
    await this.load.stop();
    this.#pilot.stop();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #absolute(files: readonly LoadFile[]): readonly LoadFile[] {
    return files.map((file) => ({ ...file, path: join(this.folder, file.path) }));
  }

  async #spent(): Promise<{ cpu: number; loadCpu: number; at: number; pushes: number }> {
    return {
      pushes: (await this.#counters()).pushes,
      cpu: this.cpuSeconds() - this.#askedSeconds,
      loadCpu: cpuMicroseconds(this.load.pid) / 1e6,
      at: performance.now() / 1000,
    };
  }

  /** Its own account: responses sent, connections that wait for a push. */
  async #counters(): Promise<{ readonly pushes: number; readonly queue: number; readonly clients: number }> {
    const before = this.cpuSeconds();
    const response = await fetch(`http://127.0.0.1:${debugPort}/metrics`);
    const lines = (await response.text()).split('\n');
    this.#askedSeconds += this.cpuSeconds() - before;
    const sum = (name: string): number =>
      lines
        .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
        .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    return {
      pushes: sum('pilot_xds_pushes'),
      queue: sum('pilot_push_queue_size'),
      clients: sum('pilot_xds'),
    };
  }
}
