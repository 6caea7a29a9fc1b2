// The part of MeshConfig that decides how proxies reach each other and the world: TLS, HTTP/2, keepalive, locality.
import type { DestinationRuleSpec } from '../api/gen/istio-types.js';
import { hostnameCovers } from '../model/hostname.ts';
import type { MeshConfig, TcpKeepalive, TlsDefaults } from './mesh-config.ts';
import type { Schema } from './schema.ts';
import type { Checker } from './semantic/checker.ts';
import { checkLocalityLb } from './semantic/locality-lb.ts';
import { checkZoneAwareLb, zoneAwareLbSchema } from './semantic/zone-aware-lb.ts';
import { checkDuration, checkWildcardDomain, isLabel } from './semantic/rules.ts';

type LocalityLbSetting = NonNullable<
  NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['loadBalancer']>['localityLbSetting']
>;

/** As written, after its structure was found right. */
export interface WrittenUpstream {
  readonly trustDomainAliases?: readonly string[];
  readonly meshMTLS?: TlsDefaults;
  readonly tlsDefaults?: TlsDefaults;
  readonly h2UpgradePolicy?: MeshConfig['h2UpgradePolicy'];
  readonly tcpKeepalive?: TcpKeepalive;
  readonly localityLbSetting?: LocalityLbSetting;
  readonly zoneAwareLbSetting?: NonNullable<MeshConfig['zoneAwareLbSetting']>;
  readonly defaultTrafficPolicy?: NonNullable<MeshConfig['defaultTrafficPolicy']>;
  readonly serviceSettings?: readonly {
    readonly settings?: { readonly clusterLocal?: boolean };
    readonly hosts?: readonly string[];
  }[];
  readonly inboundTrafficPolicy?: { readonly mode?: MeshConfig['inboundTrafficPolicy'] };
  readonly inboundClusterStatName?: string;
  readonly outboundClusterStatName?: string;
}

const text: Schema = { type: 'string' };
const texts: Schema = { type: 'array', items: text };
const object = (properties: Record<string, Schema>): Schema => ({ type: 'object', properties, required: [] });

const tlsSchema = object({
  minProtocolVersion: { type: 'string', enum: ['TLS_AUTO', 'TLSV1_2', 'TLSV1_3'] },
  ecdhCurves: texts,
  cipherSuites: texts,
});

export const upstreamSchemas: Readonly<Record<string, Schema>> = {
  trustDomainAliases: texts,
  meshMTLS: tlsSchema,
  tlsDefaults: tlsSchema,
  h2UpgradePolicy: { type: 'string', enum: ['DO_NOT_UPGRADE', 'UPGRADE'] },
  tcpKeepalive: object({
    probes: { type: 'integer', min: 0, max: 4_294_967_295 },
    time: { type: 'duration' },
    interval: { type: 'duration' },
  }),
  localityLbSetting: object({
    enabled: { type: 'boolean' },
    distribute: {
      type: 'array',
      items: object({
        from: text,
        to: { type: 'map', values: { type: 'integer', min: 0, max: 4_294_967_295 } },
      }),
    },
    failover: { type: 'array', items: object({ from: text, to: text }) },
    failoverPriority: texts,
  }),
  zoneAwareLbSetting: zoneAwareLbSchema,
  // Its structure is a DestinationRule's: mesh-traffic-policy.ts.
  defaultTrafficPolicy: { type: 'any' },
  serviceSettings: {
    type: 'array',
    items: object({ settings: object({ clusterLocal: { type: 'boolean' } }), hosts: texts }),
  },
  inboundTrafficPolicy: object({ mode: { type: 'string', enum: ['PASSTHROUGH', 'LOCALHOST'] } }),
  inboundClusterStatName: text,
  outboundClusterStatName: text,
};

export function checkUpstream(mesh: WrittenUpstream, checker: Checker): void {
  for (const [index, alias] of (mesh.trustDomainAliases ?? []).entries())
    checkTrustDomain(alias, checker.at('trustDomainAliases', index));
  if (mesh.meshMTLS?.ecdhCurves !== undefined)
    checker.at('meshMTLS', 'ecdhCurves').error('mesh TLS does not support ECDH curves configuration');
  for (const [index, { hosts = [] }] of (mesh.serviceSettings ?? []).entries())
    for (const [hostIndex, host] of hosts.entries())
      checkWildcardDomain(host, checker.at('serviceSettings', index, 'hosts', hostIndex));
  for (const curve of findRepeated(mesh.tlsDefaults?.ecdhCurves ?? []))
    checker.at('tlsDefaults', 'ecdhCurves').warn(`${curve} stands here twice`);
  checkLocalityLb(mesh.localityLbSetting, true, checker.at('localityLbSetting'));
  checkZoneAwareLb(mesh.zoneAwareLbSetting, true, checker.at('zoneAwareLbSetting'));
  for (const name of ['time', 'interval'] as const)
    checkDuration(mesh.tcpKeepalive?.[name], checker.at('tcpKeepalive', name));
}

function findRepeated(items: readonly string[]): ReadonlySet<string> {
  return new Set(items.filter((item, index) => items.indexOf(item) < index));
}

/** Labels of letters, digits and `-`, joined by dots; the last one may be empty. */
export function checkTrustDomain(domain: string | undefined, checker: Checker): void {
  if (domain === undefined) return;
  const labels = domain.split('.');
  if (
    domain === '' ||
    !labels.every((label, index) => isLabel(label) || (index === labels.length - 1 && label === ''))
  )
    checker.error(`"${domain}" is not a trust domain: labels of letters, digits and -, joined by dots`);
}

export function upstreamOverDefaults(
  mesh: WrittenUpstream,
  base: MeshConfig,
): Pick<
  MeshConfig,
  | 'trustDomainAliases'
  | 'meshMtls'
  | 'tlsDefaults'
  | 'h2UpgradePolicy'
  | 'tcpKeepalive'
  | 'localityLbSetting'
  | 'zoneAwareLbSetting'
  | 'defaultTrafficPolicy'
  | 'inboundTrafficPolicy'
  | 'clusterLocalHosts'
  | 'inboundClusterStatName'
  | 'outboundClusterStatName'
> {
  const tcpKeepalive = mesh.tcpKeepalive ?? base.tcpKeepalive;
  return {
    trustDomainAliases: mesh.trustDomainAliases ?? base.trustDomainAliases,
    meshMtls: mesh.meshMTLS ?? base.meshMtls,
    tlsDefaults: mesh.tlsDefaults ?? base.tlsDefaults,
    h2UpgradePolicy: mesh.h2UpgradePolicy ?? base.h2UpgradePolicy,
    ...(tcpKeepalive === undefined ? {} : { tcpKeepalive }),
    // Written fields replace single ones of the default, as protobuf merges.
    localityLbSetting: { ...base.localityLbSetting, ...mesh.localityLbSetting },
    ...(mesh.defaultTrafficPolicy === undefined ? {} : { defaultTrafficPolicy: mesh.defaultTrafficPolicy }),
    ...(mesh.zoneAwareLbSetting === undefined ? {} : { zoneAwareLbSetting: mesh.zoneAwareLbSetting }),
    inboundTrafficPolicy: mesh.inboundTrafficPolicy?.mode ?? base.inboundTrafficPolicy,
    clusterLocalHosts: clusterLocalHosts(mesh.serviceSettings ?? [], base.clusterLocalHosts),
    inboundClusterStatName: mesh.inboundClusterStatName ?? base.inboundClusterStatName,
    outboundClusterStatName: mesh.outboundClusterStatName ?? base.outboundClusterStatName,
  };
}

/** An entry that is not cluster-local takes the defaults that it covers back. Source: Istio `ClusterLocalProvider`. */
function clusterLocalHosts(
  settings: NonNullable<WrittenUpstream['serviceSettings']>,
  defaults: MeshConfig['clusterLocalHosts'],
): MeshConfig['clusterLocalHosts'] {
  const written = settings.flatMap(({ settings: own, hosts = [] }) =>
    hosts.map((host) => ({ host, isLocal: own?.clusterLocal === true })),
  );
  const kept = defaults.filter(
    (standard) => !written.some(({ host, isLocal }) => !isLocal && hostnameCovers(standard.host, host)),
  );
  return [...written, ...kept];
}
