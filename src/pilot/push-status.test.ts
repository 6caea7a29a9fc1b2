import { expect, test } from 'vitest';
import { worldAndScope } from '../../test/support/translated.ts';
import { destinationRuleFor } from '../translate/destination-rule.ts';
import { conflictCounts, pushStatus } from './push-status.ts';

const services = (protocolOfB: string) =>
  [
    ['a', 'tcp'],
    ['b', protocolOfB],
  ]
    .map(
      ([name, protocol], index) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, creationTimestamp: '202${index}-01-01T00:00:00Z' }
spec: { clusterIP: 10.0.0.9, selector: { app: x }, ports: [{ name: ${protocol}, port: 80, targetPort: 8080 }] }
`,
    )
    .join('---');

test('pushStatus: listeners that two services ask for, told once for proxies that are alike (C11.05, C2.11)', () => {
  const { world, scope } = worldAndScope(services('http'), { proxy: { labels: { app: 'x' } } });
  const proxies = ['x-1', 'x-2'].map((id) => ({ id, scope }));
  expect(pushStatus(world, proxies)).toEqual({
    pilot_conflict_inbound_listener: {
      'virtualInbound:8080': {
        proxy: 'x-1',
        message: 'Listener=virtualInbound:8080 Accepted=TCP Rejected=HTTP (b.default.svc.cluster.local)',
      },
    },
  });
  expect(conflictCounts(world, proxies)).toEqual({
    pilot_conflict_inbound_listener: 1,
    pilot_conflict_outbound_listener_tcp_over_current_tcp: 0,
    pilot_destrule_subsets: 0,
  });
  const tcp = worldAndScope(services('tcp'), { proxy: { labels: { app: 'x' } } });
  expect(conflictCounts(tcp.world, [{ id: 'x', scope: tcp.scope }])).toEqual({
    pilot_conflict_inbound_listener: 0,
    pilot_conflict_outbound_listener_tcp_over_current_tcp: 1,
    pilot_destrule_subsets: 0,
  });
});

test('pushStatus: a subset that two DestinationRules of a host define is told, and the older one counts (partly C10.01)', () => {
  const rule = (name: string, year: number, version: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, creationTimestamp: '${year}-01-01T00:00:00Z' }
spec: { host: a, subsets: [{ name: v1, labels: { version: ${version} } }] }
`;
  const { world, scope } = worldAndScope(
    [services('tcp'), rule('young', 2002, 'new'), rule('old', 2001, 'old')].join('---'),
  );
  const proxies = [{ id: 'x-1', scope }];
  expect(pushStatus(world, proxies)['pilot_destrule_subsets']).toEqual({
    'a.default.svc.cluster.local': {
      proxy: 'x-1',
      message: 'Duplicate subset v1 found while merging destination rules for a.default.svc.cluster.local',
    },
  });
  expect(conflictCounts(world, proxies)['pilot_destrule_subsets']).toBe(1);
  const found = destinationRuleFor(world, scope, 'a.default.svc.cluster.local');
  expect(found?.subsets.map(({ labels }) => labels)).toEqual([{ version: 'old' }]);
});
