import { expect, test } from 'vitest';
import { worldOfYaml } from '../../test/support/world.ts';
import { readMeshNetworks } from '../config/mesh-networks.ts';
import { networkOf } from './networks.ts';

const service = (spec: string, more = '', status = ''): string => `
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system${more}}
spec: {clusterIP: 10.96.0.8, ports: [{name: tls, port: 15443, nodePort: 31443}, {name: http, port: 80}], ${spec}}
${status}
---`;
const label = ', labels: {topology.istio.io/network: n1}';
const status = 'status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: gw.example.com}]}}';

function gateways(yaml: string, networks = {}): readonly string[] {
  return worldOfYaml(yaml, { networks })
    .networkGateways()
    .map(({ network, address, port, clusterId }) => `${network} ${address}:${port} ${clusterId}`.trim());
}

test('networkGateways: labelled Services at their outer addresses, and those that MeshNetworks name (C3.18)', () => {
  expect(gateways(service('type: LoadBalancer', label, status))).toEqual([
    'n1 192.0.2.1:15443 Kubernetes',
    'n1 gw.example.com:15443 Kubernetes',
  ]);
  expect(gateways(service('externalIPs: [192.0.2.9]', label))).toEqual(['n1 192.0.2.9:15443 Kubernetes']);
  expect(gateways(service('type: LoadBalancer', '', status))).toEqual([]);
  const port = label.replace('}', ', networking.istio.io/gatewayPort: "80"}');
  expect(gateways(service('externalIPs: [192.0.2.9]', port))).toEqual(['n1 192.0.2.9:80 Kubernetes']);
  expect(gateways(service('externalIPs: [192.0.2.9]', port.replace('80', '81')))).toEqual([]);
  const hostname = 'gw.istio-system.svc.cluster.local';
  const networks = {
    n2: {
      endpoints: [{ fromRegistry: 'Kubernetes' }],
      gateways: [
        { registryServiceName: hostname, port: 443 },
        { address: '192.0.2.2', port: 15_443 },
      ],
    },
    n3: {
      endpoints: [{ fromRegistry: 'elsewhere' }],
      gateways: [{ registryServiceName: hostname, port: 1 }],
    },
  };
  expect(gateways(service('externalIPs: [192.0.2.9]'), networks)).toEqual([
    'n2 192.0.2.2:15443',
    'n2 192.0.2.9:443 Kubernetes',
  ]);
});

test('networkGateways: a NodePort Service stands at the nodes that its annotation selects (C3.18)', () => {
  const node = (name: string, ip: string, zone: string): string => `
apiVersion: v1
kind: Node
metadata: {name: ${name}, labels: {zone: ${zone}}}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}, {type: ExternalIP, address: ${ip}}]}
---`;
  const nodes = node('n-1', '192.0.2.11', 'a') + node('n-2', '192.0.2.12', 'b');
  const at = (selector: string) =>
    gateways(
      nodes +
        service('type: NodePort', `${label}, annotations: {traffic.istio.io/nodeSelector: '${selector}'}`),
    );
  expect(at('{}')).toEqual(['n1 192.0.2.11:31443 Kubernetes', 'n1 192.0.2.12:31443 Kubernetes']);
  expect(at('{"zone": "b"}')).toEqual(['n1 192.0.2.12:31443 Kubernetes']);
  expect(at('nonsense')).toEqual([]);
});

test('networkOf: the label, the cluster’s, the registry’s, the range’s', () => {
  const networks = {
    ranged: { endpoints: [{ fromCidr: '10.1.0.0/16' }], gateways: [] },
    registered: { endpoints: [{ fromRegistry: 'c1' }], gateways: [] },
  };
  const rules = { ofCluster: (id: string) => (id === 'c2' ? 'system' : ''), networks };
  expect(networkOf('own', '10.1.2.3', 'c2', rules)).toBe('own');
  expect(networkOf('', '10.1.2.3', 'c2', rules)).toBe('system');
  expect(networkOf('', '10.1.2.3', 'c1', rules)).toBe('registered');
  expect(networkOf('', '10.1.2.3', 'c3', rules)).toBe('ranged');
  expect(networkOf('', '10.2.2.3', 'c3', rules)).toBe('');
  expect(networkOf('', 'fd00::1', 'c3', rules)).toBe('');
});

test('networkOf: the root namespace’s label names the network of the cluster’s Pods', () => {
  const world = worldOfYaml(`
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: n9}}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {clusterIP: 10.96.0.7, selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
spec: {containers: [{name: app}]}
status: {phase: Running, podIP: 10.1.0.11}
`);
  const [endpoint] = world.endpoints('a.default.svc.cluster.local', 80);
  expect(endpoint?.network).toBe('n9');
  expect(endpoint?.labels['topology.istio.io/network']).toBe('n9');
});

test('readMeshNetworks: each mistake is named', () => {
  const complaints = (text: string) =>
    readMeshNetworks(text).findings.map(({ fieldPath, message }) => `${fieldPath.join('.')}: ${message}`);
  expect(
    complaints(
      'networks: {n: {endpoints: [{fromCidr: 10.0.0.0/8}], gateways: [{address: 1.1.1.1, port: 15443}]}}',
    ),
  ).toEqual([]);
  expect(complaints('networks: {n: {endpoints: [{fromCidr: x}], gateways: [{port: 70000}]}}')[0]).toContain(
    'networks.n.gateways.0.port',
  );
  expect(complaints('networks: {n: {endpoints: [{fromCidr: x}]}}')).toEqual([
    'networks.n.endpoints.0.fromCidr: "x" is not a range of addresses, such as 10.0.0.0/8',
  ]);
  expect(complaints('networks: {n: {gateways: [{port: 15443}]}}')).toEqual([
    'networks.n.gateways.0: exactly one of address and registryServiceName is needed',
  ]);
  expect(complaints('network: {}')[0]).toContain('did you mean networks?');
});
