// Meshes of ServiceEntries, in the shapes with which Istio measures its generators: one protocol everywhere, a
// VirtualService for each host, workloads by selector, hosts behind one Gateway or behind one each.
import type { MeshFile, MeshOptions, MeshShape } from './shape.ts';
import { addressIn, documents, upTo } from './shape.ts';

interface Port {
  readonly number: number;
  readonly name: string;
  /** Empty: found out on the wire. */
  readonly protocol: string;
}

const portOf: Readonly<Record<'http' | 'tcp' | 'tls' | 'auto', Port>> = {
  http: { number: 80, name: 'http', protocol: 'HTTP' },
  tcp: { number: 7070, name: 'tcp', protocol: 'TCP' },
  tls: { number: 443, name: 'https', protocol: 'HTTPS' },
  auto: { number: 9090, name: 'auto', protocol: '' },
};
const everyPort = Object.values(portOf);

export const serviceEntryShapes: readonly MeshShape[] = [
  protocolShape('http'),
  protocolShape('tcp'),
  protocolShape('tls'),
  protocolShape('auto'),
  {
    name: 'virtualservice',
    about: 'HTTP ServiceEntries, each with a VirtualService of two matches and a rewrite',
    files: (options) => [...entries(options, [portOf.http], listed), ...virtualServices(options)],
  },
  {
    name: 'serviceentry-workloadentry',
    about: 'ServiceEntries of four ports that select WorkloadEntries',
    files: (options) => [...entries(options, everyPort, selecting), workloadEntries(options)],
  },
  {
    name: 'gateways',
    about: 'a Gateway and a VirtualService of three hosts for each ServiceEntry',
    files: (options) => [
      ...entries(options, [portOf.http], listed),
      gatewayPods(options),
      ...ownGateways(options),
    ],
  },
  {
    name: 'gateways-shared',
    about: 'one Gateway of three hosts; the VirtualServices of all ServiceEntries add their routes to these',
    files: (options) => [
      ...entries(options, [portOf.http], listed),
      gatewayPods(options),
      ...sharedGateway(options),
    ],
  },
];

function protocolShape(protocol: keyof typeof portOf): MeshShape {
  return {
    name: protocol,
    about: `ServiceEntries of one port (${portOf[protocol].protocol || 'protocol found out on the wire'}) with addresses of their own`,
    files: (options) => entries(options, [portOf[protocol]], listed),
  };
}

const namespaceOf = (index: number, { namespaces }: MeshOptions): string => `ns-${index % namespaces}`;
const hostOf = (index: number): string => `host-${index}.example.com`;

type Endpoints = (service: number, options: MeshOptions) => string;

/** Listed in the ServiceEntry. */
function listed(service: number, { services, pods }: MeshOptions): string {
  const count = Math.floor(pods / services) + (service < pods % services ? 1 : 0);
  const endpoints = upTo(Math.max(count, 1)).map(
    (index) =>
      `    - { address: ${addressIn(10, service + index * services)}, labels: { security.istio.io/tlsMode: istio } }`,
  );
  return `  endpoints:\n${endpoints.join('\n')}`;
}

/** Found by label. */
function selecting(service: number): string {
  return `  workloadSelector: { labels: { app: host-${service} } }`;
}

/** One file for each namespace, so that the number of files stays small. */
function entries(options: MeshOptions, ports: readonly Port[], endpoints: Endpoints): readonly MeshFile[] {
  const entry = (service: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: host-${service}, namespace: ${namespaceOf(service, options)} }
spec:
  hosts: [${hostOf(service)}]
  addresses: [${addressIn(11, service)}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
${ports.map(portYaml).join('\n')}
${endpoints(service, options)}`;
  return [
    { path: 'namespaces.yaml', text: documents(upTo(options.namespaces).map(namespaceYaml)) },
    ...perNamespace(options, 'services.yaml', options.services, entry),
  ];
}

function namespaceYaml(index: number): string {
  return `apiVersion: v1
kind: Namespace
metadata: { name: ns-${index}, labels: { istio-injection: enabled } }`;
}

function portYaml({ number, name, protocol }: Port): string {
  return `    - { number: ${number}, name: ${name}${protocol === '' ? '' : `, protocol: ${protocol}`} }`;
}

function virtualServices(options: MeshOptions): readonly MeshFile[] {
  return upTo(options.services).map((service) => ({
    path: `${namespaceOf(service, options)}/host-${service}-routes.yaml`,
    text: documents([
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: host-${service}, namespace: ${namespaceOf(service, options)} }
spec:
  hosts: [${hostOf(service)}]
  http:
    - name: matched
      match: [{ uri: { prefix: /catalogue } }, { uri: { regex: '/items/[0-9]+' } }]
      rewrite: { uri: /v2 }
      route: [{ destination: { host: ${hostOf(service)} } }]
    - name: all
      route: [{ destination: { host: ${hostOf(service)} } }]`,
    ]),
  }));
}

function workloadEntries(options: MeshOptions): MeshFile {
  return {
    path: 'workloads.yaml',
    text: documents(
      upTo(Math.max(options.pods, options.services)).map((index) => {
        const service = index % options.services;
        return `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: workload-${index}, namespace: ${namespaceOf(service, options)} }
spec:
  address: ${addressIn(10, index)}
  serviceAccount: workload
  labels: { app: host-${service} }`;
      }),
    ),
  };
}

const gatewaySelector = 'istio: ingressgateway';

/** Gateways select Pods: without any nothing would be served. */
function gatewayPods({ gatewayPods: count }: MeshOptions): MeshFile {
  const pods = upTo(Math.max(count, 1)).map(
    (index) => `apiVersion: v1
kind: Pod
metadata:
  name: gateway-${index}
  namespace: ns-0
  annotations: { inject.istio.io/templates: gateway }
  labels: { ${gatewaySelector} }
spec:
  containers: [{ name: istio-proxy, image: 'example/proxy:1' }]
status:
  phase: Running
  podIP: ${addressIn(12, index)}
  conditions: [{ type: Ready, status: 'True' }]`,
  );
  const service = `apiVersion: v1
kind: Service
metadata: { name: gateway, namespace: ns-0 }
spec:
  clusterIP: ${addressIn(11, 16_000_000)}
  selector: { ${gatewaySelector} }
  ports: [{ name: http2, port: 80 }]`;
  return { path: 'gateway.yaml', text: documents([service, ...pods]) };
}

function gatewayYaml(name: string, hosts: readonly string[]): string {
  return `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: ns-0 }
spec:
  selector: { ${gatewaySelector} }
  servers:
    - port: { number: 80, name: http, protocol: HTTP }
      hosts: [${hosts.map((host) => `'*/${host}'`).join(', ')}]`;
}

function routeYaml(
  service: number,
  options: MeshOptions,
  gateway: string,
  hosts: readonly string[],
  prefixes: readonly string[],
): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: host-${service}, namespace: ${namespaceOf(service, options)} }
spec:
  hosts: [${hosts.join(', ')}]
  gateways: [ns-0/${gateway}]
  http:
    - match:
${prefixes.map((prefix) => `        - { uri: { prefix: ${prefix} } }`).join('\n')}
      route: [{ destination: { host: ${hostOf(service)} } }]`;
}

function ownGateways(options: MeshOptions): readonly MeshFile[] {
  const hosts = (service: number): string[] =>
    ['a', 'b', 'c'].map((letter) => `${letter}-${service}.shop.example.com`);
  return [
    {
      path: 'gateways.yaml',
      text: documents(upTo(options.services).map((each) => gatewayYaml(`gateway-${each}`, hosts(each)))),
    },
    ...perNamespace(options, 'routes.yaml', options.services, (each) =>
      routeYaml(each, options, `gateway-${each}`, hosts(each), [`/route-${each}/`]),
    ),
  ];
}

function sharedGateway(options: MeshOptions): readonly MeshFile[] {
  const hosts = ['a', 'b', 'c'].map((letter) => `${letter}.shop.example.com`);
  const prefixes = (service: number): string[] =>
    ['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => `/route-${letter}-${service}/`);
  return [
    { path: 'gateways.yaml', text: documents([gatewayYaml('gateway', hosts)]) },
    ...perNamespace(options, 'routes.yaml', options.services, (each) =>
      routeYaml(each, options, 'gateway', hosts, prefixes(each)),
    ),
  ];
}

/** A reader takes 20,000 documents of a file: of each namespace as many as it has, in pieces of 1,000. */
function perNamespace(
  options: MeshOptions,
  name: string,
  count: number,
  textOf: (index: number) => string,
): readonly MeshFile[] {
  return upTo(options.namespaces).flatMap((namespace) => {
    const own = upTo(count).filter((index) => index % options.namespaces === namespace);
    return upTo(Math.ceil(own.length / 1000)).map((piece) => ({
      path: `ns-${namespace}/${piece === 0 ? '' : `${piece}-`}${name}`,
      text: documents(own.slice(piece * 1000, (piece + 1) * 1000).map(textOf)),
    }));
  });
}
