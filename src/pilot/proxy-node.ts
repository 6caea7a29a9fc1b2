// Who has connected: an Envoy node as a ProxyNode. Keys and forms are Istio's (`pkg/model/proxy.go`);
// those that begin with FAIRLEAD_ are ours.
import { isIP } from 'node:net';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { Node } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { parseDurationNs } from '../model/duration.ts';
import type { GatewayBind, InterceptionMode, ProxyNode, ProxyType } from '../model/proxy-node.ts';
import { readGatewayTopology } from '../model/gateway-topology.ts';
import type { WrittenProxyHeaders } from '../model/proxy-headers.ts';
import { readProxyHeaders } from '../model/proxy-headers.ts';
import { grpcGenerator } from '../translate/grpc/names.ts';
import { StreamError, grpcStatus } from '../xds/server/stream-error.ts';

/** Throws StreamError INVALID_ARGUMENT that names what is malformed, and what would be accepted. */
export function parseProxyNode(node: Node): ProxyNode {
  const { type, ipAddress, podName, podNamespace, dnsDomain } = parseNodeId(node.id);
  const metadata = node.metadata ?? {};
  checkLengths(node, metadata);
  const instanceIps = list(metadata, 'INSTANCE_IPS');
  for (const address of instanceIps) checkAddress('metadata INSTANCE_IPS', address);
  const interceptionMode = parseInterceptionMode(text(metadata, 'INTERCEPTION_MODE'));
  const appAddress = text(metadata, 'FAIRLEAD_APP_ADDRESS');
  if (appAddress !== '') checkAddress('metadata FAIRLEAD_APP_ADDRESS', appAddress);
  const httpProxyPort = port(metadata, 'FAIRLEAD_HTTP_PROXY_PORT');
  const gatewayBinds = strings(metadata, 'FAIRLEAD_GATEWAY_BINDS').map(parseGatewayBind);
  const idleTimeout = text(metadata, 'IDLE_TIMEOUT');
  const { region = '', zone = '', subZone = '' } = node.locality ?? {};
  const istioExtensions = istioExtensionsOf(node);
  const networkView = list(metadata, 'REQUESTED_NETWORK_VIEW');
  const nodeName = text(metadata, 'NODE_NAME');
  const generator = text(metadata, 'GENERATOR');
  return {
    id: node.id,
    type,
    ipAddresses: instanceIps.length > 0 ? instanceIps : [ipAddress],
    podName,
    namespace: text(metadata, 'NAMESPACE') || podNamespace,
    dnsDomain,
    labels: labels(metadata),
    serviceAccount: text(metadata, 'SERVICE_ACCOUNT'),
    workloadName: text(metadata, 'WORKLOAD_NAME'),
    clusterId: text(metadata, 'CLUSTER_ID'),
    network: text(metadata, 'NETWORK'),
    locality: { region, zone, subzone: subZone },
    istioVersion: text(metadata, 'ISTIO_VERSION'),
    interceptionMode,
    ...(appAddress === '' ? {} : { appAddress }),
    ...(httpProxyPort === undefined ? {} : { httpProxyPort }),
    ...(gatewayBinds.length === 0 ? {} : { gatewayBinds }),
    adminPort: port(metadata, 'ENVOY_ADMIN_PORT') ?? defaultAdminPort,
    ...(istioExtensions.length === 0 ? {} : { istioExtensions }),
    ...(networkView.length === 0 ? {} : { networkView }),
    ...(nodeName === '' ? {} : { nodeName }),
    // Others (istioctl's `event`) are given what every proxy is.
    ...(generator === grpcGenerator ? { generator } : {}),
    ...(isTrue(text(metadata, 'DNS_CAPTURE')) ? { dnsCapture: true } : {}),
    ...ownConfigOf(metadata),
    ...(isTrue(text(metadata, 'UNPRIVILEGED_POD')) ? { unprivileged: true } : {}),
    // Istio's agent writes HTTP10 as the text "1".
    http10: ['1', 'true'].includes(text(metadata, 'HTTP10')),
    // One that is no duration is none, as in Istio.
    ...(parseDurationNs(idleTimeout) === undefined ? {} : { idleTimeout }),
    metadata: Object.fromEntries(
      Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    workloadCertificates: text(metadata, 'FAIRLEAD_WORKLOAD_CERTIFICATES') !== 'none',
  };
}

const defaultAdminPort = 15000;
const proxyTypes: readonly string[] = ['sidecar', 'router'] satisfies readonly ProxyType[];
const interceptionModes: readonly string[] = [
  'REDIRECT',
  'TPROXY',
  'NONE',
  'LOOPBACK',
] satisfies readonly InterceptionMode[];
/** Far more than any pod has. */
const labelsMax = 1000;
/** Characters of what is kept of a node for as long as it is connected; Kubernetes allows 256 KiB of annotations. */
const keptLengthMax = 256 * 1024;
/** Of one of those by which a proxy is called, or sorted into a place. */
const textLengthMax = 1024;
const shortKeys: readonly string[] = [
  'CLUSTER_ID',
  'ISTIO_VERSION',
  'NAMESPACE',
  'NETWORK',
  'NODE_NAME',
  'SERVICE_ACCOUNT',
  'WORKLOAD_NAME',
];
/** Kubernetes allows 253 bytes of a name; the longest of an error that quotes what a peer sent. */
const quotedMax = 256;

function parseNodeId(id: string): {
  type: ProxyType;
  ipAddress: string;
  podName: string;
  podNamespace: string;
  dnsDomain: string;
} {
  const parts = id.split('~');
  const [type, ipAddress, pod, dnsDomain] = parts;
  if (
    parts.length !== 4 ||
    type === undefined ||
    ipAddress === undefined ||
    pod === undefined ||
    dnsDomain === undefined
  ) {
    throw malformed(`node id ${quote(id)}`, '<type>~<ip>~<pod>.<namespace>~<dns domain>');
  }
  if (!proxyTypes.includes(type)) throw malformed(`proxy type ${quote(type)}`, proxyTypes.join(' or '));
  checkAddress('the address in the node id', ipAddress);
  const dot = pod.lastIndexOf('.');
  return {
    type: type as ProxyType,
    ipAddress,
    podName: dot < 0 ? pod : pod.slice(0, dot),
    podNamespace: dot < 0 ? '' : pod.slice(dot + 1),
    dnsDomain,
  };
}

function parseInterceptionMode(written: string): InterceptionMode {
  if (written === '') return 'REDIRECT';
  if (!interceptionModes.includes(written)) {
    throw malformed(`metadata INTERCEPTION_MODE ${quote(written)}`, interceptionModes.join(', '));
  }
  return written as InterceptionMode;
}

function parseGatewayBind(written: string): GatewayBind {
  const match = /^(.+):(\d+)->(\d+)$/.exec(written);
  const [, host, hostPort, targetPort] = match ?? [];
  const address = host?.replace(/^\[(.*)\]$/, '$1');
  if (address === undefined || isIP(address) === 0 || !isPort(hostPort) || !isPort(targetPort)) {
    throw malformed(`metadata FAIRLEAD_GATEWAY_BINDS ${quote(written)}`, '<address>:<port>-><target port>');
  }
  return { address, port: Number(hostPort), targetPort: Number(targetPort) };
}

/** Envoy lists everything that is built into it. */
function istioExtensionsOf({ extensions }: Node): readonly string[] {
  const names = extensions.map(({ name }) => name).filter((name) => name.startsWith('istio.'));
  return [...new Set(names)].sort();
}

/** Istio's agents send text, numbers and booleans as they please. */
function text(metadata: JsonObject, key: string): string {
  const value = metadata[key];
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') throw malformed(`metadata ${key}`, 'a text');
  return String(value);
}

/** Of the ProxyConfig that came along, which stands for the mesh's as a whole. */
function ownConfigOf(metadata: JsonObject): Pick<ProxyNode, 'gatewayTopology' | 'proxyHeaders'> {
  const config = metadata['PROXY_CONFIG'];
  if (!isObject(config)) return {};
  const written = config['gatewayTopology'] ?? {};
  if (!isObject(written)) throw malformed('metadata PROXY_CONFIG gatewayTopology', 'a map');
  const headers = config['proxyHeaders'] ?? {};
  if (!isObject(headers)) throw malformed('metadata PROXY_CONFIG proxyHeaders', 'a map');
  const { numTrustedProxies, forwardClientCertDetails, proxyProtocol } = written;
  const topology = readGatewayTopology({
    ...(typeof numTrustedProxies === 'number' ? { numTrustedProxies } : {}),
    ...(typeof forwardClientCertDetails === 'string' ? { forwardClientCertDetails } : {}),
    ...(isObject(proxyProtocol) ? { proxyProtocol } : {}),
  });
  return { gatewayTopology: topology, proxyHeaders: readProxyHeaders(writtenHeadersOf(headers)) };
}

/** What is of another type than it should be is not there. */
function writtenHeadersOf(headers: JsonObject): WrittenProxyHeaders {
  const mode = headers['forwardedClientCert'];
  const server = headers['server'];
  const name = isObject(server) ? server['value'] : undefined;
  const parts = flagsOf(headers['setCurrentClientCertDetails']);
  return {
    ...(typeof mode === 'string' ? { forwardedClientCert: mode } : {}),
    setCurrentClientCertDetails: parts,
    requestId: flagsOf(headers['requestId']),
    server: { ...flagsOf(server), ...(typeof name === 'string' ? { value: name } : {}) },
    attemptCount: flagsOf(headers['attemptCount']),
    envoyDebugHeaders: flagsOf(headers['envoyDebugHeaders']),
    preserveHttp1HeaderCase: headers['preserveHttp1HeaderCase'] === true,
    xForwardedHost: flagsOf(headers['xForwardedHost']),
    xForwardedPort: flagsOf(headers['xForwardedPort']),
  };
}

function flagsOf(value: JsonValue | undefined): Readonly<Record<string, boolean>> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, boolean] => typeof entry[1] === 'boolean'),
  );
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As Go's ParseBool reads it. */
function isTrue(written: string): boolean {
  return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(written);
}

function list(metadata: JsonObject, key: string): readonly string[] {
  return text(metadata, key)
    .split(',')
    .filter((part) => part !== '');
}

function strings(metadata: JsonObject, key: string): readonly string[] {
  const value = metadata[key] ?? [];
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string')) {
    throw malformed(`metadata ${key}`, 'a list of texts');
  }
  return value;
}

function port(metadata: JsonObject, key: string): number | undefined {
  const written = text(metadata, key);
  if (written === '') return undefined;
  if (!isPort(written)) throw malformed(`metadata ${key} ${quote(written)}`, 'a port from 1 to 65535');
  return Number(written);
}

function isPort(written: string | undefined): boolean {
  const number = Number(written);
  return Number.isInteger(number) && number >= 1 && number <= 65_535;
}

function labels(metadata: JsonObject): Readonly<Record<string, string>> {
  const value: JsonValue = metadata['LABELS'] ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('metadata LABELS', 'a map of texts');
  }
  const written = Object.entries(value);
  if (written.length > labelsMax)
    throw malformed(`metadata LABELS (${written.length})`, `${labelsMax} labels`);
  const entries = written.map(([name, each]) => {
    if (typeof each === 'object') throw malformed(`metadata LABELS ${quote(name)}`, 'a text');
    return [name, String(each)] as const;
  });
  return Object.fromEntries(entries);
}

/** What a node says of itself is kept, is part of keys, and stands in messages, labels of metrics and pages. */
function checkLengths({ locality }: Node, metadata: JsonObject): void {
  const short = [
    ...shortKeys.map((key) => [`metadata ${key}`, metadata[key]] as const),
    ...(['region', 'zone', 'subZone'] as const).map((key) => [`locality ${key}`, locality?.[key]] as const),
  ];
  for (const [name, value] of short) {
    if (typeof value === 'string' && value.length > textLengthMax)
      throw malformed(`${name} of ${value.length} characters`, `${textLengthMax}`);
  }
  let length = 0;
  for (const texts of [metadata, metadata['LABELS']]) {
    if (!isObject(texts)) continue;
    for (const [name, value] of Object.entries(texts))
      if (typeof value === 'string') length += name.length + value.length;
  }
  if (length > keptLengthMax) throw malformed(`metadata of ${length} characters`, `${keptLengthMax}`);
}

function checkAddress(where: string, address: string): void {
  if (isIP(address) === 0) throw malformed(`${where} ${quote(address)}`, 'an IPv4 or IPv6 address');
}

function quote(written: string): string {
  return JSON.stringify(written.length > quotedMax ? `${written.slice(0, quotedMax)}...` : written);
}

function malformed(what: string, accepted: string): StreamError {
  return new StreamError(grpcStatus.INVALID_ARGUMENT, `malformed ${what}: accepted is ${accepted}`);
}
