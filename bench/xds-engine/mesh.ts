// A synthetic mesh as objects: services in namespaces, two pods each, some routes and rules; and its proxies.
import type { Config } from '../../src/config/config.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { configsOfYaml, proxyNode } from '../../test/support/world.ts';

export interface MeshShape {
  readonly services: number;
  readonly podsPerService: number;
  readonly namespaces: number;
  /** Whether each namespace has a Sidecar that imports its own services alone. */
  readonly sidecars: boolean;
  /** Gateway proxies beside the pods; they serve every VirtualService. */
  readonly gateways: number;
}

export interface SyntheticMesh {
  readonly configs: readonly Config[];
  readonly nodes: readonly ProxyNode[];
}

/** Every third service has a VirtualService, every tenth a DestinationRule with two subsets. */
export function syntheticMesh(shape: MeshShape): SyntheticMesh {
  const yaml: string[] = [];
  const nodes: ProxyNode[] = [];
  const { services, namespaces, podsPerService } = shape;
  if (shape.sidecars)
    for (let index = 0; index < namespaces; index += 1) yaml.push(sidecarYaml(namespaceOf(shape, index)));
  if (shape.gateways > 0) yaml.push(gatewayYaml());
  for (let index = 0; index < services; index += 1) {
    yaml.push(serviceYaml(shape, index));
    if (index % 3 === 0) yaml.push(virtualServiceYaml(shape, index, 1));
    if (index % 10 === 0) yaml.push(destinationRuleYaml(shape, index, 100));
    for (let pod = 0; pod < podsPerService; pod += 1) {
      yaml.push(podYaml(shape, index, pod));
      nodes.push(podNode(shape, index, pod));
    }
  }
  for (let index = 0; index < shape.gateways; index += 1)
    nodes.push(
      proxyNode({
        type: 'router',
        namespace: 'ingress',
        podName: `gateway-${index}`,
        ipAddresses: [`10.200.0.${index + 1}`],
        labels: { istio: 'ingressgateway', 'pod-template-hash': `g${index}` },
      }),
    );
  return { configs: configsOfYaml(yaml.join('---\n')), nodes };
}

export function namespaceOf({ namespaces }: MeshShape, service: number): string {
  return `ns-${service % namespaces}`;
}

export function serviceYaml(shape: MeshShape, index: number, extra = ''): string {
  return `apiVersion: v1
kind: Service
metadata: {name: svc-${index}, namespace: ${namespaceOf(shape, index)}, creationTimestamp: "2026-01-01T00:00:00Z"${extra}}
spec:
  clusterIP: 10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}
  selector: {app: svc-${index}}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000, targetPort: 9000}]
`;
}

export function podYaml(
  shape: MeshShape,
  service: number,
  pod: number,
  { labels = '', annotations = '', reason = '' } = {},
): string {
  const { podName, ipAddresses, namespace } = podNode(shape, service, pod);
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${podName}
  namespace: ${namespace}
  labels: {app: svc-${service}, version: v${(pod % 2) + 1}, pod-template-hash: h${service}${labels}}
  annotations: {a: b${annotations}}
spec:
  serviceAccountName: svc-${service}
  containers: [{name: app, image: x}]
status: {podIP: ${ipAddresses[0] ?? ''}, phase: Running, ${reason}conditions: [{type: Ready, status: "True"}]}
`;
}

export function podNode(shape: MeshShape, service: number, pod: number): ProxyNode {
  const number = service * 16 + pod;
  return proxyNode({
    namespace: namespaceOf(shape, service),
    podName: `svc-${service}-${pod}`,
    workloadName: `svc-${service}`,
    serviceAccount: `svc-${service}`,
    ipAddresses: [`10.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`],
    labels: {
      app: `svc-${service}`,
      version: `v${(pod % 2) + 1}`,
      'pod-template-hash': `h${service}`,
    },
    metadata: { NAMESPACE: namespaceOf(shape, service), CLUSTER_ID: 'Kubernetes' },
  });
}

export function virtualServiceYaml(shape: MeshShape, index: number, timeoutS: number): string {
  const gateways = shape.gateways > 0 ? 'gateways: [mesh, ingress/all], ' : '';
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: svc-${index}, namespace: ${namespaceOf(shape, index)}}
spec: {hosts: [svc-${index}.${namespaceOf(shape, index)}.svc.cluster.local], ${gateways}http: [{timeout: ${timeoutS}s, route: [{destination: {host: svc-${index}}}]}]}
`;
}

export function destinationRuleYaml(shape: MeshShape, index: number, connections: number): string {
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: svc-${index}, namespace: ${namespaceOf(shape, index)}}
spec: {host: svc-${index}, trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`;
}

export function wildcardRuleYaml(connections: number): string {
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: "*", trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}}
`;
}

function sidecarYaml(namespace: string): string {
  return `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: ${namespace}}
spec: {egress: [{hosts: ["./*"]}]}
`;
}

function gatewayYaml(): string {
  return `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: all, namespace: ingress}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`;
}
