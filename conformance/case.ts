// The form of a conformance case: configuration and workloads, then calls and what must come of them.
// One case file runs on every target: the matchers alone, our proxy, and stock Envoy.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';

export interface ConformanceCase {
  /** The file's name without its ending. */
  readonly name: string;
  /** Rows of the acceptance inventory that it shows, such as `A5.08`. */
  readonly rows: readonly string[];
  readonly about: string;
  /** The case's own namespace; `NAMESPACE` in its texts. */
  readonly namespace: string;
  /** Kubernetes and Istio YAML: the case's own, and what `workloads` and `gatewayHosts` stand for. */
  readonly config: string;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly name: string;
  /** `gateway`, or the app label of the pod whose sidecar sends the request. */
  readonly from: string;
  readonly request: CaseRequest;
  /** How often the request is sent; all answers must be as expected. Default 1. */
  readonly times: number;
  readonly expect: Expectation;
}

export interface CaseRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A text that must be equal, a `/pattern/` that must match, or null: must be absent. */
export type TextExpectation = string | number | null;

export interface Expectation {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, TextExpectation>>;
  readonly body?: TextExpectation;
  /** What the echo server that answered saw: `path`, `method`, `version`, `pod`, `body`, and `headers.<name>`. */
  readonly seen?: Readonly<Record<string, TextExpectation>>;
  /** Of many answers, the share (lowest, highest) whose `seen.version` or status is the key. */
  readonly shares?: Readonly<Record<string, readonly [number, number]>>;
  /** At least and at most this many milliseconds. */
  readonly durationMs?: readonly [number, number];
  /** What the matchers must decide, without any proxy. */
  readonly decision?: Decision;
}

export interface Decision {
  /** The cluster, or the names of all weighted clusters with their weights. */
  readonly cluster?: string | Readonly<Record<string, number>>;
  readonly virtualHost?: string;
  readonly path?: string;
  readonly host?: string;
  readonly directStatus?: number;
  readonly redirect?: string;
  /** `route_not_found` and the like. */
  readonly notRouted?: boolean;
}

/** Reads every case of `folder`, sorted by name. Throws where a case is malformed, naming the file and the field. */
export function readCases(folder: string): ConformanceCase[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => readCase(join(folder, file)));
}

function readCase(file: string): ConformanceCase {
  const raw: unknown = parse(readFileSync(file, 'utf8'));
  const fail = (what: string): never => {
    throw new Error(`${file}: ${what}`);
  };
  if (!isRecord(raw)) return fail('not a map');
  const allowed = ['rows', 'about', 'workloads', 'gatewayHosts', 'config', 'steps'];
  for (const field of Object.keys(raw)) if (!allowed.includes(field)) fail(`unknown field ${field}`);
  const name = basename(file, '.yaml');
  const namespace = `case-${name}`;
  const { rows, about, workloads = {}, gatewayHosts = [], config = '', steps } = raw;
  if (!Array.isArray(rows) || rows.length === 0) return fail('rows: at least one inventory row');
  if (typeof about !== 'string') return fail('about: a sentence');
  if (typeof config !== 'string') return fail('config: YAML text');
  if (!isRecord(workloads)) return fail('workloads: a map from app label to {versions, port}');
  if (!Array.isArray(gatewayHosts)) return fail('gatewayHosts: a list of hosts');
  if (!Array.isArray(steps) || steps.length === 0) return fail('steps: at least one');
  const substituted = (text: string): string => text.replaceAll('NAMESPACE', namespace);
  return {
    name,
    rows: rows.map(String),
    about,
    namespace,
    config: [
      namespaceYaml(
        namespace,
        steps.some((step) => isRecord(step) && step['from'] !== undefined),
      ),
      ...Object.entries(workloads).map(([app, workload]) => workloadYaml(namespace, app, workload)),
      ...(gatewayHosts.length > 0
        ? [
            gatewayYaml(
              namespace,
              gatewayHosts.map((host) => substituted(String(host))),
            ),
          ]
        : []),
      substituted(config),
    ].join('\n---\n'),
    steps: steps.map((step, index) => readStep(step, `${file}: steps[${index}]`, substituted)),
  };
}

function readStep(raw: unknown, at: string, substituted: (text: string) => string): Step {
  const text = JSON.stringify(raw);
  const step: unknown = JSON.parse(substituted(text));
  if (!isRecord(step)) throw new Error(`${at}: not a map`);
  const allowed = ['name', 'from', 'request', 'times', 'expect'];
  for (const field of Object.keys(step))
    if (!allowed.includes(field)) throw new Error(`${at}: unknown field ${field}`);
  const { name, from, request, times, expect } = step;
  if (typeof name !== 'string') throw new Error(`${at}.name: a sentence`);
  if (!isRecord(request) || typeof request['url'] !== 'string') throw new Error(`${at}.request.url: a URL`);
  if (!isRecord(expect)) throw new Error(`${at}.expect: a map`);
  const known = ['status', 'headers', 'body', 'seen', 'shares', 'durationMs', 'decision'];
  for (const field of Object.keys(expect)) {
    if (!known.includes(field)) throw new Error(`${at}.expect: unknown field ${field}`);
  }
  return {
    name,
    from: typeof from === 'string' ? from : 'gateway',
    request: {
      method: typeof request['method'] === 'string' ? request['method'] : 'GET',
      url: request['url'],
      headers: isRecord(request['headers'])
        ? Object.fromEntries(Object.entries(request['headers']).map(([key, value]) => [key, String(value)]))
        : {},
      ...(typeof request['body'] === 'string' && { body: request['body'] }),
    },
    times: typeof times === 'number' ? times : 1,
    expect,
  };
}

/** Sidecars cost a process a pod: only the cases in which a pod sends requests have them. */
function namespaceYaml(namespace: string, injected: boolean): string {
  return `apiVersion: v1
kind: Namespace
metadata:
  name: ${namespace}
  labels: { istio-injection: ${injected ? 'enabled' : 'disabled'} }`;
}

/** A Service `app`, and one Deployment of echo servers for each version. */
function workloadYaml(namespace: string, app: string, workload: unknown): string {
  const { versions = ['v1'], port = 80, portName = 'http', args = [] } = isRecord(workload) ? workload : {};
  const service = `apiVersion: v1
kind: Service
metadata: { name: ${app}, namespace: ${namespace} }
spec:
  selector: { app: ${app} }
  ports: [{ name: ${String(portName)}, port: ${String(port)}, targetPort: 8080 }]`;
  const deployments = (versions as readonly string[]).map(
    (version) => `apiVersion: apps/v1
kind: Deployment
metadata: { name: ${app}-${version}, namespace: ${namespace} }
spec:
  replicas: 1
  selector: { matchLabels: { app: ${app}, version: ${version} } }
  template:
    metadata: { labels: { app: ${app}, version: ${version} } }
    spec:
      containers:
        - name: echo
          command: ${JSON.stringify(['fairlead', 'x', 'echo', '--quiet', ...(args as readonly string[])])}
          env: [{ name: VERSION, value: ${version} }]
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1 }`,
  );
  return [service, ...deployments].join('\n---\n');
}

function gatewayYaml(namespace: string, hosts: readonly string[]): string {
  return `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: ${namespace} }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ${JSON.stringify(hosts)} }]`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
