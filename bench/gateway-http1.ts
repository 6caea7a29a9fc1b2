// Scenario gateway-http1: requests per second of one core through an ingress gateway, side by side
// with stock Envoy on the same xDS, nginx, haproxy and two Node proxies doing the same work.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeGatewayBootstrap } from '../test/support/gateway-bootstrap.ts';
import {
  backendConfig,
  haproxyConfig,
  hostsMap,
  meshYaml,
  nginxConfig,
  requestHeaders,
} from './peers/configs.ts';
import type { Running } from './processes.ts';
import { untilListening } from '../test/support/wait.ts';
import { cpuMicroseconds, isInstalled, loadCore, proxyCore, start } from './processes.ts';
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { median } from './scenario.ts';
import type { Load } from './wrk.ts';
import { wrk } from './wrk.ts';

export const gatewayHttp1: Scenario = {
  name: 'gateway-http1',
  about:
    'requests/s per core, latency and CPU of an HTTP/1.1 gateway, against Envoy, nginx, haproxy, http-proxy, fast-proxy',
  run,
};

const backendPorts = [20101, 20102, 20103];
const xdsPort = 20110;
const debugPort = 20111;
const gatewayPort = 28080;
const connections = 32;

interface Target {
  readonly name: string;
  readonly host: string;
  readonly listenerPort: number;
  readonly process: Running;
}

interface Round extends Load {
  readonly cpuUsPerRequest: number;
}

async function run({ seconds, rounds, log }: BenchOptions): Promise<Measurement> {
  for (const program of ['wrk', 'nginx', 'taskset']) {
    if (!isInstalled(program)) throw new Error(`gateway-http1 needs ${program} for load and backend`);
  }
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const stops: Running[] = [];
  try {
    const { targets, missing } = await startAll(folder, stops);
    const measured = new Map<string, Round[]>(targets.map(({ name }) => [name, []]));
    for (const target of targets) await load(target, 1);
    for (let round = 1; round <= rounds; round += 1) {
      for (const target of targets) {
        const result = await load(target, seconds);
        measured.get(target.name)?.push(result);
        log(
          `round ${round} ${target.name.padEnd(12)} ${Math.round(result.requestsPerSecond)} requests/s, ` +
            `p50 ${result.p50Ms.toFixed(2)} ms, p99 ${result.p99Ms.toFixed(2)} ms, ${result.cpuUsPerRequest.toFixed(1)} us/request`,
        );
      }
    }
    return summarize(measured, missing);
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
  started(loadCore, 'nginx', '-c', write('backend.conf', backendConfig(folder, backendPorts)));
  for (const port of backendPorts) await untilListening('127.0.0.1', port);

  write('mesh.yaml', meshYaml(gatewayPort, backendPorts));
  started(
    loadCore,
    process.execPath,
    'dist/fairlead.js',
    'pilot',
    '--config-dir',
    folder,
    '--grpc-addr',
    `127.0.0.1:${xdsPort}`,
    '--http-addr',
    `127.0.0.1:${debugPort}`,
    '--log-level',
    'error',
  );
  await untilListening('127.0.0.1', xdsPort);

  const targets: Target[] = [];
  const missing: string[] = [];
  const add = async (name: string, host: string, listenerPort: number, process: Running): Promise<void> => {
    await untilListening(host, listenerPort);
    targets.push({ name, host, listenerPort, process });
  };
  const accessLog = join(folder, 'access.log');
  write('access.log', '');

  const ours = join(folder, 'fairlead.json');
  writeGatewayBootstrap(ours, 'gateway-ours', '127.77.0.1', xdsPort);
  // The access log goes to standard output; a shell sends it to a file, as a supervisor would.
  const toFile = (command: string): string[] => ['-c', `exec ${command} >>${accessLog}`];
  const node = process.execPath;
  await add(
    'fairlead',
    '127.77.0.1',
    gatewayPort,
    started(proxyCore, 'sh', ...toFile(`${node} dist/fairlead.js proxy -c ${ours} --log-level error`)),
  );

  if (isInstalled('envoy')) {
    const envoy = join(folder, 'envoy.json');
    writeGatewayBootstrap(envoy, 'gateway-envoy', '127.77.0.2', xdsPort);
    const flags = '--disable-hot-restart --concurrency 1 --log-level error';
    await add(
      'envoy',
      '127.77.0.2',
      gatewayPort,
      started(proxyCore, 'sh', ...toFile(`envoy -c ${envoy} ${flags}`)),
    );
  } else missing.push('envoy');

  await add(
    'nginx',
    '127.0.0.1',
    20120,
    started(proxyCore, 'nginx', '-c', write('nginx.conf', nginxConfig(folder, 20120, backendPorts))),
  );
  if (isInstalled('haproxy')) {
    await add(
      'haproxy',
      '127.0.0.1',
      20121,
      started(
        proxyCore,
        'haproxy',
        '-f',
        write('haproxy.cfg', haproxyConfig(20121, backendPorts, write('hosts.map', hostsMap()))),
      ),
    );
  } else missing.push('haproxy');
  for (const [index, name] of ['http-proxy', 'fast-proxy'].entries()) {
    const port = 20122 + index;
    await add(
      name,
      '127.0.0.1',
      port,
      started(proxyCore, node, `bench/peers/${name}.mjs`, String(port), ...backendPorts.map(String)),
    );
  }
  return { targets, missing };
}

async function load(target: Target, seconds: number): Promise<Round> {
  const before = cpuMicroseconds(target.process.pid);
  const result = await wrk({
    url: `http://${target.host}:${target.listenerPort}/start?page=1`,
    headers: requestHeaders,
    connections,
    seconds,
  });
  const cpuUsPerRequest = (cpuMicroseconds(target.process.pid) - before) / result.requests;
  if (result.errors > 0)
    throw new Error(`${target.name}: ${result.errors} of ${result.requests} requests failed`);
  return { ...result, cpuUsPerRequest };
}

function summarize(measured: ReadonlyMap<string, readonly Round[]>, missing: readonly string[]): Measurement {
  const metrics: Record<string, number> = {};
  const ratios: Record<string, number> = {};
  const of = (name: string, pick: (round: Round) => number): number =>
    median((measured.get(name) ?? []).map(pick));
  for (const name of measured.keys()) {
    metrics[`${name}_requests_per_s`] = of(name, (round) => round.requestsPerSecond);
    metrics[`${name}_p50_ms`] = of(name, (round) => round.p50Ms);
    metrics[`${name}_p99_ms`] = of(name, (round) => round.p99Ms);
    metrics[`${name}_cpu_us_per_request`] = of(name, (round) => round.cpuUsPerRequest);
    if (name !== 'fairlead') {
      // Round by round, since the machine's speed drifts between rounds.
      const pairs = (measured.get('fairlead') ?? []).map(
        (round, index) =>
          round.requestsPerSecond / (measured.get(name)?.[index]?.requestsPerSecond ?? Number.NaN),
      );
      ratios[name] = median(pairs);
    }
  }
  return { metrics, ratios, missing };
}
