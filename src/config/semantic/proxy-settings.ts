// ProxyConfig (MeshConfig.defaultConfig): what Istio demands of the settings that name other servers, keys and limits.
// Source: Istio `ValidateMeshConfigProxyConfig` (behaviour of 1.32). What must be set there has a default here.
import { isIP } from 'node:net';
import { parseDurationMs } from '../../model/duration.ts';
import { forwardClientCertModes } from '../../model/gateway-topology.ts';
import type { WrittenProxyHeaders } from '../../model/proxy-headers.ts';
import type { Schema } from '../schema.ts';
import type { Checker } from './checker.ts';
import { isFqdn } from './rules.ts';

const text: Schema = { type: 'string' };
const anything: Schema = { type: 'any' };
const duration: Schema = { type: 'duration' };
const whole: Schema = { type: 'integer', min: -2_147_483_648, max: 4_294_967_295 };
const open = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  properties,
  required: [],
  open: true,
});
const object = (properties: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  properties,
  required: [],
});

const connectionDurations = [
  'httpIdleTimeout',
  'httpMaxConnectionDuration',
  'httpDrainTimeout',
  'httpRequestTimeout',
  'httpRequestHeadersTimeout',
  'httpStreamIdleTimeout',
  'httpMaxStreamDuration',
] as const;

/** The least that each number may be. */
const connectionMinimums: Readonly<Record<string, number>> = {
  listenerPerConnectionBufferLimitBytes: 0,
  clusterPerConnectionBufferLimitBytes: 0,
  httpMaxConcurrentStreams: 1,
  http2InitialStreamWindowSize: 65_535,
  http2InitialConnectionWindowSize: 65_535,
  listenerConnectionLimit: 1,
  globalDownstreamConnectionLimit: 1,
};

const flag: Schema = { type: 'boolean' };
const disabled = object({ disabled: flag });
const enabled = object({ enabled: flag });

const proxyHeadersSchema = object({
  forwardedClientCert: { type: 'string', enum: ['UNDEFINED', ...forwardClientCertModes] },
  setCurrentClientCertDetails: object({ subject: flag, uri: flag, dns: flag, cert: flag, chain: flag }),
  requestId: disabled,
  server: object({ disabled: flag, value: text }),
  attemptCount: disabled,
  envoyDebugHeaders: disabled,
  // The same in both modes: no filter of ours sends these headers.
  metadataExchangeHeaders: object({ mode: { type: 'string', enum: ['UNDEFINED', 'IN_MESH'] } }),
  preserveHttp1HeaderCase: flag,
  xForwardedHost: enabled,
  xForwardedPort: enabled,
});

/** Of the fields that `checkProxySettings` looks into, and of the headers that proxies write. */
export const proxySettingSchemas: Readonly<Record<string, Schema>> = {
  proxyHeaders: proxyHeadersSchema,
  controlPlaneAuthPolicy: { type: 'string', enum: ['NONE', 'MUTUAL_TLS'] },
  statsdUdpAddress: text,
  envoyMetricsServiceAddress: text,
  envoyMetricsService: open({ address: text }),
  envoyAccessLogService: open({ address: text }),
  tracing: open({
    zipkin: open({ address: text }),
    datadog: open({ address: text }),
    lightstep: open({ address: text, accessToken: text }),
    customTags: { type: 'map', values: anything },
  }),
  privateKeyProvider: object({ cryptomb: open({ pollDelay: duration }), qat: open({ pollDelay: duration }) }),
  connectionSettings: object({
    ...Object.fromEntries(connectionDurations.map((name) => [name, duration])),
    ...Object.fromEntries(Object.keys(connectionMinimums).map((name) => [name, whole])),
  }),
};

interface Service {
  readonly address?: string;
}

/** As written, after its structure was found right. */
export interface WrittenProxySettings {
  readonly discoveryAddress?: string;
  readonly statsdUdpAddress?: string;
  readonly envoyMetricsServiceAddress?: string;
  readonly envoyMetricsService?: Service;
  readonly envoyAccessLogService?: Service;
  readonly proxyMetadata?: Readonly<Record<string, string>>;
  readonly proxyHeaders?: WrittenProxyHeaders;
  readonly tracing?: {
    readonly zipkin?: Service;
    readonly datadog?: Service;
    readonly lightstep?: Service & { readonly accessToken?: string };
  };
  readonly privateKeyProvider?: {
    readonly cryptomb?: { readonly pollDelay?: string };
    readonly qat?: { readonly pollDelay?: string };
  };
  readonly connectionSettings?: Readonly<Record<string, string | number>>;
}

export function checkProxySettings(proxy: WrittenProxySettings, checker: Checker): void {
  for (const name of ['discoveryAddress', 'statsdUdpAddress', 'envoyMetricsServiceAddress'] as const)
    checkProxyAddress(proxy[name], checker.at(name));
  for (const name of ['envoyMetricsService', 'envoyAccessLogService'] as const)
    checkProxyAddress(proxy[name]?.address, checker.at(name, 'address'));
  checkTracing(proxy.tracing ?? {}, checker.at('tracing'));
  if (proxy.proxyMetadata?.['ISTIO_META_DNS_AUTO_ALLOCATE'] !== undefined)
    checker
      .at('proxyMetadata', 'ISTIO_META_DNS_AUTO_ALLOCATE')
      .warn('is deprecated: the control plane gives ServiceEntries addresses by itself');
  checkPrivateKeyProvider(proxy.privateKeyProvider, checker.at('privateKeyProvider'));
  checkConnections(proxy.connectionSettings ?? {}, checker.at('connectionSettings'));
}

/** `host:port`, with the host as a DNS name, an IPv4 address, or an IPv6 address in brackets. */
export function checkProxyAddress(address: string | undefined, checker: Checker): void {
  if (address === undefined) return;
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(address) ?? [];
  const host = bracketed ?? plain ?? '';
  const isHost = bracketed === undefined ? isFqdn(host) || isIP(host) === 4 : isIP(bracketed) === 6;
  if (!isHost || Number(port) < 1 || Number(port) > 65_535)
    checker.error(`must be host:port, not "${address}"`);
}

function checkTracing(
  { zipkin, datadog, lightstep }: NonNullable<WrittenProxySettings['tracing']>,
  checker: Checker,
): void {
  const named = { zipkin, datadog, lightstep };
  for (const [name, collector] of Object.entries(named)) {
    if (collector === undefined) continue;
    const place = checker.at(name);
    if (collector.address === undefined) place.error('address is needed');
    checkProxyAddress(collector.address, place.at('address'));
  }
  if (lightstep !== undefined && (lightstep.accessToken ?? '') === '')
    checker.at('lightstep').error('accessToken is needed');
}

function checkPrivateKeyProvider(
  provider: WrittenProxySettings['privateKeyProvider'],
  checker: Checker,
): void {
  if (provider === undefined) return;
  const [first, ...more] = Object.entries(provider);
  if (first === undefined || more.length > 0) {
    checker.error('exactly one of cryptomb and qat is needed');
    return;
  }
  const [name, { pollDelay }] = first;
  if (pollDelay === undefined) checker.at(name).error('pollDelay is needed');
  else if (parseDurationMs(pollDelay) === 0) checker.at(name, 'pollDelay').error('must not be 0');
}

function checkConnections(settings: Readonly<Record<string, string | number>>, checker: Checker): void {
  for (const [name, value] of Object.entries(settings)) {
    const minimum = connectionMinimums[name];
    if (typeof value === 'string') {
      if ((parseDurationMs(value) ?? 0) < 0) checker.at(name).error('must not be negative');
    } else if (minimum !== undefined && value < minimum)
      checker.at(name).error(`must be ${minimum} or more, not ${value}`);
  }
}
