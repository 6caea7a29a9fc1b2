import { expect, test } from 'vitest';
import { worldAndScope } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import { clusters, endpoints } from '../index.ts';

const name = 'outbound|80||a.default.svc.cluster.local';

const service = (labels = ''): string => `
apiVersion: v1
kind: Service
metadata: { name: a, labels: { ${labels} } }
spec: { clusterIP: 10.0.0.1, selector: { app: a }, ports: [{ name: http, port: 80 }] }
---`;
const pod = (podName: string, address: string, metadata = '', ready = 'True'): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${podName}, labels: { app: a }${metadata} }
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: ${address}, conditions: [{ type: Ready, status: '${ready}' }] }
---`;
const gone = ", deletionTimestamp: '2026-01-01T00:00:00Z'";
const pods =
  pod('stays', '10.1.0.1') + pod('leaves', '10.1.0.2', gone) + pod('left', '10.1.0.3', gone, 'False');
const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: a-x, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
ports: [{ name: http, port: 80 }]
endpoints:
  - { addresses: [10.1.0.1] }
  - { addresses: [10.1.0.2], conditions: { ready: false, serving: true, terminating: true } }
  - { addresses: [10.1.0.3], conditions: { ready: false, serving: false, terminating: true } }
---`;

/** `address health` of each endpoint that a sidecar is sent. */
function healthOf(yaml: string): readonly string[] {
  const { world, scope } = worldAndScope(yaml);
  return (endpoints.input(world, scope, name)?.endpoints ?? []).map(
    ({ address, health }) => `${address} ${health}`,
  );
}

/** Of the cluster, `override_host_status`. */
function overrides(yaml: string, cluster = name): unknown {
  const { world, scope } = worldAndScope(yaml);
  const input = clusters.input(world, scope, cluster);
  if (input === undefined) throw new Error(`no cluster ${cluster}`);
  const { commonLbConfig } = messageToJson(clusters.schema, clusters.build(input).message) as {
    commonLbConfig: { overrideHostStatus?: unknown };
  };
  return commonLbConfig.overrideHostStatus;
}

test.each(['istio.io/persistent-session: x-cookie', 'istio.io/persistent-session-header: x-session'])(
  'endpoints that are going away stay for a service with sessions, %s (C3.17)',
  (label) => {
    for (const listed of [pods, pods.replaceAll(gone, '') + slice])
      expect(healthOf(service(label) + listed)).toEqual(['10.1.0.1 HEALTHY', '10.1.0.2 DRAINING']);
    const statuses = ['HEALTHY', 'DRAINING', 'UNKNOWN', 'DEGRADED'];
    expect(overrides(service(label) + pods)).toEqual({ statuses });
    const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a, subsets: [{ name: v1, labels: { version: v1 } }] }
---`;
    expect(overrides(service(label) + rule, name.replace('||', '|v1|'))).toBeUndefined();
  },
);

test('endpoints that are going away leave at once without sessions (C3.17, T19)', () => {
  for (const listed of [pods, pods.replaceAll(gone, '') + slice])
    expect(healthOf(service() + listed)).toEqual(['10.1.0.1 HEALTHY']);
  expect(overrides(service() + pods)).toBeUndefined();
});

test('a workload that is labelled as draining counts as going away (C3.17)', () => {
  const labelled = pod('b', '10.1.0.4').replace('app: a }', "app: a, istio.io/draining: 'true' }");
  expect(healthOf(service() + pod('a', '10.1.0.1') + labelled)).toEqual(['10.1.0.1 HEALTHY']);
  expect(healthOf(service('istio.io/persistent-session: c') + labelled)).toEqual(['10.1.0.4 DRAINING']);
});
