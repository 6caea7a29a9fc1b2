// Random connections to the listeners of random meshes: our matchers and stock Envoy must agree on the listener, the
// filter chain, the route and the cluster.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Certificate } from '../../test/support/certificates.ts';
import { createAuthority } from '../../test/support/certificates.ts';
import { startProxyProcess } from '../../test/support/proxy-process.ts';
import { waitFor } from '../../test/support/wait.ts';
import { outboundListener } from '../../src/explain/listener-stage.ts';
import { socketAddress } from '../../src/proxy/io/socket-address.ts';
import { randomMesh } from '../generate-mesh.ts';
import { Draw } from '../random.ts';
import { connectionBootstrap } from './bootstrap.ts';
import { speak, startStreamBackend } from './client.ts';
import type { ConnectionDecision } from './decide.ts';
import { decide } from './decide.ts';
import type { FuzzConnection } from './generate.ts';
import { randomConnections } from './generate.ts';
import type { ProxyListeners, ProxyPlace } from './resources.ts';
import { proxyListeners } from './resources.ts';

export interface ConnectionCase {
  readonly name: string;
  readonly config: string;
  readonly place: ProxyPlace;
  readonly connections: readonly FuzzConnection[];
}

export interface ConnectionDifference {
  readonly name: string;
  readonly connection: FuzzConnection;
  /** What differs, for people. */
  readonly what: string;
}

/** Where a run binds: `address` is one of this machine's, and its ports from `firstPort` on are free. */
export interface ConnectionPlaces {
  readonly address: string;
  readonly firstPort: number;
  readonly backendPort: number;
  readonly adminPort: number;
}

const connectionsACase = 60;
/** Connections that are open at a time. */
const atOnce = 12;

/** The mesh and the connections of one seed. */
export function randomConnectionCase(seed: number): ConnectionCase {
  const draw = new Draw(seed + 1_000_000);
  const config = randomMesh(seed).join('---\n');
  const wanted = draw.one<ProxyPlace>(['sidecar', 'sidecar', 'gateway']);
  // A gateway without Gateways has no listeners.
  const place = proxyListeners(config, wanted).listeners.length === 0 ? 'sidecar' : wanted;
  const proxy = proxyListeners(config, place);
  const connections = randomConnections(draw, proxy, connectionsACase);
  return { name: `seed ${seed} (${place})`, config, place, connections };
}

/** Everything in which the two differ, over all these cases. Needs `envoy` and `openssl` on PATH. */
export async function connectionDifferences(
  cases: readonly ConnectionCase[],
  places: ConnectionPlaces,
): Promise<readonly ConnectionDifference[]> {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-connections-'));
  const backend = await startStreamBackend(places.address, places.backendPort);
  try {
    const authority = createAuthority(directory, 'mesh');
    const own = authority.issue('proxy', 'spiffe://cluster.local/ns/default/sa/default');
    const found: ConnectionDifference[] = [];
    for (const [index, each] of cases.entries()) {
      const files = { logFile: join(directory, `${index}.log`), own, authority: authority.chain };
      // oxlint-disable-next-line no-await-in-loop -- one Envoy at a time has the ports
      found.push(...(await differencesOf(each, places, files)));
    }
    return found;
  } finally {
    await closed(backend);
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Files {
  readonly logFile: string;
  readonly own: Certificate;
  readonly authority: string;
}

async function differencesOf(
  { name, config, place, connections }: ConnectionCase,
  places: ConnectionPlaces,
  files: Files,
): Promise<readonly ConnectionDifference[]> {
  const proxy = proxyListeners(config, place);
  const { bootstrap, ports } = connectionBootstrap(proxy, { ...places, ...files });
  const envoy = await startProxyProcess('envoy', JSON.stringify(bootstrap), places.adminPort);
  try {
    await waitFor('workers', async () => {
      const { body } = await envoy.admin('/ready');
      return body.startsWith('LIVE') ? true : undefined;
    });
    const waiting = connections.map((connection, index) => ({ connection, from: clientAddress(index) }));
    const one = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const { connection, from } = next;
        const port = ports.get(entryFor(proxy, connection));
        if (port === undefined)
          throw new Error(`${name}: nothing is bound for ${JSON.stringify(connection)}`);
        // oxlint-disable-next-line no-await-in-loop -- one after the other; several of these run side by side
        await speak({ address: places.address, port, from }, connection, files.own);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, one));
    const seen = await logged(files.logFile, connections.length);
    return connections.flatMap((connection, index) => {
      const decision = decide(proxy, connection);
      const lines = seen.get(clientAddress(index)) ?? [];
      const what = compare(decision, lines, new Set(proxy.clusterNames));
      return what === undefined ? [] : [{ name, connection, what }];
    });
  } finally {
    await envoy.stop();
  }
}

/** Each connection of a case comes from an address of its own. */
function clientAddress(index: number): string {
  return `127.114.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`;
}

function entryFor({ place, listeners }: ProxyListeners, { to, address, port }: FuzzConnection): string {
  if (place === 'sidecar') return to === 'inbound' ? 'virtualInbound' : 'virtualOutbound';
  return outboundListener(listeners, socketAddress(address, port))?.listener.name ?? '';
}

/** A line of Envoy's access logs. */
interface LogLine {
  readonly kind: 'connection' | 'http' | 'tcp';
  readonly listener: string;
  readonly client: string;
  readonly chain: string | null;
  readonly cluster: string | null;
  readonly route: string | null;
  readonly status: number;
  readonly flags: string | null;
  readonly details: string | null;
}

/** By client. Waits until each has the line that ends its connection. */
async function logged(file: string, clients: number): Promise<ReadonlyMap<string, readonly LogLine[]>> {
  for (let attempt = 0; ; attempt++) {
    const byClient = new Map<string, LogLine[]>();
    const ended = new Set<string>();
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      if (!text.endsWith('}')) continue;
      const line = JSON.parse(text) as LogLine;
      byClient.set(line.client, [...(byClient.get(line.client) ?? []), line]);
      if (line.kind === 'connection') ended.add(line.client);
    }
    if (ended.size === clients || attempt === 40) return byClient;
    // oxlint-disable-next-line no-await-in-loop -- polled
    await pause(50);
  }
}

/** Undefined if both agree. */
function compare(
  { listener, chain, inside }: ConnectionDecision,
  lines: readonly LogLine[],
  clusters: ReadonlySet<string>,
): string | undefined {
  const report = (reason: string): string =>
    `${reason}\nours: ${JSON.stringify({ listener, chain, inside })}\nEnvoy: ${lines.map((line) => JSON.stringify(line)).join('\n       ')}`;
  const end = lines.find(({ kind }) => kind === 'connection');
  if (end === undefined) return report('Envoy logged no end of the connection');
  if (end.listener !== listener) return report('another listener');
  if ((end.chain ?? undefined) !== chain) return report('another filter chain');
  const request = lines.find(({ kind }) => kind !== 'connection');
  if (inside.kind === 'unknown') return undefined;
  if (request === undefined) return report('Envoy logged no request');
  if (inside.kind === 'answer')
    return request.status === inside.status && request.cluster === null
      ? undefined
      : report('another answer');
  if (request.kind !== (inside.kind === 'tcp' ? 'tcp' : 'http')) return report('another filter');
  // Faults and CORS answer before the cluster is asked for.
  if (inside.kind === 'forward' && request.details === 'fault_filter_abort') return undefined;
  if (inside.kind === 'forward' && (request.route ?? '') !== inside.route) return report('another route');
  const missing = inside.clusters.filter((name) => !clusters.has(name));
  const isMissing = request.flags?.includes('NC') === true || request.details === 'cluster_not_found';
  if (isMissing) return missing.length > 0 ? undefined : report('Envoy does not know the cluster');
  return inside.clusters.includes(request.cluster ?? '') ? undefined : report('another cluster');
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
