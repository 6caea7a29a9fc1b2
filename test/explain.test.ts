// docs/explain.md and docs/analyze.md, executed: every command of a page prints what the page shows. And the same on meshes that
// run: what explain says of a request is what becomes of it.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import type { Trace } from '../src/explain/trace.ts';
import type { DataPlane, Mesh } from './support/mesh.ts';
import { fairleadMain, startMesh } from './support/mesh.ts';
import { readSteps } from './support/pages.ts';
import { needs } from './support/tools.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** Runs a shell command in which `fairlead` is ours; what it wrote to stdout, whatever its exit code. */
async function shell(
  command: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ out: string; code: number }> {
  const script = `fairlead() { "${process.execPath}" "${fairleadMain}" "$@"; }\n${command}`;
  try {
    const { stdout } = await run('bash', ['-c', script], {
      cwd: root,
      env: { ...process.env, ...env },
      timeout: 60_000,
    });
    return { out: stdout, code: 0 };
  } catch (error) {
    const {
      code = -1,
      stdout = '',
      stderr = '',
    } = error as { code?: number; stdout?: string; stderr?: string };
    return { out: stdout === '' ? stderr : stdout, code };
  }
}

describe.each([
  { page: 'docs/explain.md', commands: 9 },
  { page: 'docs/analyze.md', commands: 2 },
])('$page', ({ page, commands }) => {
  const steps = readSteps(readFileSync(join(root, page), 'utf8'));

  test('has commands', () => {
    expect(steps.length).toBeGreaterThanOrEqual(commands);
  });

  test.each(steps)('$command', { timeout: 60_000 }, async ({ command, printed }) => {
    // As a terminal shows it: analyze says on stderr that nothing is wrong.
    const { out } = await shell(`${command} 2>&1`);
    expect(trimmed(out)).toBe(trimmed(printed));
  });
});

test(
  'exit codes: 0 it gets there, 1 it fails, 2 the command line makes no sense',
  { timeout: 60_000 },
  async () => {
    const files = '-f samples/bookinfo';
    const code = async (rest: string): Promise<number> => (await shell(`fairlead explain ${rest}`)).code;
    expect(await code(`http://reviews:9080/ --from productpage ${files}`)).toBe(0);
    expect(await code(`http://localhost/nothing --from gateway ${files}`)).toBe(1);
    expect(await code(`http://reviews:9080/ --from nobody ${files}`)).toBe(2);
    expect(await code(`http://reviews:9080/ ${files}`)).toBe(2);
    // Nobody answers there.
    expect(await code('http://reviews:9080/ --from productpage --debug-address 127.0.0.1:1')).toBe(2);
    expect(await code(`GET POST http://reviews:9080/ --from productpage ${files}`)).toBe(2);
    expect(await code(`http://reviews:9080/ --from productpage -f no-such-file`)).toBe(2);
  },
);

describe.each<{ dataPlane: DataPlane; network: number }>([
  { dataPlane: 'fairlead', network: 108 },
  { dataPlane: 'envoy', network: 108 },
])('a mesh that runs: $dataPlane', ({ dataPlane, network }) => {
  let mesh: Mesh | undefined;
  afterAll(async () => {
    await mesh?.stop();
  });

  const absent = dataPlane === 'envoy' && needs('envoy');
  test.skipIf(absent)('explain reads what the proxies have', { timeout: 120_000 }, async () => {
    mesh = await startMesh({ files: { 'mesh.yaml': meshYaml }, dataPlane, network });
    const env = { FAIRLEAD_DEBUG_ADDRESS: `http://${mesh.debug}` };
    const explain = async (rest: string): Promise<Trace> =>
      JSON.parse((await shell(`fairlead explain -o json ${rest}`, env)).out) as Trace;

    const beta = await explain('http://shop.test/cart/1 --from gateway -H x-beta:1');
    expect(beta.outcome.kind).toBe('routed');
    expect(beta.hop.http?.rules.map(({ result }) => result)).toEqual(['matched', 'not reached']);
    expect(beta.hop.http?.action?.path).toBe('/v2/1');
    expect(beta.hop.http?.rules[0]?.sources[0]).toMatchObject({ kind: 'VirtualService', name: 'shop' });
    expect(beta.hop.http?.rules[0]?.sources[0]?.line).toBeGreaterThan(0);
    const [target] = beta.hop.targets;
    expect(target?.cluster).toBe('outbound|80|v2|echo.default.svc.cluster.local');
    expect(target?.endpoints.map(({ state, reason }) => `${state} ${reason}`.trim()).sort()).toEqual([
      'in',
      'out label version is v1, the subset wants v2',
    ]);
    expect(target?.receivers[0]?.hop.targets[0]?.cluster).toBe('inbound|8080||');

    const lost = await explain('http://shop.test/other --from gateway');
    expect(lost.outcome.failure).toMatchObject({ stage: 'rules', status: 404, flag: 'NR' });
    const unknown = await explain('http://nobody.test/ --from echo');
    expect(unknown.outcome.failure).toMatchObject({ stage: 'virtual host', status: 502 });
  });
});

const meshYaml = `apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { istio-injection: enabled } }
---
apiVersion: v1
kind: Service
metadata: { name: echo }
spec: { selector: { app: echo }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
${['v1', 'v2']
  .map(
    (version) => `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: echo-${version} }
spec:
  selector: { matchLabels: { app: echo, version: ${version} } }
  template:
    metadata: { labels: { app: echo, version: ${version} } }
    spec:
      containers:
        - name: echo
          command: [fairlead, x, echo, --quiet]
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1 }
`,
  )
  .join('')}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [shop.test] }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo }
spec:
  host: echo
  subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec:
  hosts: [shop.test]
  gateways: [gw]
  http:
    - match: [{ uri: { prefix: /cart }, headers: { x-beta: { exact: '1' } } }]
      rewrite: { uri: /v2 }
      route: [{ destination: { host: echo, subset: v2 } }]
    - match: [{ uri: { prefix: /cart } }]
      route: [{ destination: { host: echo, subset: v1 } }]
`;

function trimmed(text: string): string {
  return text.replaceAll(/ +$/gm, '').trim();
}
