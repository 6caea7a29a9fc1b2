// A VirtualService is edited fifty times while requests arrive at 300 a second: none may fail, and the
// traffic must follow every edit.
import type { Agent } from 'node:http';
import { afterAll, describe, expect, test } from 'vitest';
import type { Answer } from './support/http.ts';
import { steadyLoad } from './support/load.ts';
import type { DataPlane, Mesh } from './support/mesh.ts';
import { startMesh } from './support/mesh.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const edits = 50;
const requestsPerSecond = 300;

describe.each<{ dataPlane: DataPlane; network: number }>([
  { dataPlane: 'fairlead', network: 91 },
  { dataPlane: 'envoy', network: 92 },
])('$dataPlane', ({ dataPlane, network }) => {
  let mesh: Mesh | undefined;
  afterAll(async () => {
    await mesh?.stop();
  });

  test.skipIf(dataPlane === 'envoy' && needs('envoy'))(
    'up: fifty edits under 300 requests/s lose no request, and each takes effect (A6.16, A6.19, B4.05)',
    { timeout: 180_000 },
    async () => {
      const running = await startMesh({
        files: { 'apps.yaml': apps, 'route.yaml': route(0) },
        dataPlane,
        network,
      });
      mesh = running;
      const ask = (agent?: Agent): Promise<Answer> =>
        running.fromGateway({ url: 'http://edits.test/', ...(agent && { agent }) });
      await waitFor('the first route', async () => (await ask()).headers['x-edit'] === '0' || undefined);

      const load = steadyLoad(requestsPerSecond, ask);
      const delaysMs: number[] = [];
      for (let edit = 1; edit <= edits; edit += 1) {
        const savedMs = performance.now();
        running.write('route.yaml', route(edit));
        await waitFor(
          `edit ${edit}`,
          () => load.latest()?.headers['x-edit'] === String(edit) || undefined,
          10_000,
          2,
        );
        delaysMs.push(performance.now() - savedMs);
      }
      await load.stop();

      expect(load.failures()).toEqual([]);
      expect(load.sent()).toBeGreaterThan(edits);
      delaysMs.sort((a, b) => a - b);
      console.log(
        `${dataPlane}: ${load.sent()} requests, edit to effect p50 ${delaysMs[edits / 2]?.toFixed(0)} ms, most ${delaysMs.at(-1)?.toFixed(0)} ms`,
      );
    },
  );
});

/** Alternates between two subsets, two rewrites and a header, so that routes and clusters both change. */
function route(edit: number): string {
  const version = edit % 2 === 0 ? 'v1' : 'v2';
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: edits }
spec:
  host: web
  subsets: [{ name: ${version}-${edit}, labels: { version: ${version} } }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: edits }
spec:
  hosts: [edits.test]
  gateways: [gateway]
  http:
    - headers: { response: { set: { x-edit: '${edit}' } } }
      route: [{ destination: { host: web, subset: ${version}-${edit} } }]
`;
}

const deployment = (version: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: { name: web-${version}, namespace: edits }
spec:
  selector: { matchLabels: { app: web, version: ${version} } }
  template:
    metadata: { labels: { app: web, version: ${version} } }
    spec:
      containers:
        - name: echo
          command: [fairlead, x, echo, --quiet]
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1 }`;

const apps = `apiVersion: v1
kind: Namespace
metadata: { name: edits, labels: { istio-injection: enabled } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: edits }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
${deployment('v1')}
---
${deployment('v2')}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: edits }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [edits.test] }]
`;
