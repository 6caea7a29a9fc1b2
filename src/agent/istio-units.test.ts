// Istio's own tables (family `units` of its test data) about the name under which a proxy is known.
import { describe, test } from 'vitest';
import type { Labels } from '../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { appOf, serviceCluster } from './node-identity.ts';

interface TheirMetadata {
  readonly NAMESPACE?: string;
  readonly WORKLOAD_NAME?: string;
  readonly LABELS?: Labels;
}

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/kube/labels.GetApp': (
    { labels }: { labels: Labels },
    { expectedValue, expectedOk }: { expectedValue: string; expectedOk: boolean },
  ) => [appOf(labels), expectedOk ? expectedValue : undefined],
  'pkg/bootstrap.ServiceClusterOrDefault': (
    { metadata }: { metadata: { nodeMetadata: TheirMetadata } },
    { expected }: { expected: string },
  ) => {
    const {
      NAMESPACE: namespace = '',
      WORKLOAD_NAME: workloadName = '',
      LABELS: labels = {},
    } = metadata.nodeMetadata;
    return [serviceCluster({ namespace, workloadName, labels }), expected];
  },
};

const known = {
  'bootstrap.ServiceClusterOrDefault: non-empty name that is not istio-proxy':
    'ProxyConfig.serviceCluster is deprecated by Istio and not read: a proxy is named after its workload',
};

describe.skipIf(unitsFolder === undefined)('istio-testdata: units', () => {
  test('service cluster (partly C1.02)', (context) => {
    runUnits(context, checks, known);
  });
});
