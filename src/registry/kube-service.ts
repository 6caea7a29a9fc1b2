// Kubernetes Services as services of the mesh.
import { createHash } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { originOf } from '../config/config.ts';
import type { KubeServiceSpec } from '../config/kube-types.ts';
import { healthCheckOf } from '../model/health-check.ts';
import { resolveHost, serviceHostname } from '../model/hostname.ts';
import { protocolOfPort } from '../model/protocol.ts';
import type { Resolution, Service, ServicePort } from '../model/service.ts';

export interface KubeServiceOptions {
  readonly domainSuffix: string;
  /** For Services without the annotation networking.istio.io/exportTo. */
  readonly defaultExportTo: readonly string[];
  /** The virtual IP of a Service that names none itself. */
  readonly allocatedAddress?: string | undefined;
  /** What the namespace's annotation says of services without a word of their own. */
  readonly namespaceDistribution?: string | undefined;
}

/** Every Kubernetes Service is one service; nothing in it can make this fail. */
export function serviceOfKubeService(config: Config<KubeServiceSpec>, options: KubeServiceOptions): Service {
  const { spec, namespace, name } = config;
  const resolution = resolutionOf(spec);
  const exportTo = config.annotations['networking.istio.io/exportTo'] ?? '';
  const serviceAccounts = splitList(config.annotations['alpha.istio.io/kubernetes-serviceaccounts'] ?? '');
  const healthCheck = healthCheckOf(config.annotations);
  const distribution = trafficDistributionOf(
    spec.trafficDistribution,
    config.annotations,
    options.namespaceDistribution,
  );
  return {
    hostname: serviceHostname(name, namespace, options.domainSuffix),
    name,
    namespace,
    ports: (spec.ports ?? []).map(portOf),
    addresses: addressesOf(spec, resolution, options.allocatedAddress),
    resolution,
    meshExternal: resolution === 'alias',
    registry: 'Kubernetes',
    exportTo: exportTo === '' ? options.defaultExportTo : splitList(exportTo),
    ...(hasEntries(spec.selector) && resolution !== 'alias' ? { selector: spec.selector } : {}),
    labels: config.labels,
    ...(resolution === 'alias' && spec.externalName !== undefined
      ? { aliasOf: resolveHost(spec.externalName, namespace, options.domainSuffix) }
      : {}),
    subjectAltNames: splitList(config.annotations['alpha.istio.io/canonical-serviceaccounts'] ?? ''),
    ...(serviceAccounts.length === 0 ? {} : { serviceAccounts }),
    publishNotReady: spec.publishNotReadyAddresses === true,
    ...(spec.internalTrafficPolicy === 'Local' ? { isNodeLocal: true } : {}),
    ...(distribution === undefined ? {} : { trafficDistribution: distribution }),
    ...(healthCheck === undefined ? {} : { healthCheck }),
    ...(config.clusterId === undefined ? {} : { clusterId: config.clusterId }),
    creationTimeMs: config.creationTimeMs,
    origin: originOf(config),
  };
}

/** The annotation of Services, ServiceEntries and (for all of its services) namespaces. */
export const distributionAnnotation = 'networking.istio.io/traffic-distribution';

/**
 * What a service prefers: its field says so, else its annotation, else its namespace's. Undefined: nothing in
 * particular, which an unknown word in an annotation means, too. Source: Istio `GetTrafficDistribution`.
 */
export function trafficDistributionOf(
  field: string | undefined,
  annotations: Readonly<Record<string, string>>,
  ofNamespace: string | undefined,
): Service['trafficDistribution'] {
  if (field === 'PreferClose' || field === 'PreferSameZone') return 'PreferSameZone';
  if (field === 'PreferSameNode') return field;
  const own = annotations[distributionAnnotation] ?? '';
  const word = (own === '' ? (ofNamespace ?? '') : own).toLowerCase();
  if (word === 'preferclose' || word === 'prefersamezone') return 'PreferSameZone';
  return word === 'prefersamenode' ? 'PreferSameNode' : undefined;
}

/** Whether Kubernetes would give it a virtual IP, and none is written. */
export function needsClusterIp(config: Config<KubeServiceSpec>): boolean {
  const { spec } = config;
  return resolutionOf(spec) === 'client-side' && (spec.clusterIP ?? '') === '';
}

/** An IPv4 range: its first address as a number, and how many there are. */
export interface AddressRange {
  readonly first: number;
  readonly size: number;
}

/** 10.96.0.0/12, which kubeadm gives to Services. */
const defaultServiceRange: AddressRange = { first: 0x0a600000, size: 1 << 20 };

/**
 * Virtual IPs for the Services named `namespace/name` in `keys`, none of them in `taken`. A Service's
 * address is a hash of its name; of Services whose hashes meet, the first in sorted order keeps it and
 * the others take the next free one. So neither the order of files nor (but for such meetings) other
 * Services change it. Services beyond the size of the range get none.
 */
export function allocateClusterIps(
  keys: readonly string[],
  taken: ReadonlySet<string>,
  range: AddressRange = defaultServiceRange,
): ReadonlyMap<string, string> {
  const used = new Set(taken);
  const allocated = new Map<string, string>();
  for (const key of [...new Set(keys)].sort()) {
    const hash = createHash('sha256').update(key).digest().readUInt32BE(0);
    for (let step = 0; step < range.size; step++) {
      // Neither the network address nor the broadcast address, and not the first one, which is the API server's.
      const offset = 2 + ((hash + step) % (range.size - 3));
      const address = formatIpv4(range.first + offset);
      if (used.has(address)) continue;
      used.add(address);
      allocated.set(key, address);
      break;
    }
  }
  return allocated;
}

function resolutionOf(spec: KubeServiceSpec): Resolution {
  if (spec.type === 'ExternalName' && (spec.externalName ?? '') !== '') return 'alias';
  return spec.clusterIP === 'None' ? 'passthrough' : 'client-side';
}

function addressesOf(
  spec: KubeServiceSpec,
  resolution: Resolution,
  allocated: string | undefined,
): readonly string[] {
  if (resolution !== 'client-side') return [];
  const { clusterIP = '', clusterIPs = [] } = spec;
  if (clusterIP === '') return allocated === undefined ? [] : [allocated];
  return clusterIPs.length > 1 ? clusterIPs : [clusterIP];
}

function portOf(port: NonNullable<KubeServiceSpec['ports']>[number]): ServicePort {
  const { name = '', targetPort } = port;
  return {
    name,
    servicePort: port.port,
    protocol: protocolOfPort({
      name,
      number: port.port,
      transport: port.protocol ?? 'TCP',
      appProtocol: port.appProtocol,
    }),
    ...(targetPort === undefined || targetPort === 0 || targetPort === '' ? {} : { targetPort }),
  };
}

/** An empty selector selects nothing here: in Kubernetes such a Service has its endpoints from elsewhere. */
function hasEntries(
  labels: Readonly<Record<string, string>> | undefined,
): labels is Readonly<Record<string, string>> {
  return labels !== undefined && Object.keys(labels).length > 0;
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}
