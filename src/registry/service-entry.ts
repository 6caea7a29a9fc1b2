// ServiceEntries as services of the mesh: one for each host.
import { isIP } from 'node:net';
import type { ServiceEntryConfig } from '../config/config.ts';
import { originOf } from '../config/config.ts';
import type { AllocatedAddresses } from './allocated-addresses.ts';
import { takesAllocated, writtenAddresses } from './allocated-addresses.ts';
import { trafficDistributionOf } from './kube-service.ts';
import { healthCheckOf } from '../model/health-check.ts';
import { parseProtocol } from '../model/protocol.ts';
import type { Resolution, Service } from '../model/service.ts';

/** The services of one ServiceEntry, in the order of its hosts; or of these hosts of it alone, in small letters. */
export function servicesOfEntry(
  config: ServiceEntryConfig,
  defaultExportTo: readonly string[],
  namespaceDistribution?: string,
  allocatedAddress?: (key: string) => AllocatedAddresses | undefined,
  hosts: Iterable<string> = (config.spec.hosts ?? []).map((host) => host.toLowerCase()),
): readonly Service[] {
  const { spec, namespace, name } = config;
  const selector = spec.workloadSelector?.labels;
  const healthCheck = healthCheckOf(config.annotations);
  const distribution = trafficDistributionOf(undefined, config.annotations, namespaceDistribution);
  const allocatedOf = (hostname: string): AllocatedAddresses | undefined =>
    takesAllocated(config, hostname)
      ? (writtenAddresses(config, hostname) ?? allocatedAddress?.(`${namespace}/${hostname}`))
      : undefined;
  // The same for all hosts, of which there may be thousands.
  const ports = (spec.ports ?? []).flatMap((port) =>
    port.number === undefined
      ? []
      : [
          {
            name: port.name ?? '',
            servicePort: port.number,
            protocol: parseProtocol(port.protocol ?? ''),
            ...(port.targetPort === undefined || port.targetPort === 0
              ? {}
              : { targetPort: port.targetPort }),
          },
        ],
  );
  const addresses = (spec.addresses ?? []).flatMap((address) => normalAddress(address) ?? []);
  return [...new Set(hosts)].map((hostname) => ({
    ...withAllocated(allocatedOf(hostname)),
    hostname,
    name,
    namespace,
    ports,
    addresses,
    resolution: resolutions[spec.resolution ?? 'NONE'],
    // MESH_EXTERNAL is the enum's zero, so what an absent location means.
    meshExternal: spec.location !== 'MESH_INTERNAL',
    registry: 'External' as const,
    exportTo: spec.exportTo === undefined || spec.exportTo.length === 0 ? defaultExportTo : spec.exportTo,
    ...(selector === undefined ? {} : { selector }),
    labels: config.labels,
    subjectAltNames: spec.subjectAltNames ?? [],
    publishNotReady: false,
    ...(distribution === undefined ? {} : { trafficDistribution: distribution }),
    ...(healthCheck === undefined ? {} : { healthCheck }),
    creationTimeMs: config.creationTimeMs,
    origin: originOf(config),
  }));
}

function withAllocated(allocatedAddresses: AllocatedAddresses | undefined) {
  return allocatedAddresses === undefined ? {} : { allocatedAddresses };
}

const resolutions: Readonly<Record<NonNullable<ServiceEntryConfig['spec']['resolution']>, Resolution>> = {
  NONE: 'passthrough',
  STATIC: 'client-side',
  DNS: 'dns',
  DNS_ROUND_ROBIN: 'dns-round-robin',
  DYNAMIC_DNS: 'dynamic-dns',
};

/** An IP address or a CIDR block; a block of one address as that address. Undefined for anything else. */
function normalAddress(address: string): string | undefined {
  const [ip = '', bits, ...more] = address.split('/');
  const family = isIP(ip);
  if (family === 0 || more.length > 0) return undefined;
  if (bits === undefined) return address;
  const length = Number(bits);
  const full = family === 4 ? 32 : 128;
  if (!/^\d+$/.test(bits) || length > full) return undefined;
  return length === full ? ip : address;
}
