// DestinationRule: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { DestinationRuleSpec } from '../../api/gen/istio-types.js';
import { parseDurationMs } from '../../model/duration.ts';
import { Checker, each } from './checker.ts';
import { checkSubsetName } from './destination.ts';
import { checkOneOf } from './http-rules.ts';
import { checkLocalityLb } from './locality-lb.ts';
import {
  checkDuration,
  checkExportTo,
  checkFqdn,
  checkIpAddress,
  checkLabels,
  checkPercent,
  checkPort,
  checkSelectorLabels,
  checkWildcardDomain,
  isFqdn,
} from './rules.ts';
import type { Validator } from './validator.ts';
import type { ZoneAwareLbSetting } from './zone-aware-lb.ts';
import { checkZoneAwareLb } from './zone-aware-lb.ts';

export const validateDestinationRule: Validator = (object, meta, report) => {
  const spec = object['spec'] as DestinationRuleSpec;
  const checker = new Checker(report, ['spec']);
  checkWildcardDomain(spec.host ?? '', checker.at('host'));
  checkTrafficPolicy(spec.trafficPolicy, checker.at('trafficPolicy'));
  const names = new Set<string>();
  for (const [subset, place] of each(spec.subsets, checker, 'subsets')) {
    const name = subset.name ?? '';
    if (names.has(name)) place.error(`duplicate subset names: ${name}`);
    names.add(name);
    checkSubsetName(name, place.at('name'));
    checkLabels(subset.labels, place.at('labels'));
    checkTrafficPolicy(subset.trafficPolicy, place.at('trafficPolicy'));
  }
  checkExportTo(spec.exportTo, meta.namespace, false, checker.at('exportTo'));
  const labels = spec.workloadSelector?.matchLabels;
  checkSelectorLabels(labels, checker.at('workloadSelector', 'matchLabels'));
  if (spec.workloadSelector !== undefined && Object.keys(labels ?? {}).length === 0)
    checker.at('workloadSelector').warn('a workload selector without labels');
  if (spec.workloadSelector !== undefined)
    checkOwnExport(spec.exportTo, meta.namespace, checker.at('exportTo'));
};

/** Of DestinationRules and of Sidecars. */
export function checkConnectionPool(pool: ConnectionPool | undefined, checker: Checker): void {
  if (pool === undefined) return;
  const { http, tcp } = pool;
  const newer: HttpPool | undefined = http;
  if (http === undefined && tcp === undefined) checker.error('a connection pool must have http or tcp');
  checkDuration(http?.idleTimeout, checker.at('http', 'idleTimeout'));
  if (http?.h2UpgradePolicy === 'UPGRADE' && http.useClientProtocol === true)
    checker.at('http').error('useClientProtocol must not be true when h2UpgradePolicy is UPGRADE');
  const keepAlive = newer?.http2KeepAlive;
  checkDuration(keepAlive?.interval, checker.at('http', 'http2KeepAlive', 'interval'));
  checkDuration(keepAlive?.timeout, checker.at('http', 'http2KeepAlive', 'timeout'));
  checkDuration(tcp?.connectTimeout, checker.at('tcp', 'connectTimeout'));
  checkDuration(tcp?.maxConnectionDuration, checker.at('tcp', 'maxConnectionDuration'));
  // An idle timeout of 0 turns it off.
  if (tcp?.idleTimeout !== undefined && Math.trunc(parseDurationMs(tcp.idleTimeout) ?? 1) !== 0)
    checkDuration(tcp.idleTimeout, checker.at('tcp', 'idleTimeout'));
  checkDuration(tcp?.tcpKeepalive?.time, checker.at('tcp', 'tcpKeepalive', 'time'));
  checkDuration(tcp?.tcpKeepalive?.interval, checker.at('tcp', 'tcpKeepalive', 'interval'));
}

type TrafficPolicy = NonNullable<DestinationRuleSpec['trafficPolicy']>;
type ConnectionPool = NonNullable<TrafficPolicy['connectionPool']>;

/** `http2KeepAlive` is newer than the package of types. */
type HttpPool = NonNullable<ConnectionPool['http']> & {
  readonly http2KeepAlive?: { readonly interval?: string; readonly timeout?: string };
};

/** `zoneAwareLbSetting` is newer than the package of types. */
type LoadBalancer = NonNullable<TrafficPolicy['loadBalancer']> & {
  readonly zoneAwareLbSetting?: ZoneAwareLbSetting;
};

function checkOwnExport(exportTo: readonly string[] | undefined, namespace: string, checker: Checker): void {
  const others = (exportTo ?? []).filter((entry) => entry !== '.' && entry !== namespace);
  if (others.length > 0)
    checker.error(
      'a destination rule with a workload selector cannot have exportTo beyond its own namespace',
    );
}

function checkTrafficPolicy(policy: TrafficPolicy | undefined, checker: Checker): void {
  if (policy === undefined) return;
  if (Object.keys(policy).length === 0) {
    checker.error('a traffic policy must have at least one field');
    return;
  }
  if (policy.tunnel !== undefined && policy.proxyProtocol !== undefined)
    checker.error('tunnel and proxyProtocol must not be set together');
  checkPolicyBlocks(policy, checker);
  for (const [settings, place] of each(policy.portLevelSettings, checker, 'portLevelSettings')) {
    const { port, ...blocks } = settings;
    if (port === undefined) place.error('a port traffic policy must have a port');
    if (Object.keys(blocks).length === 0) place.error('a port traffic policy must have at least one field');
    checkPolicyBlocks(blocks, place);
  }
  checkTunnel(policy.tunnel, checker.at('tunnel'));
}

type PolicyBlocks = Pick<TrafficPolicy, 'outlierDetection' | 'connectionPool' | 'loadBalancer' | 'tls'>;

function checkPolicyBlocks(blocks: PolicyBlocks, checker: Checker): void {
  checkOutlierDetection(blocks.outlierDetection, checker.at('outlierDetection'));
  checkConnectionPool(blocks.connectionPool, checker.at('connectionPool'));
  checkLoadBalancer(blocks.loadBalancer, blocks.outlierDetection !== undefined, checker.at('loadBalancer'));
  checkClientTls(blocks.tls, checker.at('tls'));
}

/** Of DestinationRules, and of the mesh. */
export function checkOutlierDetection(outlier: TrafficPolicy['outlierDetection'], checker: Checker): void {
  if (outlier === undefined) return;
  checkDuration(outlier.baseEjectionTime, checker.at('baseEjectionTime'));
  checkDuration(outlier.interval, checker.at('interval'));
  if ((outlier.consecutiveErrors ?? 0) !== 0)
    checker
      .at('consecutiveErrors')
      .warn(
        'outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors instead',
      );
  if (outlier.splitExternalLocalOriginErrors !== true && (outlier.consecutiveLocalOriginFailures ?? 0) > 0)
    checker
      .at('consecutiveLocalOriginFailures')
      .error('counts only where splitExternalLocalOriginErrors is true, and it is false');
  checkPercent(outlier.maxEjectionPercent, checker.at('maxEjectionPercent'));
  checkPercent(outlier.minHealthPercent, checker.at('minHealthPercent'));
}

function checkLoadBalancer(
  balancer: TrafficPolicy['loadBalancer'],
  hasOutlierDetection: boolean,
  checker: Checker,
): void {
  if (balancer === undefined) return;
  checkOneOf(balancer, ['simple', 'consistentHash'], checker);
  checkConsistentHash(balancer.consistentHash, checker.at('consistentHash'));
  checkLocalityLb(balancer.localityLbSetting, hasOutlierDetection, checker.at('localityLbSetting'));
  const newer: LoadBalancer = balancer;
  checkZoneAwareLb(newer.zoneAwareLbSetting, hasOutlierDetection, checker.at('zoneAwareLbSetting'));
  const { warmup } = balancer;
  if (warmup === undefined) return;
  const place = checker.at('warmup');
  checkDuration(warmup.duration, place.at('duration'));
  if ((warmup.minimumPercent ?? 0) > 100) place.at('minimumPercent').error('must be 100 at most');
  if (warmup.aggression !== undefined && warmup.aggression <= 0)
    place.at('aggression').error('must be greater than 0');
}

function checkConsistentHash(
  hash: NonNullable<TrafficPolicy['loadBalancer']>['consistentHash'],
  checker: Checker,
): void {
  if (hash === undefined) return;
  checkOneOf(hash, ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'], checker);
  checkOneOf(hash, ['ringHash', 'maglev'], checker);
  const names = new Set<string>();
  if (hash.httpCookie?.name === '') checker.at('httpCookie', 'name').error('the cookie needs a name');
  for (const [attribute, place] of each(
    hash.httpCookie?.attributes,
    checker.at('httpCookie'),
    'attributes',
  )) {
    const name = attribute.name ?? '';
    if (name === '') place.error('the name of a cookie attribute cannot be empty');
    else if (names.has(name)) place.error(`duplicate cookie attribute name: ${name}`);
    names.add(name);
  }
  if ((hash.minimumRingSize ?? 0) !== 0) {
    checker.at('minimumRingSize').warn('minimumRingSize is deprecated, use ringHash.minimumRingSize instead');
    if (hash.ringHash !== undefined || hash.maglev !== undefined)
      checker.error('only one of minimumRingSize or maglev/ringHash can be specified');
  }
  if (hash.maglev === undefined) return;
  const size = hash.maglev.tableSize ?? 0;
  const place = checker.at('maglev', 'tableSize');
  if (size === 0) place.error('must be set for maglev');
  else if (size >= 5_000_011) place.error('must be less than 5000011 for maglev');
  else if (!isPrime(size)) place.error('must be a prime number for maglev');
}

function isPrime(value: number): boolean {
  if (value < 4) return true;
  if (value % 2 === 0) return false;
  for (let factor = 3; factor * factor <= value; factor += 2) if (value % factor === 0) return false;
  return true;
}

/** Of DestinationRules, and of the mesh's outbound traffic. */
export function checkClientTls(tls: TrafficPolicy['tls'], checker: Checker): void {
  if (tls === undefined) return;
  const { mode, credentialName = '', clientCertificate = '', privateKey = '', caCertificates = '' } = tls;
  const hasNames = tls.subjectAltNames !== undefined;
  if (tls.insecureSkipVerify === true) {
    if (mode === 'SIMPLE' && (caCertificates !== '' || credentialName !== '' || hasNames))
      checker.error(
        'cannot specify caCertificates or credentialName or subjectAltNames when insecureSkipVerify is true',
      );
    if (mode === 'MUTUAL' && (caCertificates !== '' || hasNames))
      checker.error('cannot specify caCertificates or subjectAltNames when insecureSkipVerify is true');
  }
  if ((mode === 'SIMPLE' || mode === 'MUTUAL') && credentialName !== '') {
    if (clientCertificate !== '' || caCertificates !== '' || privateKey !== '' || (tls.caCrl ?? '') !== '')
      checker.error(
        'cannot specify client certificates or CA certificate or CA CRL if credentialName is set',
      );
    return;
  }
  if (mode !== 'MUTUAL') return;
  if (clientCertificate === '') checker.error('clientCertificate is required for mutual TLS');
  if (privateKey === '') checker.error('privateKey is required for mutual TLS');
}

function checkTunnel(tunnel: TrafficPolicy['tunnel'], checker: Checker): void {
  if (tunnel === undefined) return;
  const { protocol = '', targetHost = '', targetPort } = tunnel;
  if (!['', 'CONNECT', 'POST'].includes(protocol))
    checker.at('protocol').error(`must be "CONNECT" or "POST", not "${protocol}"`);
  const host = checker.at('targetHost');
  if (targetHost.includes(':')) checkIpAddress(targetHost, host);
  else if (!isFqdn(targetHost) && !/^\d+(\.\d+){3}$/.test(targetHost)) checkFqdn(targetHost, host);
  checkPort(targetPort, checker.at('targetPort'));
}
