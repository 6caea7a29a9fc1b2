// Names that MeshConfig.inboundClusterStatName and outboundClusterStatName make of a pattern.
import type { Hostname } from '../model/hostname.ts';
import type { Service } from '../model/service.ts';

/** What stands for a service in a pattern. */
export type NamedService = Pick<Service, 'hostname' | 'name' | 'namespace' | 'registry'>;

export interface StatNameParts {
  readonly service: NamedService;
  readonly subset: string;
  readonly port: number;
  readonly portName: string;
  /** Absent: `%TARGET_PORT%` stays as it is, as inbound TCP has it. */
  readonly targetPort?: number;
}

/** What the pattern means here; undefined without a pattern. Unknown words stay. Source: Istio `BuildStatPrefix`. */
export function statName(pattern: string, parts: StatNameParts): string | undefined {
  if (pattern === '') return undefined;
  const { service, subset, port, portName, targetPort } = parts;
  const isKube = service.registry === 'Kubernetes';
  const words: Readonly<Record<string, string | undefined>> = {
    '%SERVICE%': isKube ? `${service.name}.${service.namespace}` : service.hostname,
    '%SERVICE_NAME%': isKube ? service.name : service.hostname,
    '%SERVICE_FQDN%': service.hostname,
    '%SUBSET_NAME%': subset,
    '%TARGET_PORT%': targetPort === undefined ? undefined : String(targetPort),
    '%SERVICE_PORT%': String(port),
    '%SERVICE_PORT_NAME%': portName,
  };
  const name = pattern.replaceAll(
    /%(?:SERVICE|SERVICE_NAME|SERVICE_FQDN|SUBSET_NAME|TARGET_PORT|SERVICE_PORT|SERVICE_PORT_NAME)%/g,
    (word) => words[word] ?? word,
  );
  // Envoy refuses an empty name, so that what has none keeps its own.
  return name === '' ? undefined : name;
}

/** What is named by a host alone: a Sidecar's ports, and those that nothing names. */
export function unregistered(hostname: Hostname): NamedService {
  return { hostname, name: '', namespace: '', registry: 'External' };
}
