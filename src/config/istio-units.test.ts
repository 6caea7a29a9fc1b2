// Istio's own tables (family `units` of its test data) about labels and the mesh's configuration.
import { describe, test } from 'vitest';
import type { UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { parseDurationMs } from '../model/duration.ts';
import { defaultMeshConfig } from './mesh-config.ts';
import { readMeshConfig } from './mesh-config-reader.ts';
import { effectiveProxyConfig } from './proxy-config.ts';
import type { Finding } from './schema.ts';
import { Checker } from './semantic/checker.ts';
import { checkLabels } from './semantic/rules.ts';

interface WrittenProxyConfig {
  readonly concurrency?: number;
  readonly proxyMetadata?: Readonly<Record<string, string>>;
  readonly terminationDrainDuration?: string;
  readonly tracing?: object;
}

interface LocalityAnswer {
  readonly wantLocality: boolean;
  readonly wantLocEnabled: boolean;
  readonly wantZoneAware: boolean;
  readonly wantZAEnabled: boolean;
}

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/config/labels.InstanceValidate': (
    { tags }: { tags?: Readonly<Record<string, string>> },
    { valid }: { valid: boolean },
  ) => {
    const findings: Finding[] = [];
    checkLabels(tags, new Checker((finding) => void findings.push(finding)));
    return [findings.length === 0, valid];
  },
  'pilot/pkg/model.MergeWithPrecedence': (
    { first, second }: { first: WrittenProxyConfig; second: WrittenProxyConfig },
    { expected }: { expected: WrittenProxyConfig },
  ) => [mergedOf(first, second), settingsOf(expected)],
  'pkg/config/mesh.ApplyMeshConfigLocalityZoneAware': (
    { yaml }: { yaml: string },
    { wantLocality, wantLocEnabled, wantZoneAware, wantZAEnabled }: LocalityAnswer,
  ) => {
    const { localityLbSetting, zoneAwareLbSetting } = readMeshConfig(yaml).meshConfig ?? defaultMeshConfig;
    return [
      [
        true,
        localityLbSetting.enabled,
        zoneAwareLbSetting !== undefined,
        zoneAwareLbSetting?.enabled ?? false,
      ],
      [wantLocality, wantLocEnabled, wantZoneAware, wantZAEnabled],
    ];
  },
};

const tracing = 'ProxyConfig.tracing is read with telemetry';
const known = {
  'model.MergeWithPrecedence: tracing is empty': tracing,
  'model.MergeWithPrecedence: tracing is not default': tracing,
};

/** The mesh says `second`, and the pod's annotation `first`. */
function mergedOf(first: WrittenProxyConfig, second: WrittenProxyConfig): unknown {
  const { meshConfig } = readMeshConfig(JSON.stringify({ defaultConfig: second }));
  const owner = {
    namespace: 'a',
    labels: {},
    annotations: { 'proxy.istio.io/config': JSON.stringify(first) },
  };
  const base = meshConfig?.defaultConfig ?? defaultMeshConfig.defaultConfig;
  const { concurrency, proxyMetadata, terminationDrainDurationMs } = effectiveProxyConfig(
    base,
    '',
    [],
    owner,
  );
  return { concurrency, proxyMetadata, terminationDrainDurationMs, tracing: undefined };
}

function settingsOf({
  concurrency,
  proxyMetadata = {},
  terminationDrainDuration = '5s',
  tracing: collectors,
}: WrittenProxyConfig): unknown {
  return {
    concurrency,
    proxyMetadata,
    terminationDrainDurationMs: parseDurationMs(terminationDrainDuration),
    tracing: collectors,
  };
}

describe.skipIf(unitsFolder === undefined)('istio-testdata: units', () => {
  test('labels, MeshConfig, ProxyConfig (partly C1.03)', (context) => {
    runUnits(context, checks, known);
  });
});
