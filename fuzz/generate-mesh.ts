// Random meshes of every networking kind, in several namespaces: for what must hold of any valid config. Not every
// draw is valid; what validation refuses is left out.
import { stringify } from 'yaml';
import type { Config } from '../src/config/config.ts';
import { readText } from '../src/config/reader.ts';
import { policies } from '../test/fields/policies.ts';
import { httpRoute } from './generate.ts';
import { Draw } from './random.ts';

type Fields = Record<string, unknown>;

const namespaces = ['default', 'other'];
const names = ['a', 'b', 'c', 'd'];
const protocols = ['http', 'tcp', 'tls', 'https', 'grpc', 'http2', 'mongo', 'auto', 'udp'];

/** The valid objects of one seed's mesh, as YAML documents. */
export function randomMesh(seed: number): readonly string[] {
  const draw = new Draw(seed);
  const objects = [
    ...namespaces.flatMap((namespace) => names.map((name) => kubeService(draw, namespace, name))),
    ...names.flatMap((name) => (draw.chance(0.7) ? [serviceEntry(draw, name)] : [])),
    ...draw.list(0, 2, () => workloadEntry(draw)),
    ...names.flatMap((name) => (draw.chance(0.7) ? [destinationRule(draw, name)] : [])),
    ...draw.list(0, 3, () => gateway(draw)),
    ...draw.list(1, 5, () => virtualService(draw)),
    ...(draw.chance(0.5) ? [sidecar(draw)] : []),
    ...(draw.chance(0.5) ? [peerAuthentication(draw)] : []),
  ];
  // The same name again is the same object: the first stays.
  const unique = new Map(objects.map((object) => [identity(object), object] as const).reverse());
  return [...unique.values()].map((object) => stringify(object)).filter((text) => readsWell(text));
}

/** The objects of these documents. */
export function configsOf(documents: readonly string[]): readonly Config[] {
  return readText('random.yaml', documents.join('---\n')).configs;
}

function readsWell(text: string): boolean {
  return readText('random.yaml', text).diagnostics.every(({ severity }) => severity !== 'error');
}

function identity(object: Fields): string {
  const { namespace, name } = object['metadata'] as { namespace: string; name: string };
  return `${String(object['kind'])}/${namespace}/${name}`;
}

function istio(kind: string, namespace: string, name: string, spec: Fields, group = 'networking'): Fields {
  return { apiVersion: `${group}.istio.io/v1`, kind, metadata: { namespace, name }, spec };
}

function port(draw: Draw, index: number): { protocol: string; number: number } {
  return { protocol: draw.one(protocols), number: draw.one([80, 443, 8080, 9000, 9001]) + index * 1000 };
}

function kubeService(draw: Draw, namespace: string, name: string): Fields {
  const ports = draw
    .list(1, 3, () => draw)
    .map((_, index) => {
      const { protocol, number } = port(draw, index);
      return {
        name: protocol === 'auto' ? `p-${index}` : `${protocol}-${index}`,
        port: number,
        ...(protocol === 'udp' && { protocol: 'UDP' }),
        ...(draw.chance(0.3) && { targetPort: number + 1 }),
      };
    });
  const kind = draw.fraction();
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace, name },
    spec:
      kind < 0.1
        ? {
            type: 'ExternalName',
            externalName: draw.one(['x.example.com', 'b.default.svc.cluster.local']),
            ports,
          }
        : {
            selector: { app: name },
            clusterIP:
              kind < 0.25 ? 'None' : `10.96.${namespaces.indexOf(namespace)}.${names.indexOf(name) + 1}`,
            ports,
          },
  };
}

function serviceEntry(draw: Draw, name: string): Fields {
  const resolution = draw.one(['STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'NONE', 'DYNAMIC_DNS']);
  const host = draw.chance(0.2) ? `*.${name}.example.com` : `${name}.example.com`;
  return istio('ServiceEntry', draw.one(namespaces), name, {
    hosts: [host],
    ...(draw.chance(0.4) && { addresses: [draw.one(['10.1.0.0/16', '10.2.0.1', '2001:db8::1'])] }),
    location: draw.one(['MESH_EXTERNAL', 'MESH_INTERNAL']),
    resolution,
    ports: draw
      .list(1, 2, () => draw)
      .map((_, index) => {
        const { protocol, number } = port(draw, index);
        return { number, name: `p-${index}`, protocol: protocol === 'auto' ? 'TCP' : protocol.toUpperCase() };
      }),
    ...(resolution === 'STATIC' && {
      endpoints: draw.list(1, 3, () => ({
        address: `192.0.2.${draw.integer(1, 250)}`,
        ...draw.some(0.4, {
          labels: () => ({ version: draw.one(['v1', 'v2']) }),
          locality: () => draw.one(['r1/z1', 'r1/z2', 'r2/z1']),
          weight: () => draw.integer(1, 9),
          network: () => 'n1',
        }),
      })),
    }),
    ...(draw.chance(0.2) && { exportTo: [draw.one(['.', '*', 'other'])] }),
  });
}

function workloadEntry(draw: Draw): Fields {
  const app = draw.one(names);
  return istio('WorkloadEntry', draw.one(namespaces), app, {
    address: `192.0.3.${draw.integer(1, 250)}`,
    labels: { app, version: draw.one(['v1', 'v2']) },
  });
}

function destinationRule(draw: Draw, name: string): Fields {
  const policy = (): Fields =>
    draw.chance(0.6) ? (policies[draw.one(Object.keys(policies))] as Fields) : {};
  return istio('DestinationRule', draw.one(namespaces), `${name}-rule`, {
    host: draw.one([name, `${name}.default.svc.cluster.local`, `${name}.example.com`, '*.example.com']),
    trafficPolicy: {
      ...policy(),
      ...(draw.chance(0.3) && { portLevelSettings: [{ port: { number: 80 }, ...policy() }] }),
    },
    subsets: ['v1', 'v2'].map((subset) => ({
      name: subset,
      labels: { version: subset },
      ...(draw.chance(0.3) && { trafficPolicy: policy() }),
    })),
  });
}

function gateway(draw: Draw): Fields {
  const name = `gateway-${draw.integer(1, 3)}`;
  const host = (): string =>
    draw.one(['*', 'a.example.com', '*.example.com', 'b.example.com', 'other/c.example.com']);
  const servers = draw
    .list(1, 4, () => draw)
    .map((_, index): Fields => {
      const protocol = draw.one(['HTTP', 'HTTPS', 'TLS', 'TCP']);
      const number = draw.one([80, 443, 8443, 9000]);
      const base = {
        port: { number, name: `p-${index}`, protocol },
        hosts: [...new Set(draw.list(1, 2, host))],
      };
      const terminated = draw.one<Fields>([
        { mode: 'SIMPLE', credentialName: 'credential' },
        { mode: 'MUTUAL', credentialName: 'credential' },
        { mode: 'SIMPLE', serverCertificate: '/c.pem', privateKey: '/k.pem' },
        { mode: 'ISTIO_MUTUAL' },
      ]);
      if (protocol === 'HTTPS') return { ...base, tls: terminated };
      if (protocol === 'TLS')
        return {
          ...base,
          tls: draw.chance(0.5) ? terminated : { mode: draw.one(['PASSTHROUGH', 'AUTO_PASSTHROUGH']) },
        };
      if (protocol === 'HTTP' && draw.chance(0.2)) return { ...base, tls: { httpsRedirect: true } };
      return base;
    });
  return istio('Gateway', draw.one(namespaces), name, { selector: { istio: 'ingressgateway' }, servers });
}

function virtualService(draw: Draw): Fields {
  const host = draw.one([
    ...names,
    'a.example.com',
    'b.example.com',
    '*.example.com',
    'b.other.svc.cluster.local',
  ]);
  const destination = (): Fields => ({
    host: draw.one([...names, 'a.example.com']),
    port: { number: draw.one([80, 443, 9000]) },
    ...(draw.chance(0.3) && { subset: 'v1' }),
  });
  const streams = (): Fields[] => draw.list(1, 2, () => ({ destination: destination(), weight: 50 }));
  return istio('VirtualService', draw.one(namespaces), `vs-${draw.integer(1, 9)}`, {
    hosts: [host],
    gateways: draw.one([['mesh'], ['default/gateway-1'], ['default/gateway-2', 'mesh'], ['other/gateway-1']]),
    ...(draw.chance(0.2) && { exportTo: [draw.one(['.', '*'])] }),
    ...(draw.chance(0.8) && { http: draw.list(1, 3, () => httpRoute(draw)) }),
    ...(draw.chance(0.3) && {
      tls: [{ match: [{ sniHosts: [host], port: draw.one([443, 8443]) }], route: streams() }],
    }),
    ...(draw.chance(0.3) && {
      tcp: [
        ...(draw.chance(0.5) ? [{ match: [{ port: 9000 }], route: streams() }] : []),
        { route: streams() },
      ],
    }),
  });
}

function sidecar(draw: Draw): Fields {
  return istio('Sidecar', draw.one(namespaces), 'sidecar', {
    ...(draw.chance(0.3) && { workloadSelector: { labels: { app: draw.one(names) } } }),
    egress: [
      ...(draw.chance(0.3)
        ? [
            {
              port: { number: draw.one([80, 8080]), name: 'egress', protocol: draw.one(['HTTP', 'TCP']) },
              ...(draw.chance(0.5) && { bind: '127.109.250.5' }),
              hosts: ['*/*'],
            },
          ]
        : []),
      { hosts: [draw.one(['./*', '*/*', 'other/*', '*/*.example.com', '~/*'])] },
    ],
    ...(draw.chance(0.3) && {
      ingress: [
        {
          port: {
            number: draw.one([80, 9090]),
            name: 'ingress',
            protocol: draw.one(['HTTP', 'TCP', 'GRPC']),
          },
          defaultEndpoint: draw.one(['127.0.0.1:8080', '0.0.0.0:8080', 'unix:///app.sock']),
        },
      ],
    }),
    ...(draw.chance(0.3) && { outboundTrafficPolicy: { mode: draw.one(['REGISTRY_ONLY', 'ALLOW_ANY']) } }),
  });
}

function peerAuthentication(draw: Draw): Fields {
  return istio(
    'PeerAuthentication',
    draw.one([...namespaces, 'istio-system']),
    'default',
    { mtls: { mode: draw.one(['STRICT', 'PERMISSIVE', 'DISABLE']) } },
    'security',
  );
}
