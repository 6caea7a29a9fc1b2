// docs/envoy.md, executed: stock Envoy with the page's bootstrap in each way to speak xDS, in plaintext and through TLS.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { call } from './support/http.ts';
import { fairleadMain, freePorts } from './support/mesh.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

interface Source {
  ads?: object;
  api_config_source?: unknown;
}
interface Bootstrap {
  dynamic_resources: { ads_config: { api_type: string }; cds_config: Source; lds_config: Source };
  static_resources: { clusters: Record<string, unknown>[] };
}

const page = readFileSync(join(import.meta.dirname, '../docs/envoy.md'), 'utf8');
const blocks = (language: string): readonly string[] =>
  [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, name, text = '']) =>
    name === language ? [text] : [],
  );
/** A command of the page that begins with these words; lines that end with a backslash go on. */
function commandOf(words: string): string {
  const found = page.match(new RegExp(`^ {4}(${words}(?:.*\\\\\\n)*.*)$`, 'm'))?.[1];
  if (found === undefined) throw new Error(`docs/envoy.md has no command ${words}`);
  return found.replaceAll('\\\n', ' ').replace(/ &$/, '');
}

const mesh = (port: number): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: ${port}, name: http, protocol: HTTP}, bind: 127.0.0.1, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec: {hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: web}}], fault: {abort: {httpStatus: 418, percentage: {value: 100}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: 127.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;

let folder: string;
let pilot: ChildProcess | undefined;
let envoy: ProxyProcess | undefined;
let webPort: number;
let adminPort: number;
/** The page's ports, and what stands for them here. */
const ports = new Map<string, number>();
const skips = needs('envoy', 'openssl');

function here(text: string): string {
  return text.replaceAll(/\b150\d\d\b/g, (port) => String(ports.get(port) ?? port));
}

function shell(command: string): string {
  const script = `fairlead() { "${process.execPath}" "${fairleadMain}" "$@"; }\n${here(command)}`;
  return execFileSync('bash', ['-ec', script], { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-envoy-page-'));
  if (skips) return;
  const [grpc, http, secure] = await freePorts(3);
  [adminPort, webPort] = await freePorts(3);
  ports.set('15010', grpc).set('15014', http).set('15012', secure).set('15000', adminPort);
  mkdirSync(join(folder, 'mesh'));
  writeFileSync(join(folder, 'mesh/edge.yaml'), mesh(webPort));
  for (const block of blocks('sh')) shell(block);
  // Both of the page's commands in one: the ports of the first, the files of the second.
  const words = [commandOf('fairlead pilot .*--grpc-addr'), commandOf('fairlead pilot .*--secure-grpc')]
    .map((command) => here(command).replace('fairlead pilot --config-dir mesh', ''))
    .join(' ')
    .split(/ +/)
    .filter((word) => word !== '');
  pilot = spawn(
    process.execPath,
    [fairleadMain, 'pilot', '--config-dir', 'mesh', '--log-level', 'warning', ...words],
    {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  await waitFor('the control plane', async () => {
    const answer = await call({ url: `http://127.0.0.1:${http}/ready` }).catch(() => undefined);
    return answer?.status === 200 || undefined;
  });
}, 30_000);

afterEach(async () => {
  await envoy?.stop();
  envoy = undefined;
});

afterAll(() => {
  pilot?.kill();
  rmSync(folder, { recursive: true, force: true });
});

/** The page's bootstrap, with what is to be changed in it. */
async function start(change: (bootstrap: Bootstrap) => void): Promise<void> {
  const bootstrap = parse(here(blocks('yaml')[0] ?? '')) as Bootstrap;
  change(bootstrap);
  const text = JSON.stringify(bootstrap).replaceAll('"edge/', `"${folder}/edge/`);
  envoy = await startProxyProcess('envoy', text, adminPort);
  const answer = await waitFor('the gateway', () =>
    call({ url: `http://127.0.0.1:${webPort}/` }).catch(() => undefined),
  );
  expect(answer.status).toBe(418);
  const { body } = await envoy.admin('/stats?filter=update_rejected|warming_clusters');
  expect(body.match(/: [1-9]/g)).toBeNull();
}

const asDialect =
  (type: string, isApart: boolean) =>
  ({ dynamic_resources: dynamic }: Bootstrap): void => {
    dynamic.ads_config.api_type = type;
    if (!isApart) return;
    for (const source of [dynamic.cds_config, dynamic.lds_config]) {
      delete source.ads;
      source.api_config_source = dynamic.ads_config;
    }
  };

describe.skipIf(skips)('docs/envoy.md', () => {
  test.each([
    ['DELTA_GRPC', false],
    ['GRPC', false],
    ['DELTA_GRPC', true],
    ['GRPC', true],
  ])('in plaintext: %s, services of their own: %s', { timeout: 30_000 }, async (type, isApart) => {
    await start(asDialect(type, isApart));
    const table = shell('fairlead proxy-status --debug-address http://127.0.0.1:15014');
    expect(table.match(/^edge-0\.default /gm)).toHaveLength(isApart ? 3 : 1);
  });

  test('through TLS, and proxy-status likewise', { timeout: 30_000 }, async () => {
    const socket = parse(blocks('yaml')[1] ?? '') as object;
    const withTls = ({ static_resources: { clusters } }: Bootstrap): void => {
      const [cluster] = clusters;
      const port = `"port_value":${ports.get('15010')}`;
      clusters[0] = {
        ...(JSON.parse(
          JSON.stringify(cluster).replace(port, `"port_value":${ports.get('15012')}`),
        ) as object),
        ...socket,
      };
    };
    await start(withTls);
    expect(shell(commandOf('fairlead proxy-status'))).toMatch(/^edge-0\.default .* 4 \(CDS,LDS,EDS,RDS\)$/m);
  });
});
