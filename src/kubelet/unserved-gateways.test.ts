import { expect, test } from 'vitest';
import { configsOfYaml } from '../../test/support/world.ts';
import { formatDiagnostic } from '../config/config.ts';
import { ConfigStore } from '../config/store.ts';
import { unservedGateways } from './unserved-gateways.ts';

const gateway = (more: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec: {listeners: [{name: http, port: 80, protocol: HTTP}], ${more}}
`;
const service = `
apiVersion: v1
kind: Service
metadata: {name: front-istio}
spec: {ports: [{name: http, port: 80}]}
`;

function warnings(...documents: readonly string[]): readonly string[] {
  const store = new ConfigStore();
  store.applyBatch('a.yaml', configsOfYaml(documents.join('---\n'), 'a.yaml'), []);
  return unservedGateways(store, 'istio-system').map(formatDiagnostic);
}

test('unservedGateways: one that asks for a proxy of its own, and has no Service of that name', () => {
  expect(warnings(gateway('gatewayClassName: istio'))).toEqual([
    'a.yaml:5:1: Gateway.gateway.networking.k8s.io default/front: spec.addresses: no proxy is deployed for it yet (there is no Service default/front-istio); to use the ingress gateway, put it into namespace istio-system with addresses: [{type: Hostname, value: istio-ingressgateway}]',
  ]);
  expect(warnings(gateway('gatewayClassName: istio'), service)).toEqual([]);
  expect(warnings(gateway('gatewayClassName: istio, addresses: [{type: Hostname, value: gw}]'))).toEqual([]);
  expect(warnings(gateway('gatewayClassName: other'))).toEqual([]);
});
