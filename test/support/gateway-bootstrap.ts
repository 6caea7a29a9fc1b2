// The bootstrap of an ingress gateway on a loopback address of its own, for tests and bench scenarios.
import { writeFileSync } from 'node:fs';
import { renderBootstrap } from '../../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../../src/agent/node-identity.ts';

/** Writes the file that our proxy and stock Envoy read alike. */
export function writeGatewayBootstrap(file: string, podName: string, address: string, xdsPort: number): void {
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      type: 'router',
      ipAddresses: [address],
      podName,
      namespace: 'istio-system',
      labels: { app: 'istio-ingressgateway', istio: 'ingressgateway' },
      workloadName: 'istio-ingressgateway',
      interception: { mode: 'loopback', httpProxyPort: 0, gatewayBinds: [] },
    },
    discovery: { address: '127.0.0.1', port: xdsPort },
  });
  writeFileSync(file, JSON.stringify(bootstrap));
}
