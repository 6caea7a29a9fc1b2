// From YAML to what Envoy is told of localities: priorities and weights of endpoints, and the cluster's own setting.
import { expect, test } from 'vitest';
import type { Surroundings } from '../../../test/support/translated.ts';
import { worldAndScope } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import { clusters, endpoints } from '../index.ts';

const name = 'outbound|80||a.com';
const places = ['us/a/1', 'us/a/2', 'us/b/1', 'eu/a/1', 'asia/a/1'];
const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: a }
spec:
  hosts: [a.com]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints:
${places.map((place, index) => `    - { address: 192.0.2.${index + 1}, locality: ${place}, labels: { tier: "${index % 2}" } }`).join('\n')}
---`;
const outlier = 'outlierDetection: { consecutive5xxErrors: 5 }';
const rule = (policy: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a.com, trafficPolicy: { ${policy} } }
---`;
const locality = (setting: string): string => `loadBalancer: { localityLbSetting: { ${setting} } }`;

/** `us/a/1` -> its priority and weight, and whether the cluster weighs localities. */
function chosen(policy: string, surroundings: Surroundings = {}) {
  const { world, scope } = worldAndScope(entry + (policy === '' ? '' : rule(policy)), {
    proxy: { locality: { region: 'us', zone: 'a', subzone: '1' }, labels: { tier: '0' } },
    ...surroundings,
  });
  const cluster = clusters.input(world, scope, name);
  const assignment = endpoints.input(world, scope, name);
  if (cluster === undefined || assignment === undefined) throw new Error(`no ${name}`);
  const { commonLbConfig } = messageToJson(clusters.schema, clusters.build(cluster).message) as {
    commonLbConfig: object;
  };
  const { endpoints: groups = [] } = messageToJson(
    endpoints.schema,
    endpoints.build(assignment).message,
  ) as unknown as {
    endpoints?: readonly {
      locality: { region: string; zone: string; subZone: string };
      priority?: number;
      loadBalancingWeight: number;
    }[];
  };
  const of = (value: (group: (typeof groups)[number]) => number): Record<string, number> =>
    Object.fromEntries(groups.map((group) => [Object.values(group.locality).join('/'), value(group)]));
  return {
    priorities: of(({ priority = 0 }) => priority),
    weights: of(({ loadBalancingWeight }) => loadBalancingWeight),
    isWeighted: 'localityWeightedLbConfig' in commonLbConfig,
  };
}

const same = Object.fromEntries(places.map((place) => [place, 0]));
const nearest = { 'us/a/1': 0, 'us/a/2': 1, 'us/b/1': 2, 'eu/a/1': 3, 'asia/a/1': 3 };

test('localities: who comes first, and with what share (C10.03)', () => {
  // Only what can be lost can be failed over from.
  expect(chosen('')).toMatchObject({ priorities: same, isWeighted: false });
  expect(chosen(locality('failover: [{ from: us, to: eu }]'))).toMatchObject({
    priorities: same,
    isWeighted: false,
  });
  expect(chosen(outlier)).toMatchObject({ priorities: nearest, isWeighted: false });
  expect(chosen(`${outlier}, ${locality('failover: [{ from: us, to: eu }]')}`)).toMatchObject({
    priorities: { ...nearest, 'asia/a/1': 4 },
    isWeighted: true,
  });
  expect(chosen(`${outlier}, ${locality('failoverPriority: [tier]')}`)).toMatchObject({
    priorities: { 'us/a/1': 0, 'us/b/1': 0, 'asia/a/1': 0, 'us/a/2': 1, 'eu/a/1': 1 },
    isWeighted: true,
  });

  // Shares need no outlier detection; whoever has none gets nothing.
  const shares = 'distribute: [{ from: us/a/*, to: { "us/a/*": 80, "eu/*": 20 } }]';
  expect(chosen(locality(shares))).toEqual({
    priorities: { 'us/a/1': 0, 'us/a/2': 0, 'eu/a/1': 0 },
    weights: { 'us/a/1': 40, 'us/a/2': 40, 'eu/a/1': 20 },
    isWeighted: true,
  });

  // Switched off by the rule, or by the mesh where the rule says nothing.
  expect(chosen(`${outlier}, ${locality('enabled: false')}`)).toMatchObject({
    priorities: same,
    isWeighted: false,
  });
  const off: Surroundings = { mesh: { localityLbSetting: { enabled: false } } };
  expect(chosen(outlier, off)).toMatchObject({ priorities: same, isWeighted: false });
  const ofMesh: Surroundings = { mesh: { localityLbSetting: { failover: [{ from: 'us', to: 'eu' }] } } };
  expect(chosen(outlier, ofMesh)).toMatchObject({
    priorities: { ...nearest, 'asia/a/1': 4 },
    isWeighted: true,
  });
});
