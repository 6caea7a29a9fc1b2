import { expect, test } from 'vitest';
import { formatDiagnostic } from './config.ts';
import { istioKinds } from './istio-schemas.ts';
import { readText } from './reader.ts';
import type { Schema } from './schema.ts';
import { unsupportedFields } from './unsupported.ts';

test('unsupportedFields: every path is a field of its kind, so that no line outlives its field', () => {
  const strangers: string[] = [];
  for (const [kind, refusals] of Object.entries(unsupportedFields)) {
    const schema = istioKinds.get(`networking.istio.io/${kind}`);
    for (const { path } of refusals)
      if (schema === undefined || !hasField(schema.spec, path.split('.').slice(1)))
        strangers.push(`${kind} ${path}`);
  }
  expect(strangers).toEqual([]);
});

test('readText: the fields of this slice are taken, each of the others is refused by name', () => {
  const spec = (kind: string, text: string): string[] =>
    readText(
      'f.yaml',
      `apiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: {name: x}\nspec: ${text}\n`,
    ).diagnostics.map((one) => formatDiagnostic(one).replace(/^f\.yaml:[\d:]+ \w+ default\/x: /, ''));
  expect(
    spec(
      'DestinationRule',
      '{host: a, trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {interval: 1s}, tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}]}, subsets: [{name: v1, labels: {version: v1}}]}',
    ),
  ).toEqual([]);
  expect(
    spec(
      'DestinationRule',
      '{host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}, warmup: {duration: 1s}}, connectionPool: {http: {http2KeepAlive: {interval: 1s, timeout: 1s}}}, tls: {mode: SIMPLE}, proxyProtocol: {version: V1}}}',
    ),
  ).toEqual([]);
  expect(
    spec(
      'Gateway',
      '{servers: [{hosts: ["*"], port: {number: 80, name: http, protocol: HTTP}, tls: {httpsRedirect: true}}]}',
    ),
  ).toEqual([]);
  expect(
    spec('Sidecar', '{egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}'),
  ).toEqual([]);
  expect(
    spec(
      'Sidecar',
      '{ingress: [{port: {number: 80, protocol: HTTP, name: http}}], egress: [{port: {number: 80, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./*"]}]}',
    ),
  ).toEqual([]);
});

function hasField(schema: Schema, path: readonly string[]): boolean {
  const [head, ...rest] = path;
  if (head === undefined) return true;
  if (schema.type === 'array') return head === '*' && hasField(schema.items, rest);
  if (schema.type === 'map') return head === '*' && hasField(schema.values, rest);
  if (schema.type !== 'object') return false;
  const field = schema.properties[head];
  return field !== undefined && hasField(field, rest);
}
