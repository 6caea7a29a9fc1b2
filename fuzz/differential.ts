// Random meshes, our translation of them, and the same requests answered by our matchers, our proxy and stock
// Envoy: all three must agree on the route, the cluster, the rewritten path and the headers.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { messageFromJson } from '../src/api/any.ts';
import type { HttpConnectionManager } from '../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HttpConnectionManagerSchema } from '../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { prepareTarget } from '../src/explain/http-stage.ts';
import { compileRoutes } from '../src/proxy/router/compile.ts';
import type { CompiledRoutes } from '../src/proxy/router/compiled.ts';
import type { RouteDecision } from '../src/proxy/router/match.ts';
import { matchRequest } from '../src/proxy/router/match.ts';
import type { StaticProxy } from '../test/support/static-proxy.ts';
import { startStaticProxy } from '../test/support/static-proxy.ts';
import { untilListening } from '../test/support/wait.ts';
import type { FuzzRequest } from './generate-request.ts';
import type { FuzzCase } from './generate.ts';
import type { BootstrapPlace, Place } from './mesh-resources.ts';
import { bootstrapOf, places, resourcesOf } from './mesh-resources.ts';
import type { Seen } from './observe.ts';
import { closeClients, send, startBackend } from './observe.ts';

/** The first ports of what a run starts; a run takes `2 * cases` from each. */
export interface Ports {
  readonly ours: number;
  readonly envoy: number;
  readonly backend: number;
}

export interface Difference {
  readonly name: string;
  readonly request: FuzzRequest;
  readonly config: string;
  /** What differs, for people. */
  readonly what: string;
}

interface Prepared extends FuzzCase {
  readonly compiled: Readonly<Record<Place, CompiledRoutes>>;
  readonly managers: Readonly<Record<Place, HttpConnectionManager>>;
  readonly portOffset: number;
}

/** How many draws stand for chance where a route has weights. */
const draws = 200;

/** Everything in which the three differ, over all these cases. Needs `envoy` on PATH. */
export async function differences(cases: readonly FuzzCase[], ports: Ports): Promise<readonly Difference[]> {
  const addresses = new Map<string, string>();
  const listening: BootstrapPlace[] = [];
  const prepared = cases.map((each, index): Prepared => {
    const resources = resourcesOf(each.config);
    for (const place of places) {
      const { clusterNames, connectionManager } = resources[place];
      for (const name of clusterNames) addCluster(addresses, name);
      listening.push({ port: index * places.length + places.indexOf(place), connectionManager });
    }
    const compiled = {
      sidecar: compileRoutes(resources.sidecar.routes),
      gateway: compileRoutes(resources.gateway.routes),
    };
    const managers = {
      sidecar: managerOf(resources.sidecar.connectionManager),
      gateway: managerOf(resources.gateway.connectionManager),
    };
    return { ...each, compiled, managers, portOffset: index * places.length };
  });
  const bootstrap = (firstPort: number): string =>
    JSON.stringify(
      bootstrapOf(
        listening.map((each) => ({ ...each, port: firstPort + each.port })),
        addresses,
        ports.backend,
      ),
    );
  const started = new Started();
  try {
    await started.start(ports, bootstrap);
    const found: Difference[] = [];
    for (const each of prepared) {
      for (const request of each.requests) {
        const offset = each.portOffset + places.indexOf(request.at);
        const [own, envoy] = await Promise.all([
          send(ports.ours + offset, request),
          send(ports.envoy + offset, request),
        ]);
        const decisions = decide(each, request);
        const what = compare(decisions, own, envoy, addresses);
        if (what !== undefined) found.push({ name: each.name, config: each.config, request, what });
      }
    }
    return found;
  } finally {
    await started.stop();
  }
}

function managerOf({ '@type': _type, ...json }: JsonObject): HttpConnectionManager {
  return messageFromJson(HttpConnectionManagerSchema, json);
}

/** 127.109.x.y: one address a cluster, so that the upstream knows which it is. */
function addCluster(addresses: Map<string, string>, name: string): void {
  if (addresses.has(name) || !name.startsWith('outbound|')) return;
  const number = addresses.size + 1;
  addresses.set(name, `127.109.${Math.floor(number / 250)}.${(number % 250) + 1}`);
}

/** One decision, or several where a route has weights; undefined: refused before there is a route to choose. */
function decide(
  { compiled, managers }: Prepared,
  { at, method, host, path: target, headers }: FuzzRequest,
): readonly RouteDecision[] | undefined {
  const routes = compiled[at];
  const [, absolute = host, path = target] = /^http:\/\/([^/?]*)(.*)$/.exec(target) ?? [];
  const request = { method, authority: absolute, path, headers };
  const prepared = prepareTarget(managers[at], request, false, 80);
  if (prepared.kind === 'rejected') return undefined;
  const { input } = prepared;
  const byCluster = new Map<string, RouteDecision>();
  for (let draw = 0; draw < draws; draw++) {
    const decision = matchRequest(routes, { ...input, random: () => (draw + 0.5) / draws });
    byCluster.set(decision.cluster ?? '', decision);
  }
  return [...byCluster.values()];
}

/** Undefined if all agree. */
function compare(
  decisions: readonly RouteDecision[] | undefined,
  own: Seen,
  envoy: Seen,
  addresses: ReadonlyMap<string, string>,
): string | undefined {
  const report = (): string => `${text(decisions)}\nour proxy: ${text(own)}\nEnvoy: ${text(envoy)}`;
  if (decisions === undefined)
    return text(own) === text(envoy) && own.upstream === undefined ? undefined : report();
  const sides = { 'our proxy': own, Envoy: envoy };
  for (const [who, seen] of Object.entries(sides)) {
    const agrees = decisions.some((decision) => fits(decision, seen, addresses));
    if (!agrees) return `${who} is not as the matchers say\n${text(decisions)}\n${text(seen)}`;
  }
  // Chance chose another destination: its headers are its own.
  if (decisions.length > 1 && own.upstream?.address !== envoy.upstream?.address) return undefined;
  if (decisions.length > 1 && own.upstream === undefined)
    return own.status === envoy.status ? undefined : report();
  return text(own) === text(envoy) ? undefined : report();
}

/** Whether a proxy's answer can come of that decision. Faults and CORS answer before the upstream is asked. */
function fits(
  decision: RouteDecision,
  { status, upstream, headers }: Seen,
  addresses: ReadonlyMap<string, string>,
): boolean {
  if (upstream === undefined) {
    if (decision.kind === 'forward') return true;
    if (decision.location !== undefined && !headers.includes(`location: ${decision.location}`)) return false;
    // A gRPC client learns the status from its headers.
    return decision.status === status || headers.some((line) => line.startsWith('grpc-status: '));
  }
  return (
    decision.kind === 'forward' &&
    addresses.get(decision.cluster ?? '') === upstream.address &&
    decision.path === upstream.path &&
    upstream.headers.includes(`host: ${decision.host}`)
  );
}

function text(value: unknown): string {
  return JSON.stringify(value, undefined, 1);
}

/** The backend and both proxies. */
class Started {
  #backend: Server | undefined;
  #own: StaticProxy | undefined;
  #envoy: ChildProcess | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), 'fairlead-fuzz-'));

  async start(ports: Ports, bootstrap: (firstPort: number) => string): Promise<void> {
    this.#backend = await startBackend(ports.backend);
    this.#own = await startStaticProxy(bootstrap(ports.ours));
    const file = join(this.#folder, 'envoy.json');
    writeFileSync(file, bootstrap(ports.envoy));
    this.#envoy = spawn('envoy', ['-c', file, '--disable-hot-restart', '--concurrency', '1', '-l', 'error'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    // One that has ended refused the bootstrap: its words stand above.
    await untilListening('127.0.0.1', ports.envoy, 20_000, () => this.#envoy?.exitCode !== null);
  }

  async stop(): Promise<void> {
    closeClients();
    this.#own?.close();
    const envoy = this.#envoy;
    if (envoy !== undefined && envoy.exitCode === null) {
      // The next one is to have the ports alone.
      const exited = new Promise<void>((resolve) => envoy.once('exit', () => resolve()));
      envoy.kill('SIGKILL');
      await exited;
    }
    this.#backend?.closeAllConnections();
    this.#backend?.close();
    rmSync(this.#folder, { recursive: true });
  }
}
