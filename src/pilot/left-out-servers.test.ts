import { expect, test } from 'vitest';
import { gatewayPod } from '../../test/support/translated.ts';
import { configsOfYaml, proxyNode, worldOf } from '../../test/support/world.ts';
import { ConfigStore } from '../config/store.ts';
import { proxyScope } from '../translate/scope.ts';
import { LeftOutServers, countByGateway, leftOutServers } from './left-out-servers.ts';

const gateway = (name: string, protocol: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name} }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: p, protocol: ${protocol} }, hosts: ['*'] }]
`;

function state(...protocols: readonly string[]) {
  const configs = configsOfYaml(
    protocols.map((protocol, index) => gateway(`gw-${index}`, protocol)).join('---'),
    'gw.yaml',
  );
  const world = worldOf(configs);
  const store = new ConfigStore();
  void store.apply([{ source: 'gw.yaml', upserts: configs, deletes: [] }]);
  const scope = proxyScope(world, proxyNode(gatewayPod));
  return { world, store, proxies: ['a', 'b'].map((id) => ({ id, scope })) };
}

test('LeftOutServers: what conflicts is told once with its place, and again when it comes back (C7.03)', () => {
  const conflict = state('HTTP', 'TCP');
  const fine = state('HTTP', 'HTTP');
  const servers = new LeftOutServers();
  const line =
    'Gateway default/gw-1 spec.servers[0] at gw.yaml:14:13 is left out: port 80 is HTTP already, it cannot be TCP, too';
  const news = ({ store, world, proxies }: typeof conflict): readonly string[] =>
    servers.news(store, world, proxies);
  expect([conflict, conflict, fine, conflict].map(news)).toEqual([[line], [], [], [line]]);
  expect(leftOutServers(conflict.world, [])).toEqual([]);
});

test('countByGateway: the labels of pilot_total_rejected_configs', () => {
  const { world, proxies } = state('HTTP', 'TCP', 'TCP');
  expect(countByGateway(leftOutServers(world, proxies))).toEqual([
    { labels: { type: 'gateway', name: 'default/gw-1' }, value: 1 },
    { labels: { type: 'gateway', name: 'default/gw-2' }, value: 1 },
  ]);
});
