// Tests of what a person sees: each problem once, pods in columns, and what to call first.
import { expect, test } from 'vitest';
import type { Diagnostic } from '../config/config.ts';
import { readText } from '../config/reader.ts';
import { ConfigStore } from '../config/store.ts';
import { entryPoints, formatEntryPoint } from './entry-points.ts';
import type { LocalPod } from './pod.ts';
import { Report } from './report.ts';

function report(): { readonly lines: string[]; readonly report: Report } {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  return { lines, report: new Report({ write, colors: false, monotonicMs: () => 0 }) };
}

const diagnostic: Diagnostic = {
  severity: 'error',
  code: 'x',
  message: 'wrong',
  position: { file: 'a.yaml', line: 1, column: 2 },
  fieldPath: ['spec'],
};

test('Report: a problem is said once, whether the log or the store has it first', () => {
  const { lines, report: shown } = report();
  shown.logger().error('a.yaml:1:2: spec: wrong');
  shown.diagnostics([diagnostic]);
  shown.logger().error('a.yaml:1:2: spec: wrong');
  shown.diagnostics([diagnostic]);
  expect(lines).toEqual(['error: a.yaml:1:2: spec: wrong']);
  shown.diagnostics([]);
  shown.diagnostics([diagnostic]);
  expect(lines.slice(1)).toEqual(['all configuration is good again', 'error: a.yaml:1:2: spec: wrong']);
});

test('Report: lines stand behind the name of their pod, and of their container where there are several', () => {
  const { lines, report: shown } = report();
  const pod = (name: string, containers: number): LocalPod =>
    ({ facts: { name }, containers: Array.from({ length: containers }) }) as unknown as LocalPod;
  shown.line(pod('long-name', 1), 'app', 'one');
  shown.line(pod('a', 1), 'app', 'two');
  shown.line(pod('a', 1), 'istio-proxy', 'three');
  shown.line(pod('b', 2), 'app', 'four');
  expect(lines).toEqual([
    'long-name | one',
    'a         | two',
    'a/istio-proxy | three',
    'b/app         | four',
  ]);
});

test('entryPoints: a host and a path of each VirtualService, HTTPRoute and Ingress at a gateway', () => {
  const store = new ConfigStore();
  const { configs } = readText(
    'a.yaml',
    `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: any }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: bookinfo }
spec:
  hosts: ['*']
  gateways: [any]
  http: [{ match: [{ uri: { exact: /productpage } }], route: [{ destination: { host: productpage } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: simple }
spec: { hosts: [simple.test], gateways: [default/any], http: [{ route: [{ destination: { host: simple } }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: inside }
spec: { hosts: [inside], http: [{ route: [{ destination: { host: inside } }] }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: any }
spec: { gatewayClassName: istio, listeners: [{ name: http, port: 80, protocol: HTTP, hostname: '*.gw.test' }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: api }
spec: { parentRefs: [{ name: any }], rules: [{ matches: [{ path: { value: /v1 } }] }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: mesh }
spec: { parentRefs: [{ group: '', kind: Service, name: inside }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web }
spec: { rules: [{ host: web.test, http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { number: 80 } } } }] } }] }
`,
  );
  store.applyBatch('a.yaml', configs, []);
  expect(entryPoints(store).map((entry) => formatEntryPoint(entry, 'http://localhost:8080'))).toEqual([
    'http://localhost:8080/productpage',
    "curl -H 'Host: simple.test' http://localhost:8080/",
    "curl -H 'Host: www.gw.test' http://localhost:8080/v1",
    "curl -H 'Host: web.test' http://localhost:8080/",
  ]);
});
