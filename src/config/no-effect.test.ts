import { expect, test } from 'vitest';
import { formatDiagnostic } from './config.ts';
import { readText } from './reader.ts';

function warningsOf(text: string): { readonly isTaken: boolean; readonly warnings: readonly string[] } {
  const { configs, diagnostics } = readText('f.yaml', text);
  return { isTaken: configs.length > 0, warnings: diagnostics.map(formatDiagnostic) };
}

test('warnOfNoEffect: fields of a Service that choose endpoints are named, and the Service is served', () => {
  const service = (spec: string, metadata = ''): string =>
    `apiVersion: v1\nkind: Service\nmetadata: {name: a${metadata}}\nspec:\n  ports: [{port: 80}]\n${spec}`;
  expect(
    warningsOf(
      service(
        '  internalTrafficPolicy: Local\n  trafficDistribution: PreferClose\n  sessionAffinity: ClientIP\n',
        ', annotations: {networking.istio.io/traffic-distribution: PreferClose}',
      ),
    ),
  ).toEqual({
    isTaken: true,
    warnings: [
      'f.yaml:8:3: Service default/a: spec.sessionAffinity: has no effect, as in Istio: the proxy balances each request',
    ],
  });
  expect(warningsOf(service('  internalTrafficPolicy: Cluster\n  sessionAffinity: None\n')).warnings).toEqual(
    [],
  );
});

test('warnOfNoEffect: labels of ambient mode', () => {
  const namespace = (mode: string): string =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio.io/dataplane-mode: ${mode}}}\n`;
  expect(warningsOf(namespace('ambient'))).toEqual({
    isTaken: true,
    warnings: ['f.yaml:3:30: Namespace a: metadata.labels["istio.io/dataplane-mode"]: has no effect yet'],
  });
  expect(warningsOf(namespace('none')).warnings).toEqual([]);
});

test('warnOfNoEffect: annotations of pods and of their templates', () => {
  const container = 'containers: [{name: c, command: [x]}]';
  expect(
    warningsOf(
      `apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "1", other: x}}\nspec: {${container}}\n`,
    ),
  ).toEqual({
    isTaken: true,
    warnings: [
      'f.yaml:3:35: Pod default/a: metadata.annotations["traffic.sidecar.istio.io/excludeOutboundPorts"]: has no effect yet: connections are not captured transparently',
    ],
  });
  expect(
    warningsOf(
      `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    metadata:\n      annotations:\n        proxy.istio.io/overrides: "{}"\n    spec: {${container}}\n`,
    ),
  ).toEqual({
    isTaken: true,
    warnings: [
      'f.yaml:8:9: Deployment default/a: spec.template.metadata.annotations["proxy.istio.io/overrides"]: has no effect yet',
    ],
  });
});

test('warnOfNoEffect: what would slow or stop a rollout', () => {
  const deployment = (spec: string): string =>
    `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n${spec}  template: {spec: {containers: [{name: c, command: [x]}]}}\n`;
  expect(warningsOf(deployment('  paused: true\n  minReadySeconds: 5\n')).warnings).toEqual([
    'f.yaml:5:3: Deployment default/a: spec.paused: has no effect yet',
    'f.yaml:6:3: Deployment default/a: spec.minReadySeconds: has no effect yet',
  ]);
  expect(warningsOf(deployment('  paused: false\n  minReadySeconds: 0\n')).warnings).toEqual([]);
});
