// Istio's objects as its test data writes them, in our own forms.
import type { Config } from '../../src/config/config.ts';
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

export function configOf({ apiVersion = '', kind, metadata, spec, status }: TheirObject): Config {
  const controller = metadata.ownerReferences?.find((owner) => owner.controller === true);
  return {
    group: apiVersion.split('/')[0] ?? '',
    version: 'v1',
    kind,
    namespace: metadata.namespace ?? 'default',
    name: metadata.name ?? '',
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    creationTimeMs: 0,
    ...(controller === undefined ? {} : { controller }),
    spec: spec ?? {},
    ...(status === undefined ? {} : { status }),
    locate: () => ({ file: '', line: 1, column: 1 }),
  };
}
