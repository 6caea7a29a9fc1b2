// Istio's validation cases as inputs of our readers: whole objects as they are, parts of objects within a small
// object or MeshConfig that is right otherwise, single values by the rule that judges them.
import { stringify } from 'yaml';
import { readMeshConfig } from '../../src/config/mesh-config-reader.ts';
import { readMeshNetworks } from '../../src/config/mesh-networks.ts';
import { checkTrustDomain } from '../../src/config/mesh-upstream.ts';
import { readText } from '../../src/config/reader.ts';
import type { Finding } from '../../src/config/schema.ts';
import { Checker } from '../../src/config/semantic/checker.ts';
import {
  checkExtensionProviders,
  checkProviderService,
} from '../../src/config/semantic/extension-providers.ts';
import { checkMatchHeaderName } from '../../src/config/semantic/http-rules.ts';
import { checkProxyAddress } from '../../src/config/semantic/proxy-settings.ts';
import {
  checkDuration,
  checkFqdn,
  checkIpAddress,
  checkIpSubnet,
  checkPort,
  checkPortName,
  sniDomainProblem,
  wildcardDomainProblem,
} from '../../src/config/semantic/rules.ts';

export interface ValidationCase {
  readonly name: string;
  readonly group: string;
  readonly type?: string;
  readonly check?: string;
  readonly value?: unknown;
  readonly bind?: string;
  readonly isSNI?: boolean;
  readonly outlierDetection?: unknown;
  readonly resource?: Readonly<Record<string, unknown>>;
  readonly expected: { readonly valid: boolean; readonly warning?: boolean };
  readonly heldOut: boolean;
}

type Judged = readonly Pick<Finding, 'severity' | 'code' | 'message'>[];

/** The kinds that we read. */
const kinds: ReadonlySet<unknown> = new Set([
  'DestinationRule',
  'EnvoyFilter',
  'Gateway',
  'PeerAuthentication',
  'ProxyConfig',
  'ServiceEntry',
  'Sidecar',
  'VirtualService',
  'WorkloadEntry',
  'WorkloadGroup',
]);

/** What we find in a case; undefined for a case about something that we do not read. */
export function judge(one: ValidationCase): Judged | undefined {
  const { resource, group, type = '', value } = one;
  if (resource !== undefined) return kinds.has(resource['kind']) ? read(resource) : undefined;
  if (group === 'scalar') return scalars[one.check ?? '']?.(value, one);
  if (group === 'mesh') return judgeMesh(type, expand(value));
  return fragments[type]?.(expand(value), one);
}

function read(resource: unknown): Judged {
  return readText('case.yaml', stringify(expand(resource))).diagnostics;
}

function object(kind: string, spec: object, namespace = 'bar'): Judged {
  return read({ apiVersion: 'networking.istio.io/v1', kind, metadata: { name: 'foo', namespace }, spec });
}

const route = [{ destination: { host: 'foo.com' } }];
const server = { hosts: ['foo.bar.com'], port: { number: 443, name: 'https', protocol: 'HTTPS' } };
const httpRule = (fields: object): Judged =>
  object('VirtualService', { hosts: ['foo.com'], http: [{ route, ...fields }] });
const loadBalancer =
  (name: string) =>
  (value: unknown, { outlierDetection }: ValidationCase): Judged =>
    object('DestinationRule', {
      host: 'foo.com',
      trafficPolicy: {
        loadBalancer: { simple: 'ROUND_ROBIN', ...(value === null ? {} : { [name]: value }) },
        ...(outlierDetection === null ? {} : { outlierDetection }),
      },
    });

const fragments: Readonly<Record<string, (value: unknown, one: ValidationCase) => Judged>> = {
  'Gateway.Port (with bind)': (port, { bind }) =>
    object('Gateway', { servers: [{ hosts: ['foo.bar.com'], port, ...(bind === '' ? {} : { bind }) }] }),
  ServerTLSSettings: (tls) => object('Gateway', { servers: [{ ...server, tls }] }),
  'HTTPFaultInjection.Abort': (abort) =>
    httpRule({ fault: { abort, delay: { fixedDelay: '1s', percentage: { value: 1 } } } }),
  'HTTPFaultInjection.Delay': (delay) =>
    httpRule({ fault: { delay, abort: { httpStatus: 500, percentage: { value: 1 } } } }),
  HTTPRewrite: (rewrite) => httpRule({ rewrite }),
  RegexRewrite: (uriRegexRewrite) => httpRule({ rewrite: { uriRegexRewrite } }),
  'LocalityLoadBalancerSetting (with OutlierDetection)': loadBalancer('localityLbSetting'),
  'ZoneAware setting (with OutlierDetection)': loadBalancer('zoneAwareLbSetting'),
  'exportTo list': (value) => {
    const { namespace, exportTo, isServiceEntry, isDestinationRuleWithSelector } = value as {
      namespace: string;
      exportTo: unknown;
      isServiceEntry: boolean;
      isDestinationRuleWithSelector: boolean;
    };
    if (isServiceEntry) {
      const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
      return object('ServiceEntry', { hosts: ['foo.com'], ports, resolution: 'DNS', exportTo }, namespace);
    }
    const selector = isDestinationRuleWithSelector ? { workloadSelector: { matchLabels: { app: 'a' } } } : {};
    return object('DestinationRule', { host: 'foo.com', exportTo, ...selector }, namespace);
  },
};

function judgeMesh(type: string, value: unknown): Judged {
  const provider = /^meshConfig\.extensionProviders\[\]\.(.*)$/.exec(type)?.[1];
  if (provider !== undefined)
    return checked((checker) => checkExtensionProviders([{ name: 'default', [provider]: value }], checker));
  const mesh = (fields: unknown): Judged => readMeshConfig(stringify(fields)).findings;
  switch (type) {
    case 'MeshNetworks':
      return readMeshNetworks(stringify(value)).findings;
    case 'ProxyConfig':
      return mesh({ defaultConfig: value });
    case 'ConnectionSettings':
      return mesh({ defaultConfig: { connectionSettings: value } });
    case 'DefaultTrafficPolicy':
      return mesh({ defaultTrafficPolicy: value });
    case 'HTTPRetry':
      return mesh({ defaultInboundHttpRetryPolicy: value });
    default:
      return mesh(value);
  }
}

const text =
  (check: (text: string, checker: Checker) => void) =>
  (value: unknown): Judged =>
    checked((checker) => check(String(expand(value)), checker));
const problem =
  (found: (text: string, one: ValidationCase) => string | undefined) =>
  (value: unknown, one: ValidationCase): Judged =>
    checked((checker) => {
      const message = found(String(expand(value)), one);
      if (message !== undefined) checker.error(message);
    });
const mesh =
  (field: string) =>
  (value: unknown): Judged =>
    readMeshConfig(stringify({ [field]: value })).findings;

/** By the name of Istio's function. What is not here is judged nowhere in what we read. */
const scalars: Readonly<Record<string, (value: unknown, one: ValidationCase) => Judged>> = {
  ValidateConnectTimeout: mesh('connectTimeout'),
  ValidateDrainDuration: (value) =>
    readMeshConfig(stringify({ defaultConfig: { drainDuration: value } })).findings,
  ValidateDuration: (value) => {
    const { seconds, nanos } = value as { seconds: number; nanos: number };
    const sign = seconds < 0 || nanos < 0 ? '-' : '';
    const fraction = String(Math.abs(nanos)).padStart(9, '0');
    return checked((checker) => checkDuration(`${sign}${Math.abs(seconds)}.${fraction}s`, checker));
  },
  ValidateExtensionProviderService: text(checkProviderService),
  ValidateFQDN: text(checkFqdn),
  ValidateHTTPHeaderNameOrJwtClaimRoute: text(checkMatchHeaderName),
  ValidateHTTPHeaderValue: (value) => httpRule({ headers: { request: { set: { foo: value } } } }),
  ValidateHTTPStatus: (httpStatus) =>
    httpRule({ fault: { abort: { httpStatus, percentage: { value: 1 } } } }),
  ValidateIPAddress: text(checkIpAddress),
  ValidateIPSubnet: text(checkIpSubnet),
  ValidateLocalities: (value) => {
    const localities = value as readonly string[];
    const distribute = localities.map((from) => ({ from, to: { 'a/b': 100 } }));
    return readMeshConfig(stringify({ localityLbSetting: { distribute } })).findings;
  },
  ValidatePort: (value) => checked((checker) => checkPort(Number(value), checker)),
  ValidatePortName: text(checkPortName),
  ValidateProtocolDetectionTimeout: mesh('protocolDetectionTimeout'),
  ValidateProxyAddress: text(checkProxyAddress),
  ValidateStrictHTTPHeaderName: (value) => httpRule({ headers: { request: { remove: [value] } } }),
  ValidateTrustDomain: text(checkTrustDomain),
  ValidateWildcardDomain: problem(wildcardDomainProblem),
  ValidateWildcardDomainForVirtualServiceBoundToGateway: problem((host, { isSNI }) =>
    isSNI === true ? sniDomainProblem(host) : wildcardDomainProblem(host),
  ),
};

function checked(check: (checker: Checker) => void): Judged {
  const findings: Finding[] = [];
  check(new Checker((finding) => void findings.push(finding)));
  return findings;
}

/** `$repeat` and `$base64Of` are how the data writes oversized values. */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand);
  if (typeof value !== 'object' || value === null) return value;
  const record = value as Record<string, unknown>;
  const repeat = record['$repeat'] as { text?: string; element?: unknown; count: number } | undefined;
  if (repeat !== undefined)
    return repeat.text === undefined
      ? Array.from({ length: repeat.count }, () => expand(repeat.element))
      : repeat.text.repeat(repeat.count);
  if (record['$base64Of'] !== undefined)
    return Buffer.from(String(expand(record['$base64Of']))).toString('base64');
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, expand(item)]));
}
