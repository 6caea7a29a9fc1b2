// What a port speaks: from what a Service or a ServiceEntry says of it to a Protocol, and questions about one.
import type { Protocol } from './service.ts';

/** What a Kubernetes Service says of one of its ports. */
export interface PortDeclaration {
  readonly name: string;
  readonly number: number;
  /** Kubernetes `protocol`: TCP, UDP or SCTP. */
  readonly transport: string;
  readonly appProtocol?: string | undefined;
}

const protocolsByName: Readonly<Record<string, Protocol>> = {
  http: 'HTTP',
  http2: 'HTTP2',
  grpc: 'GRPC',
  'grpc-web': 'GRPC-Web',
  https: 'HTTPS',
  tls: 'TLS',
  tcp: 'TCP',
  udp: 'UDP',
  mongo: 'Mongo',
  redis: 'Redis',
  mysql: 'MySQL',
  http_proxy: 'HTTP_PROXY',
};

/** Kubernetes' own names, which are meaningful in appProtocol alone. */
const kubernetesAppProtocols: Readonly<Record<string, Protocol>> = {
  'kubernetes.io/h2c': 'HTTP2',
  'kubernetes.io/ws': 'HTTP',
  'kubernetes.io/wss': 'HTTPS',
};

/** SMTP, DNS, MySQL and MongoDB: their servers speak first, so that sniffing would wait for ever. */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** The protocol that a ServiceEntry, Gateway or Sidecar port names; `unsupported` for anything unknown. */
export function parseProtocol(name: string): Protocol {
  return protocolsByName[name.toLowerCase()] ?? 'unsupported';
}

/**
 * The protocol of a Kubernetes Service port: UDP as such, else appProtocol, else the port's name up to
 * its first dash, else TCP for well-known server-first ports, else `unsupported` (the proxy sniffs).
 * Source: Istio "Protocol Selection", `kube.ConvertProtocol`.
 */
export function protocolOfPort(port: PortDeclaration): Protocol {
  if (port.transport.toUpperCase() === 'UDP') return 'UDP';
  if (port.appProtocol !== undefined) {
    const standard = kubernetesAppProtocols[port.appProtocol];
    if (standard !== undefined) return standard;
  }
  const name = (port.appProtocol ?? port.name).toLowerCase();
  // The one name that holds a dash of its own.
  if (name.startsWith('grpc-web')) return 'GRPC-Web';
  const protocol = parseProtocol(name.split('-', 1)[0] ?? '');
  if (protocol === 'unsupported' && serverFirstPorts.has(port.number)) return 'TCP';
  return protocol;
}

/** Whether routes apply to it as it stands. */
export function isHttp(protocol: Protocol): boolean {
  return protocol === 'HTTP' || protocol === 'HTTP_PROXY' || isHttp2(protocol);
}

/** Whether the upstream is known to speak HTTP/2. */
export function isHttp2(protocol: Protocol): boolean {
  return protocol === 'HTTP2' || protocol === 'GRPC' || protocol === 'GRPC-Web';
}

/** Whether the proxy treats it as bytes. Redis and MySQL are bytes: their filters are off by default. What Mongo's servers say is only looked at. */
export function isTcp(protocol: Protocol): boolean {
  return (
    protocol === 'TCP' ||
    protocol === 'Mongo' ||
    protocol === 'Redis' ||
    protocol === 'MySQL' ||
    isTls(protocol)
  );
}

/** Whether the bytes start with a TLS handshake, so that SNI can choose. */
export function isTls(protocol: Protocol): boolean {
  return protocol === 'HTTPS' || protocol === 'TLS';
}

/** Whether the proxy must find out by looking at the first bytes. */
export function isSniffed(protocol: Protocol): boolean {
  return protocol === 'unsupported';
}
