import { expect, test } from 'vitest';
import { worldAndScope } from '../../test/support/translated.ts';
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
  });
  const tcp = worldAndScope(services('tcp'), { proxy: { labels: { app: 'x' } } });
  expect(conflictCounts(tcp.world, [{ id: 'x', scope: tcp.scope }])).toEqual({
    pilot_conflict_inbound_listener: 0,
    pilot_conflict_outbound_listener_tcp_over_current_tcp: 1,
  });
});
