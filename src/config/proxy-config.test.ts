// How ProxyConfig objects, annotation and MeshConfig are merged: Istio's own cases, and ours.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import type { ProxyConfigConfig } from './config.ts';
import { defaultProxyConfig } from './mesh-config.ts';
import type { ProxyOwner } from './proxy-config.ts';
import { effectiveProxyConfig, readProxySettings, toldProxyConfig } from './proxy-config.ts';
import { readText } from './reader.ts';

const folder = istioTestdata('units');
const groups = ['pilot/pkg/model.EffectiveProxyConfig', 'pilot/pkg/model.ConvertToMeshConfigProxyConfig'];

interface Settings {
  readonly concurrency?: number;
  readonly proxyMetadata?: Readonly<Record<string, string>>;
  readonly image?: { readonly imageType: string };
}

interface Case {
  readonly name: string;
  readonly group: string;
  readonly heldOut: boolean;
  readonly in: {
    readonly configs?: readonly object[];
    readonly pc?: object;
    readonly defaultConfig?: Settings;
    readonly proxy?: {
      readonly NAMESPACE: string;
      readonly LABELS?: Readonly<Record<string, string>>;
      readonly ANNOTATIONS?: Readonly<Record<string, string>>;
    };
  };
  readonly expected?: { readonly expected: Settings | null };
}

function configsOf(text: string): readonly ProxyConfigConfig[] {
  const { configs, diagnostics } = readText('x.yaml', text);
  expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([]);
  return configs as readonly ProxyConfigConfig[];
}

test.skipIf(folder === undefined)('effectiveProxyConfig: as Istio’s tables have it (C1.03)', (context) => {
  const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as { cases: Case[] };
  const ours = cases.filter(({ group, heldOut }) => !heldOut && groups.includes(group));
  let passed = 0;
  for (const { name, in: given, expected } of ours) {
    const single = {
      apiVersion: 'networking.istio.io/v1beta1',
      kind: 'ProxyConfig',
      metadata: { name: 'x' },
    };
    const objects = given.pc === undefined ? (given.configs ?? []) : [{ ...single, spec: given.pc }];
    const text = objects.map((each) => stringify(each)).join('---\n');
    const times = { 'now+3600s': '2024-01-01T01:00:00Z', now: '2024-01-01T00:00:00Z' };
    const configs = configsOf(
      text.replaceAll(
        /creationTimestamp: (\S+)/g,
        (_, time: keyof typeof times) => `creationTimestamp: ${times[time]}`,
      ),
    );
    const owner: ProxyOwner = {
      namespace: given.proxy?.NAMESPACE ?? 'default',
      labels: given.proxy?.LABELS ?? {},
      annotations: given.proxy?.ANNOTATIONS ?? {},
    };
    const { concurrency, proxyMetadata, imageType } = effectiveProxyConfig(
      { ...defaultProxyConfig, ...given.defaultConfig },
      'istio-system',
      configs,
      owner,
    );
    const wanted = expected?.expected ?? {};
    expect({ concurrency, proxyMetadata, imageType }, name).toEqual({
      concurrency: wanted.concurrency,
      proxyMetadata: wanted.proxyMetadata ?? {},
      imageType: wanted.image?.imageType,
    });
    passed++;
  }
  reportFamily(context, { family: 'units', passed, total: ours.length });
});

function proxyConfig(name: string, namespace: string, spec: string): string {
  return `apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: { name: ${name}, namespace: ${namespace} }\nspec: ${spec}\n---\n`;
}

const owner: ProxyOwner = { namespace: 'shop', labels: { app: 'web' }, annotations: {} };

test('effectiveProxyConfig: each layer over the ones before, metadata merged (C1.03)', () => {
  const layers = [
    proxyConfig('root', 'istio-system', '{ concurrency: 2, environmentVariables: { A: root, B: root } }'),
    proxyConfig('wide', 'shop', '{ environmentVariables: { B: wide, C: wide } }'),
    proxyConfig('other', 'shop', '{ selector: { matchLabels: { app: db } }, concurrency: 9 }'),
    proxyConfig('empty', 'shop', '{ selector: { matchLabels: {} }, concurrency: 8 }'),
    proxyConfig(
      'own',
      'shop',
      '{ selector: { matchLabels: { app: web } }, environmentVariables: { D: own } }',
    ),
  ];
  const mesh = { ...defaultProxyConfig, concurrency: 1, proxyMetadata: { Z: 'mesh' } };
  const annotations = { 'proxy.istio.io/config': 'proxyMetadata: { C: pod, D: pod }\ndrainDuration: 7s\n' };
  const merged = effectiveProxyConfig(mesh, 'istio-system', configsOf(layers.join('')), {
    ...owner,
    annotations,
  });
  expect(merged).toEqual({
    ...defaultProxyConfig,
    concurrency: 2,
    drainDurationMs: 7000,
    proxyMetadata: { Z: 'mesh', A: 'root', B: 'wide', C: 'pod', D: 'own' },
  });
  const reversed = configsOf(layers.toReversed().join(''));
  expect(effectiveProxyConfig(mesh, 'istio-system', reversed, { ...owner, annotations })).toEqual(merged);
});

test('effectiveProxyConfig: in the root namespace its own wide one counts once, selectors there for its pods', () => {
  const configs = configsOf(
    proxyConfig('wide', 'istio-system', '{ concurrency: 2 }') +
      proxyConfig('own', 'istio-system', '{ selector: { matchLabels: { app: web } }, concurrency: 5 }'),
  );
  const of = (namespace: string) =>
    effectiveProxyConfig(defaultProxyConfig, 'istio-system', configs, { ...owner, namespace });
  expect(of('istio-system').concurrency).toBe(5);
  expect(of('shop').concurrency).toBe(2);
});

test('readProxySettings: only what stands there is said; what is wrong says nothing', () => {
  expect(readProxySettings('{ "concurrency": 5 }').settings).toEqual({ concurrency: 5 });
  expect(readProxySettings('').settings).toEqual({});
  const { settings, findings } = readProxySettings('concurency: 5');
  expect(settings).toEqual({});
  expect(findings.map(({ fieldPath, message }) => `${fieldPath.join('.')}: ${message}`)).toEqual([
    'concurency: unknown field "concurency"; did you mean concurrency?',
  ]);
  expect(readProxySettings('a: [').findings.length).toBeGreaterThan(0);
  expect(readProxySettings('just text').settings).toEqual({});
});

test('checkProxyConfigAnnotation: a mistake in it is told at the annotation', () => {
  const pod = (text: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    proxy.istio.io/config: '${text}'\nspec: { containers: [{ name: app, image: x }] }\n`;
  const said = (text: string): readonly string[] =>
    readText('x.yaml', pod(text)).diagnostics.map(
      ({ severity, position, message }) => `${severity} ${position.line}: ${message}`,
    );
  expect(said('{ concurrency: 2 }')).toEqual([]);
  expect(said('{ concurrency: many }')).toEqual([
    'error 6: concurrency: must be an integer from 0 to 2147483647, not "many"',
  ]);
});

test('toldProxyConfig: a pod’s own headers and topology are told; what is the mesh’s is not', () => {
  const told = (text: string): unknown => {
    const annotations = { 'proxy.istio.io/config': text };
    const own = effectiveProxyConfig(defaultProxyConfig, 'istio-system', [], { ...owner, annotations });
    return toldProxyConfig(own, defaultProxyConfig);
  };
  expect(told('concurrency: 2')).toBeUndefined();
  expect(told('proxyHeaders: { server: { value: pod } }')).toEqual({
    gatewayTopology: { numTrustedProxies: 0, forwardClientCertDetails: 'SANITIZE_SET' },
    proxyHeaders: { server: { value: 'pod' } },
  });
  expect(told('gatewayTopology: { numTrustedProxies: 1 }')).toEqual({
    gatewayTopology: { numTrustedProxies: 1, forwardClientCertDetails: 'SANITIZE_SET' },
  });
});
