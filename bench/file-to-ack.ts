// Scenario file-to-ack: from the rename that saves a VirtualService among 1,000 to the ACK that the proxy
// sends for it, with our proxy and with stock Envoy under the same control plane.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeGatewayBootstrap } from '../test/support/gateway-bootstrap.ts';
import { virtualServiceYaml } from './peers/configs.ts';
import type { Running } from './processes.ts';
import { untilListening } from '../test/support/wait.ts';
import { isInstalled, loadCore, proxyCore, start } from './processes.ts';
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { quantile } from './scenario.ts';
import type { XdsTap } from './xds-tap.ts';
import { tapXds } from './xds-tap.ts';

export const fileToAck: Scenario = {
  name: 'file-to-ack',
  about: 'from saving one of 1,000 VirtualServices to the ACK of the proxy, against stock Envoy as the proxy',
  run,
};

const virtualServices = 1000;
const edits = 100;
/** Longer than the control plane's debounce, so that every edit is a first one. */
const pauseMs = 200;
const xdsPort = 20210;
const debugPort = 20211;
const gatewayPort = 28180;

async function run({ log }: BenchOptions): Promise<Measurement> {
  const metrics: Record<string, number> = {};
  const missing: string[] = [];
  for (const proxy of ['fairlead', 'envoy']) {
    if (proxy === 'envoy' && !isInstalled('envoy')) {
      missing.push('envoy');
      continue;
    }
    const delaysMs = await measure(proxy);
    metrics[`${proxy}_p50_ms`] = quantile(delaysMs, 0.5);
    metrics[`${proxy}_p99_ms`] = quantile(delaysMs, 0.99);
    log(
      `${proxy}: p50 ${quantile(delaysMs, 0.5).toFixed(1)} ms, p99 ${quantile(delaysMs, 0.99).toFixed(1)} ms`,
    );
  }
  const ours = metrics['fairlead_p50_ms'] ?? Number.NaN;
  const envoys = metrics['envoy_p50_ms'];
  return { metrics, ratios: envoys === undefined ? {} : { envoy: ours / envoys }, missing };
}

async function measure(proxy: string): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const config = join(folder, 'config');
  mkdirSync(config);
  const save = (index: number, header: string): void => {
    const file = join(config, `host-${index}.yaml`);
    writeFileSync(`${file}.tmp`, virtualServiceYaml(`host-${index}`, `host-${index}.bench`, header));
    renameSync(`${file}.tmp`, file);
  };
  for (let index = 0; index < virtualServices; index += 1) save(index, 'first');
  writeFileSync(join(config, 'gateway.yaml'), gatewayYaml);
  const stops: Running[] = [];
  let tap: XdsTap | undefined;
  try {
    const pilot = ['dist/fairlead.js', 'pilot', '--config-dir', config, '--log-level', 'error'];
    pilot.push('--grpc-addr', `127.0.0.1:${xdsPort}`, '--http-addr', `127.0.0.1:${debugPort}`);
    stops.push(start(loadCore, process.execPath, pilot));
    await untilListening('127.0.0.1', xdsPort);
    tap = await tapXds(xdsPort);
    const address = proxy === 'envoy' ? '127.78.0.2' : '127.78.0.1';
    const bootstrap = join(folder, 'bootstrap.json');
    writeGatewayBootstrap(bootstrap, `gateway-${proxy}`, address, tap.port);
    stops.push(
      proxy === 'envoy'
        ? start(proxyCore, 'envoy', [
            '-c',
            bootstrap,
            '--disable-hot-restart',
            '--concurrency',
            '1',
            '--log-level',
            'error',
          ])
        : start(proxyCore, process.execPath, [
            'dist/fairlead.js',
            'proxy',
            '-c',
            bootstrap,
            '--log-level',
            'error',
          ]),
    );
    await untilListening(address, gatewayPort, 30_000);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const delaysMs: number[] = [];
    for (let edit = 0; edit < edits; edit += 1) {
      const acked = tap.nextRequest(pauseMs);
      const savedMs = performance.now();
      save((edit * 37) % virtualServices, `edit-${edit}`);
      delaysMs.push((await acked) - savedMs);
    }
    return delaysMs;
  } finally {
    tap?.close();
    for (const process of stops) process.stop();
    await new Promise((resolve) => setTimeout(resolve, 500));
    rmSync(folder, { recursive: true, force: true });
  }
}

const gatewayYaml = `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: bench }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: ${gatewayPort}, name: http, protocol: HTTP }, hosts: ['*.bench'] }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: backend, namespace: bench }
spec:
  hosts: [backend.bench.internal]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: 127.0.0.1 }]
`;
