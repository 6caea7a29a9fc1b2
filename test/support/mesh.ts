// A whole mesh for a test: `fairlead up` on a folder of its own, with either data plane.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Answer, Call } from './http.ts';
import { call } from './http.ts';
import { waitFor } from './wait.ts';

export type DataPlane = 'fairlead' | 'envoy';

export interface Mesh {
  /** `127.0.0.1:port` of the ingress gateway. */
  readonly gateway: string;
  /** `127.0.0.1:port` of the control plane's debug pages. */
  readonly debug: string;
  readonly folder: string;
  /** Everything that `fairlead up` has printed so far. */
  output(): string;
  /** Replaces a file of the folder at once (rename), as editors and deployment tools do. */
  write(file: string, text: string): void;
  /** Sends a request as if from outside: the URL's host goes to the gateway. */
  fromGateway(request: Omit<Call, 'connectTo' | 'httpProxy'>): Promise<Answer>;
  /** Sends a request as the app of that pod does: through its sidecar's HTTP proxy listener. */
  fromPod(podIp: string, request: Omit<Call, 'connectTo' | 'httpProxy'>): Promise<Answer>;
  /** IP of the first ready pod with that app label. */
  podIp(namespace: string, app: string): Promise<string>;
  /** SIGINT, and waits for the end; returns the exit code. */
  stop(): Promise<number | null>;
}

export interface MeshOptions {
  /** File name -> YAML. */
  readonly files: Readonly<Record<string, string>>;
  readonly dataPlane?: DataPlane;
  readonly args?: readonly string[];
  /**
   * Second octet of the pods' loopback addresses, so that meshes of parallel tests do not meet. Where
   * another run has it, the one 100 further on is taken.
   */
  readonly network: number;
  readonly readyWithinMs?: number;
}

const repository = join(import.meta.dirname, '../..');

/**
 * The bundle's entry: tests that run it need `npm run build` to have run, which `npm test` does.
 * The environment variable FAIRLEAD_MAIN names another one.
 */
export const fairleadMain = process.env['FAIRLEAD_MAIN'] ?? join(repository, 'dist/fairlead.js');

/** Starts a mesh and waits until all that its files ask for is ready. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-mesh-'));
  for (const [file, text] of Object.entries(options.files)) place(folder, file, text);
  const [gatewayPort, xdsPort, debugPort] = await freePorts(3);
  const network = (await isFree(`127.${options.network}.0.0`, adminPort))
    ? options.network
    : options.network + 100;
  const child = spawn(
    process.execPath,
    [
      fairleadMain,
      'up',
      folder,
      '--no-color',
      '--port',
      String(gatewayPort),
      '--xds-port',
      String(xdsPort),
      '--debug-port',
      String(debugPort),
      '--data-plane',
      options.dataPlane ?? 'fairlead',
      '--address-range',
      `127.${network}`,
      ...(options.args ?? []),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const gateway = `127.0.0.1:${gatewayPort}`;
  const debug = `127.0.0.1:${debugPort}`;
  let output = '';
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-1_000_000);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = new Promise<number | null>((resolve) => child.on('exit', (code) => resolve(code)));
  const stop = async (): Promise<number | null> => {
    child.kill('SIGINT');
    const code = await Promise.race([ended, giveUp(child)]);
    rmSync(folder, { recursive: true, force: true });
    return code;
  };
  try {
    await waitFor(
      'the mesh to be ready',
      () => {
        if (child.exitCode !== null) throw new Error('fairlead up ended');
        return readyLine.test(output) || undefined;
      },
      options.readyWithinMs ?? 60_000,
    );
  } catch (error) {
    await stop();
    throw new Error(`${String(error)}\n${output.slice(-6000)}`, { cause: error });
  }
  return {
    gateway,
    debug,
    folder,
    output: () => output,
    write: (file, text) => place(folder, file, text),
    fromGateway: (request) => call({ ...request, connectTo: gateway }),
    fromPod: (podIp, request) => call({ ...request, httpProxy: `${podIp}:${httpProxyPort}` }),
    podIp: (namespace, app) => findPod(debug, namespace, app),
    stop,
  };
}

const httpProxyPort = 15080;
/** `fairlead up` holds this port of its range's first address for as long as it runs. */
const adminPort = 15000;
const readyLine = /mesh is ready/i;

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<[number, number, number]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.on('error', reject);
          server.listen(0, '127.0.0.1', () => {
            const address = server.address();
            resolve(typeof address === 'object' && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports as [number, number, number];
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

function place(folder: string, file: string, text: string): void {
  const path = join(folder, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

async function giveUp(child: ChildProcess): Promise<null> {
  await new Promise((resolve) => setTimeout(resolve, 20_000).unref());
  child.kill('SIGKILL');
  return null;
}

async function findPod(debug: string, namespace: string, app: string): Promise<string> {
  return waitFor(`a pod of ${namespace}/${app}`, async () => {
    const { body } = await call({ url: `http://${debug}/debug/configz` });
    const pods = (
      JSON.parse(body) as { kind?: string; metadata?: PodMeta; status?: { podIP?: string } }[]
    ).filter(
      ({ kind, metadata }) =>
        kind === 'Pod' && metadata?.namespace === namespace && metadata.labels?.['app'] === app,
    );
    return pods.find(({ status }) => status?.podIP !== undefined)?.status?.podIP;
  });
}

interface PodMeta {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}
