// Scenarios proxy-http2 and proxy-grpc: requests per second of one core, HTTP/2 on both sides, side by side with
// stock Envoy on the very same bootstrap, haproxy and node:http2.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilListening } from '../test/support/wait.ts';
import type { Http2Load } from './h2load.ts';
import { h2load } from './h2load.ts';
import { hostName, hostsMap } from './peers/configs.ts';
import { http2BackendConfig, http2Bootstrap, http2HaproxyConfig } from './peers/http2-configs.ts';
import type { Running } from './processes.ts';
import { cpuMicroseconds, isInstalled, loadCore, proxyCore, start } from './processes.ts';
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { median } from './scenario.ts';

/** What is sent, and over how many connections with how many streams each. */
interface Shape {
  readonly headers: Readonly<Record<string, string>>;
  readonly path: string;
  readonly data: Buffer | undefined;
  readonly loads: readonly (readonly [connections: number, streams: number])[];
}

const browser: Shape = {
  headers: {
    ':authority': hostName(57),
    'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0',
    accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'accept-encoding': 'gzip, deflate, br',
    'accept-language': 'en-US,en;q=0.9',
    'cache-control': 'no-cache',
    referer: 'https://host-57.bench/start',
    'x-team': 'blue',
  },
  path: '/start?page=1',
  data: undefined,
  loads: [
    [8, 10],
    [32, 1],
    [1, 100],
  ],
};

/** A unary call of about 100 bytes: its answer has trailers. */
const call: Shape = {
  headers: {
    ':authority': hostName(57),
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'grpc-node-js/1.14.7',
    'grpc-accept-encoding': 'identity,deflate,gzip',
    'grpc-timeout': '5S',
  },
  path: '/bench.Service/Unary',
  data: Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 'm')]),
  loads: [
    [8, 10],
    [1, 100],
  ],
};

export const proxyHttp2: Scenario = {
  name: 'proxy-http2',
  about:
    'requests/s per core with HTTP/2 on both sides, against Envoy on the same bootstrap, haproxy, node:http2',
  run: (options) => run(options, browser),
};

export const proxyGrpc: Scenario = {
  name: 'proxy-grpc',
  about: 'unary gRPC calls/s per core, against Envoy on the same bootstrap, haproxy, node:http2',
  run: (options) => run(options, call),
};

const backendPorts = [25901, 25902, 25903];
const proxyPort = 25910;

interface Target {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly process: Running;
}

interface Round extends Http2Load {
  readonly cpuUsPerRequest: number;
}

async function run({ seconds, rounds, log }: BenchOptions, shape: Shape): Promise<Measurement> {
  for (const program of ['h2load', 'nginx', 'taskset']) {
    if (!isInstalled(program)) throw new Error(`this scenario needs ${program} for load and backend`);
  }
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const stops: Running[] = [];
  try {
    const { targets, missing } = await startAll(folder, stops);
    const dataFile = shape.data === undefined ? undefined : join(folder, 'data');
    if (dataFile !== undefined) writeFileSync(dataFile, shape.data ?? '');
    const metrics: Record<string, number> = {};
    const ratios: Record<string, number> = {};
    for (const [connections, streams] of shape.loads) {
      const measured = new Map<string, Round[]>(targets.map(({ name }) => [name, []]));
      const load = (target: Target, forSeconds: number): Promise<Round> =>
        loadTarget(target, shape, dataFile, connections, streams, forSeconds);
      for (const target of targets) await load(target, 1);
      for (let round = 1; round <= rounds; round += 1) {
        for (const target of targets) {
          const result = await load(target, seconds);
          measured.get(target.name)?.push(result);
          log(
            `${connections}x${streams} round ${round} ${target.name.padEnd(10)} ` +
              `${Math.round(result.requestsPerSecond)} requests/s, mean ${result.meanMs.toFixed(2)} ms, ` +
              `${result.cpuUsPerRequest.toFixed(1)} us/request`,
          );
        }
      }
      summarize(`${connections}x${streams}`, measured, metrics, ratios);
    }
    return { metrics, ratios, missing };
  } finally {
    for (const process of stops) process.stop();
    await new Promise((resolve) => setTimeout(resolve, 300));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startAll(folder: string, stops: Running[]): Promise<{ targets: Target[]; missing: string[] }> {
  const started = (core: string, command: string, ...args: string[]): Running => {
    const process = start(core, command, args);
    stops.push(process);
    return process;
  };
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  started(loadCore, 'nginx', '-c', write('backend.conf', http2BackendConfig(folder, backendPorts)));
  for (const port of backendPorts) await untilListening('127.0.0.1', port);
  const targets: Target[] = [];
  const missing: string[] = [];
  const add = async (name: string, host: string, port: number, process: Running): Promise<void> => {
    await untilListening(host, port);
    targets.push({ name, host, port, process });
  };
  const bootstrap = (name: string, host: string): string =>
    write(`${name}.json`, http2Bootstrap(host, proxyPort, backendPorts, join(folder, `${name}-access.log`)));
  const node = process.execPath;
  await add(
    'fairlead',
    '127.48.1.1',
    proxyPort,
    started(
      proxyCore,
      node,
      'dist/fairlead.js',
      'proxy',
      '-c',
      bootstrap('fairlead', '127.48.1.1'),
      '--log-level',
      'error',
    ),
  );
  if (isInstalled('envoy')) {
    const flags = ['--disable-hot-restart', '--concurrency', '1', '--log-level', 'error'];
    await add(
      'envoy',
      '127.48.1.2',
      proxyPort,
      started(proxyCore, 'envoy', '-c', bootstrap('envoy', '127.48.1.2'), ...flags),
    );
  } else missing.push('envoy');
  if (isInstalled('haproxy')) {
    const config = http2HaproxyConfig(proxyPort + 1, backendPorts, write('hosts.map', hostsMap()));
    await add(
      'haproxy',
      '127.0.0.1',
      proxyPort + 1,
      started(proxyCore, 'haproxy', '-f', write('haproxy.cfg', config)),
    );
  } else missing.push('haproxy');
  const peer = ['bench/peers/node-http2.mjs', String(proxyPort + 2), ...backendPorts.map(String)];
  await add('node-http2', '127.0.0.1', proxyPort + 2, started(proxyCore, node, ...peer));
  return { targets, missing };
}

async function loadTarget(
  target: Target,
  shape: Shape,
  dataFile: string | undefined,
  connections: number,
  streams: number,
  seconds: number,
): Promise<Round> {
  const before = cpuMicroseconds(target.process.pid);
  const url = `http://${target.host}:${target.port}${shape.path}`;
  const result = await h2load({ url, headers: shape.headers, dataFile, connections, streams, seconds });
  const cpuUsPerRequest = (cpuMicroseconds(target.process.pid) - before) / result.requests;
  if (result.errors > 0)
    throw new Error(`${target.name}: ${result.errors} of ${result.requests} requests failed`);
  return { ...result, cpuUsPerRequest };
}

function summarize(
  load: string,
  measured: ReadonlyMap<string, readonly Round[]>,
  metrics: Record<string, number>,
  ratios: Record<string, number>,
): void {
  const ours = measured.get('fairlead') ?? [];
  for (const [name, all] of measured) {
    metrics[`${name}_${load}_requests_per_s`] = median(all.map((round) => round.requestsPerSecond));
    metrics[`${name}_${load}_mean_ms`] = median(all.map((round) => round.meanMs));
    metrics[`${name}_${load}_cpu_us_per_request`] = median(all.map((round) => round.cpuUsPerRequest));
    if (name === 'fairlead') continue;
    // Round by round, since the machine's speed drifts between rounds.
    ratios[`${name}_${load}`] = median(
      all.map((round, index) => (ours[index]?.requestsPerSecond ?? Number.NaN) / round.requestsPerSecond),
    );
  }
}
