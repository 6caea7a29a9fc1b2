import { expect, test } from 'vitest';
import { configsOfYaml, proxyNode } from '../../../test/support/world.ts';
import { Graph } from '../../collections/index.ts';
import { configKey } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import { ConfigStore } from '../../config/store.ts';
import { proxyScope } from '../../translate/scope.ts';
import { meshCounts } from './mesh-gauges.ts';
import { PilotWorld } from '../world/world.ts';

function counts(yaml: string, pods: readonly Parameters<typeof proxyNode>[0][] = []) {
  const store = new ConfigStore();
  const configs = configsOfYaml(yaml);
  store.applyBatch('test', configs, []);
  const world = new PilotWorld(new Graph(), defaultMeshConfig);
  world.apply(configs.map((after) => ({ key: configKey(after), after })));
  const proxies = pods.map((part, index) => {
    const node = proxyNode(part);
    return { id: `p${index}`, scope: proxyScope(world, node), ipAddresses: node.ipAddresses };
  });
  return meshCounts(store, world, proxies);
}

const service = (name: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: ${name}}, ports: [{name: http, port: 80}]}
`;
const slice = (ready: boolean, pod: string): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, namespace: default, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 80, protocol: TCP}]
endpoints: [{addresses: [10.1.0.1], conditions: {ready: ${ready}}, targetRef: {kind: Pod, name: ${pod}}}]
`;
const pod = `
apiVersion: v1
kind: Pod
metadata: {name: a-0, namespace: default, labels: {app: a}}
spec: {containers: [{name: app, image: a}]}
status: {podIP: 10.1.0.1, phase: Running}
`;

test('meshCounts: endpoint_no_pod, pilot_endpoint_not_ready, pilot_no_ip, pilot_eds_no_instances (partly B4.11)', () => {
  const lost = counts([service('a'), slice(true, 'gone')].join('---'));
  expect(lost).toMatchObject({ endpoint_no_pod: 1, pilot_eds_no_instances: 1 });
  const own = { labels: { app: 'a' }, ipAddresses: ['10.1.0.1'] };
  const unready = counts([service('a'), slice(false, 'a-0'), pod].join('---'), [
    own,
    { labels: { app: 'client' }, ipAddresses: ['10.1.0.2'] },
  ]);
  expect(unready).toMatchObject({
    endpoint_no_pod: 0,
    pilot_endpoint_not_ready: 1,
    pilot_no_ip: 1,
    pilot_eds_no_instances: 0,
  });
  expect(counts([service('a'), slice(true, 'a-0'), pod].join('---'), [own])).toMatchObject({
    pilot_endpoint_not_ready: 0,
    pilot_no_ip: 0,
  });
});

test('meshCounts: pilot_vservice_dup_domain, pilot_duplicate_envoy_clusters, DNS without endpoints (partly B4.11)', () => {
  const virtualService = (name: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: default}
spec: {hosts: [a, ${name}.example.com], http: [{route: [{destination: {host: a}}]}]}
`;
  const entry = (name: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: ${name}}
spec:
  hosts: [same.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  workloadSelector: {labels: {app: nobody}}
`;
  const yaml = [service('a'), virtualService('x'), virtualService('y'), entry('one'), entry('two')];
  expect(counts(yaml.join('---'), [{}])).toMatchObject({
    pilot_vservice_dup_domain: 1,
    pilot_duplicate_envoy_clusters: 1,
    pilot_dns_cluster_without_endpoints: 2,
  });
  expect(counts([service('a'), virtualService('x')].join('---'), [{}])).toMatchObject({
    pilot_vservice_dup_domain: 0,
    pilot_duplicate_envoy_clusters: 0,
    pilot_dns_cluster_without_endpoints: 0,
  });
});
