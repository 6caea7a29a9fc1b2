// The shape of a mesh in a cluster: Services with Pods, VirtualServices and DestinationRules over them, Gateways,
// Sidecars, and hosts outside.
import type { Random } from '../../base/random.ts';
import type { MeshFile, MeshOptions, MeshShape } from './shape.ts';
import { addressIn, documents, upTo } from './shape.ts';

export const kubernetes: MeshShape = {
  name: 'kubernetes',
  about: 'Services and Pods in namespaces; a VirtualService and a DestinationRule for each service',
  files,
};

const zones = ['zone-a', 'zone-b', 'zone-c'];
/** Namespace of the gateway deployment and of Gateway objects. */
export const gatewayNamespace = 'ingress';

export function namespaceOf(service: number, options: MeshOptions): string {
  return `ns-${service % options.namespaces}`;
}

function* files(options: MeshOptions, random: Random): Iterable<MeshFile> {
  yield { path: 'namespaces.yaml', text: namespacesYaml(options) };
  for (const service of upTo(options.services)) {
    const folder = namespaceOf(service, options);
    yield { path: `${folder}/svc-${service}.yaml`, text: serviceYaml(service, options) };
    const pods = podsOf(service, options, random);
    if (pods.length > 0)
      yield { path: `${folder}/svc-${service}-pods.yaml`, text: podsYaml(service, pods, options) };
    if (options.routes > 0 && isRouted(service, options))
      yield { path: `${folder}/svc-${service}-routes.yaml`, text: routesYaml(service, options, random) };
  }
  if (options.sidecars) yield { path: 'sidecars.yaml', text: sidecarsYaml(options) };
  if (options.gateways > 0) yield { path: 'gateways.yaml', text: gatewaysYaml(options) };
  if (options.serviceEntries > 0) yield { path: 'outside.yaml', text: outsideYaml(options) };
}

/** Of any hundred services in a row, `routed` percent. */
function isRouted(service: number, { routed }: MeshOptions): boolean {
  return Math.floor(((service + 1) * routed) / 100) > Math.floor((service * routed) / 100);
}

function namespacesYaml({ namespaces, gateways }: MeshOptions): string {
  const names = [
    ...upTo(namespaces).map((each) => `ns-${each}`),
    ...(gateways > 0 ? [gatewayNamespace] : []),
  ];
  return documents(
    names.map(
      (name) => `apiVersion: v1
kind: Namespace
metadata: { name: ${name}, labels: { istio-injection: enabled } }`,
    ),
  );
}

function serviceYaml(service: number, options: MeshOptions): string {
  return documents([
    `apiVersion: v1
kind: Service
metadata: { name: svc-${service}, namespace: ${namespaceOf(service, options)}, labels: { app: svc-${service} } }
spec:
  clusterIP: ${addressIn(11, service)}
  selector: { app: svc-${service} }
  ports: [{ name: http, port: 80, targetPort: 8080 }]`,
  ]);
}

interface PlannedPod {
  readonly name: string;
  readonly ip: string;
  readonly version: string;
  readonly zone: string;
}

function podCount(service: number, { services, pods }: MeshOptions): number {
  return Math.floor(pods / services) + (service < pods % services ? 1 : 0);
}

/** Pods are of two versions by turns. */
function versionsOf(service: number, options: MeshOptions): readonly string[] {
  return ['v1', 'v2'].slice(0, podCount(service, options));
}

function podsOf(service: number, options: MeshOptions, random: Random): readonly PlannedPod[] {
  const { services } = options;
  return upTo(podCount(service, options)).map((index) => ({
    name: `svc-${service}-${index}`,
    ip: addressIn(10, service + index * services),
    version: index % 2 === 0 ? 'v1' : 'v2',
    zone: zones[Math.floor(random() * zones.length)] ?? 'zone-a',
  }));
}

function podsYaml(service: number, pods: readonly PlannedPod[], options: MeshOptions): string {
  const namespace = namespaceOf(service, options);
  const texts = pods.map(
    (pod) => `apiVersion: v1
kind: Pod
metadata:
  name: ${pod.name}
  namespace: ${namespace}
  labels:
    app: svc-${service}
    version: ${pod.version}
    istio-locality: region-1.${pod.zone}
    security.istio.io/tlsMode: istio
spec:
  serviceAccountName: svc-${service}
  containers:
    - { name: app, image: 'example/app:1', ports: [{ name: http, containerPort: 8080 }] }
    - { name: istio-proxy, image: 'example/proxy:1' }
status:
  phase: Running
  podIP: ${pod.ip}
  conditions: [{ type: Ready, status: 'True' }]`,
  );
  if (options.endpoints === 'slices') texts.push(sliceYaml(service, namespace, pods));
  return documents(texts);
}

function sliceYaml(service: number, namespace: string, pods: readonly PlannedPod[]): string {
  const endpoints = pods.map(
    ({ ip, name, zone }) =>
      `  - { addresses: [${ip}], conditions: { ready: true }, zone: ${zone}, targetRef: { kind: Pod, name: ${name}, namespace: ${namespace} } }`,
  );
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: svc-${service}-0, namespace: ${namespace}, labels: { kubernetes.io/service-name: svc-${service} } }
addressType: IPv4
ports: [{ name: http, port: 8080, protocol: TCP }]
endpoints:
${endpoints.join('\n')}`;
}

function routesYaml(service: number, options: MeshOptions, random: Random): string {
  const namespace = namespaceOf(service, options);
  const host = `svc-${service}.${namespace}.svc.cluster.local`;
  const versions = versionsOf(service, options);
  const shares = (): string => {
    const weight = 50 + Math.floor(random() * 50);
    // A subset that selects no pod would be an error of the mesh.
    if (versions.length < 2) return `        - { destination: { host: ${host} } }`;
    return `        - { destination: { host: ${host}, subset: v1 }, weight: ${weight} }
        - { destination: { host: ${host}, subset: v2 }, weight: ${100 - weight} }`;
  };
  const rules = upTo(options.routes).map((index) => {
    const isLast = index === options.routes - 1;
    const match = isLast ? '' : `\n      match: [{ uri: { prefix: /part-${index}/ } }]`;
    return `    - name: route-${index}${match}
      timeout: ${5 + (index % 5)}s
      route:
${shares()}`;
  });
  const subsets =
    versions.length === 0
      ? ''
      : `  subsets:
${versions.map((version) => `    - { name: ${version}, labels: { version: ${version} } }`).join('\n')}`;
  const exposed =
    options.gateways === 0
      ? ''
      : `
  gateways: [mesh, ${gatewayNamespace}/gateway-${service % options.gateways}]`;
  const hosts = options.gateways === 0 ? host : `${host}, svc-${service}.example.com`;
  return documents([
    `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: svc-${service}, namespace: ${namespace} }
spec:
  hosts: [${hosts}]${exposed}
  http:
${rules.join('\n')}`,
    `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: svc-${service}, namespace: ${namespace} }
spec:
  host: ${host}
  trafficPolicy:
    connectionPool: { http: { http2MaxRequests: ${100 + Math.floor(random() * 900)} } }
${subsets}`,
  ]);
}

function sidecarsYaml({ namespaces, gateways }: MeshOptions): string {
  return documents(
    upTo(namespaces).map((index) => {
      const next = (index + 1) % namespaces;
      const hosts = ["'./*'", ...(next === index ? [] : [`'ns-${next}/*'`])];
      if (gateways > 0) hosts.push(`'${gatewayNamespace}/*'`);
      return `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: ns-${index} }
spec:
  egress: [{ hosts: [${hosts.join(', ')}] }]`;
    }),
  );
}

function gatewaysYaml({ gateways, gatewayPods, services }: MeshOptions): string {
  const service = `apiVersion: v1
kind: Service
metadata: { name: gateway, namespace: ${gatewayNamespace}, labels: { istio: ingressgateway } }
spec:
  clusterIP: ${addressIn(11, 16_000_000)}
  selector: { istio: ingressgateway }
  ports: [{ name: http2, port: 80, targetPort: 8080 }]`;
  const pods = upTo(gatewayPods).map(
    (index) => `apiVersion: v1
kind: Pod
metadata:
  name: gateway-${index}
  namespace: ${gatewayNamespace}
  annotations: { inject.istio.io/templates: gateway }
  labels: { istio: ingressgateway, istio-locality: region-1.${zones[index % zones.length] ?? ''} }
spec:
  serviceAccountName: gateway
  containers: [{ name: istio-proxy, image: 'example/proxy:1' }]
status:
  phase: Running
  podIP: ${addressIn(12, index)}
  conditions: [{ type: Ready, status: 'True' }]`,
  );
  const objects = upTo(gateways).map((index) => {
    const hosts = upTo(services)
      .filter((each) => each % gateways === index)
      .map((each) => `svc-${each}.example.com`);
    return `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway-${index}, namespace: ${gatewayNamespace} }
spec:
  selector: { istio: ingressgateway }
  servers:
    - port: { number: 80, name: http, protocol: HTTP }
      hosts: [${hosts.map((host) => `'*/${host}'`).join(', ')}]`;
  });
  return documents([service, ...pods, ...objects]);
}

function outsideYaml({ serviceEntries }: MeshOptions): string {
  return documents(
    upTo(serviceEntries).map(
      (index) => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside-${index}, namespace: ns-0 }
spec:
  hosts: [outside-${index}.example.org]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{ number: 443, name: tls, protocol: TLS }]`,
    ),
  );
}
