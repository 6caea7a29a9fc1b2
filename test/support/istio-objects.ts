// Istio's objects as its test data writes them, in our own forms.
import type { Config } from '../../src/config/config.ts';
import { kindKey, kindName } from '../../src/config/config.ts';
import { parseProtocol } from '../../src/model/protocol.ts';
import type { Resolution, Service } from '../../src/model/service.ts';

export type Labels = Readonly<Record<string, string>>;

/** A Kubernetes or Istio object in its usual JSON form. */
export interface TheirObject {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly metadata: {
    readonly name?: string;
    readonly namespace?: string;
    readonly labels?: Labels;
    readonly annotations?: Labels;
    readonly creationTimestamp?: string | null;
    readonly generation?: number;
    readonly ownerReferences?: readonly { kind: string; name: string; controller?: boolean }[];
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** A service in Istio's own model. */
export interface TheirService {
  readonly hostname: string;
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
  readonly resolution?: string;
  readonly meshExternal?: boolean;
  readonly creationTime?: string;
  readonly attributes?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly serviceRegistry?: string;
    readonly exportTo?: readonly string[];
    readonly labelSelectors?: Readonly<Record<string, string>>;
  };
}

export function ourService(
  given: Partial<TheirService>,
  defaultExportTo: readonly string[] = ['*'],
): Service {
  const { hostname = '', ports = [], resolution = 'ClientSideLB', attributes = {}, creationTime } = given;
  const { exportTo = [] } = attributes;
  return {
    hostname,
    name: attributes.name ?? hostname,
    namespace: attributes.namespace ?? '',
    ports: ports.map(({ name = '', port, protocol = '' }) => ({
      name,
      servicePort: port,
      protocol: parseProtocol(protocol),
    })),
    addresses: [],
    resolution: ourResolutions[resolution] ?? 'client-side',
    meshExternal: false,
    registry: attributes.serviceRegistry === 'Kubernetes' ? 'Kubernetes' : 'External',
    exportTo: exportTo.length === 0 ? defaultExportTo : exportTo,
    labels: {},
    ...(attributes.labelSelectors === undefined ? {} : { selector: attributes.labelSelectors }),
    subjectAltNames: [],
    publishNotReady: false,
    creationTimeMs: creationTime === undefined ? 0 : Date.parse(creationTime) || 0,
    origin: { kind: 'Service', namespace: '', name: '', fieldPath: [] },
  };
}

export const theirResolutions: Readonly<Record<Resolution, string>> = {
  'client-side': 'ClientSideLB',
  dns: 'DNSLB',
  'dns-round-robin': 'DNSRoundRobinLB',
  passthrough: 'Passthrough',
  alias: 'Alias',
  'dynamic-dns': 'DynamicDNS',
};
const ourResolutions: Readonly<Record<string, Resolution>> = Object.fromEntries(
  Object.entries(theirResolutions).map(([ours, theirs]) => [theirs, ours as Resolution]),
);

export function theirProtocol(protocol: string): string {
  return protocol === 'unsupported' ? 'UnsupportedProtocol' : protocol;
}

/** Istio has one service for each address of a ServiceEntry, we one with all addresses. */
export function uniqueByHost(services: readonly TheirService[]): readonly TheirService[] {
  return services.filter(
    ({ hostname }, index) => services.findIndex((each) => each.hostname === hostname) === index,
  );
}

/** Kinds without a `spec` have all of their fields in it. */
export function configOf<Spec = unknown>(object: TheirObject): Config<Spec> {
  const { apiVersion = '', kind, metadata, spec, status, ...rest } = object;
  const { creationTimestamp, generation } = metadata;
  const [version = 'v1', group = ''] = apiVersion.split('/').reverse();
  const controller = metadata.ownerReferences?.find((owner) => owner.controller === true);
  return {
    group,
    version: version === '' ? 'v1' : version,
    kind: kindKey(group, kind),
    namespace: metadata.namespace ?? 'default',
    name: metadata.name ?? '',
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    creationTimeMs: typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : 0,
    ...(generation === undefined ? {} : { generation }),
    ...(controller === undefined ? {} : { controller }),
    spec: (spec ?? rest) as Spec,
    ...(status === undefined ? {} : { status }),
    locate: () => ({ file: '', line: 1, column: 1 }),
  };
}

/** The object as YAML has it, without times. */
export function theirObjectOf(config: Config): TheirObject {
  const { group, version, kind, namespace, name, labels, annotations, spec, status } = config;
  return {
    apiVersion: group === '' ? version : `${group}/${version}`,
    kind: kindName(kind),
    metadata: {
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      name,
      namespace,
    },
    spec,
    ...(status === undefined ? {} : { status }),
  };
}
