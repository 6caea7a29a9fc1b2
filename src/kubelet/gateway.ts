// The ingress gateway that comes with a mesh: a Deployment and a Service as Istio's charts make them, unless
// the user's own YAML brings a gateway.
import type { Config, Position } from '../config/config.ts';
import type { DeploymentSpec, KubeServiceSpec } from '../config/kube-types.ts';
import type { ConfigStore } from '../config/store.ts';
import type { GatewayBind } from '../model/proxy-node.ts';
import { labelsMatch } from '../model/labels.ts';
import type { Workload } from './workloads.ts';

export const gatewayName = 'istio-ingressgateway';

/** Where the program's own objects stand, instead of a file. */
const builtInPosition: Position = { file: '<built in>', line: 1, column: 1 };

const gatewayLabels = { app: gatewayName, istio: 'ingressgateway' };

/** The Deployment of the built-in gateway. */
export function builtInGateway(rootNamespace: string): Config<DeploymentSpec> {
  return {
    ...builtIn('apps', 'Deployment', rootNamespace),
    spec: {
      replicas: 1,
      selector: { matchLabels: gatewayLabels },
      template: {
        metadata: {
          labels: { ...gatewayLabels, 'sidecar.istio.io/inject': 'true' },
          annotations: { 'inject.istio.io/templates': 'gateway' },
        },
        spec: {
          serviceAccountName: `${gatewayName}-service-account`,
          containers: [
            {
              name: 'istio-proxy',
              image: 'auto',
              ports: [15021, 8080, 8443, 15090].map((containerPort) => ({ containerPort, protocol: 'TCP' })),
            },
          ],
        },
      },
    },
  };
}

/** Its Service, with the ports of Istio's chart. */
export function builtInGatewayService(rootNamespace: string): Config<KubeServiceSpec> {
  return {
    ...builtIn('', 'Service', rootNamespace),
    spec: {
      type: 'LoadBalancer',
      selector: gatewayLabels,
      ports: [
        { name: 'status-port', port: 15021, targetPort: 15021, protocol: 'TCP' },
        // Istio's chart calls it http2; the embedded proxy speaks HTTP/1.1 to upstreams until its HTTP/2 is built.
        { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' },
        { name: 'https', port: 443, targetPort: 8443, protocol: 'TCP' },
      ],
    },
    // This machine is the load balancer.
    status: { loadBalancer: { ingress: [{ ip: '127.0.0.1' }] } },
  };
}

/** Whether the user's own objects bring a gateway, so that the built-in one stays away. */
export function bringsGateway(workloads: readonly Workload[]): boolean {
  return workloads.some((workload) => workload.isGateway);
}

/**
 * The addresses of this machine on which a gateway takes what comes for port 80: the target port is
 * that of the Service in front of it, 8080 where no Service says another.
 */
export function gatewayBinds(
  hostAddresses: readonly string[],
  hostPort: number,
  workload: Workload,
  store: ConfigStore,
): GatewayBind[] {
  const labels = workload.template.metadata?.labels ?? {};
  const targets = store
    .list('Service')
    .filter(({ namespace }) => namespace === workload.config.namespace)
    .flatMap(({ spec }) => {
      const { selector, ports = [] } = spec as KubeServiceSpec;
      return selector !== undefined && labelsMatch(selector, labels) ? ports : [];
    })
    .filter(({ port }) => port === 80)
    .map(({ port, targetPort = port }) => targetPort);
  const targetPort = targets.find((port) => typeof port === 'number') ?? 8080;
  return hostAddresses.map((address) => ({ address, port: hostPort, targetPort }));
}

function builtIn(group: string, kind: string, namespace: string) {
  return {
    group,
    version: 'v1',
    kind,
    namespace,
    name: gatewayName,
    labels: gatewayLabels,
    annotations: {},
    creationTimeMs: 0,
    locate: () => builtInPosition,
  };
}
