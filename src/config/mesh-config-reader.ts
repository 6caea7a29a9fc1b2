// MeshConfig as people write it (the `mesh` of ConfigMap `istio`, or a file) to the settings that we read.
// A field that we do not know is refused by name, and so is one that we know and do not do yet.
import { parseDurationMs } from '../model/duration.ts';
import type { WrittenGatewayTopology } from '../model/gateway-topology.ts';
import { forwardClientCertModes, readGatewayTopology } from '../model/gateway-topology.ts';
import type { MeshConfig, ProxyConfig } from './mesh-config.ts';
import { defaultMeshConfig, defaultProxyConfig } from './mesh-config.ts';
import { checkDefaultTrafficPolicy, checkOutboundTls } from './mesh-traffic-policy.ts';
import type { WrittenListeners } from './mesh-listeners.ts';
import { listenerSchemas, listenersOverDefaults } from './mesh-listeners.ts';
import type { WrittenRetries } from './mesh-retries.ts';
import { checkMeshRetries, retrySchemas, writtenRetries } from './mesh-retries.ts';
import type { WrittenUpstream } from './mesh-upstream.ts';
import { checkTrustDomain, checkUpstream, upstreamOverDefaults, upstreamSchemas } from './mesh-upstream.ts';
import type { Finding, Report, Schema } from './schema.ts';
import { checkStructure, describeValue, isRecord, withoutNulls } from './schema.ts';
import { Checker } from './semantic/checker.ts';
import { checkExtensionProviders } from './semantic/extension-providers.ts';
import type { WrittenProxySettings } from './semantic/proxy-settings.ts';
import { checkProxySettings, proxySettingSchemas } from './semantic/proxy-settings.ts';
import { checkDuration, checkExportTo, checkPort, isLabel } from './semantic/rules.ts';
import { parseDocument } from './yaml-document.ts';

/** `meshConfig` is undefined where something is wrong with the text. */
export interface MeshConfigReading {
  readonly meshConfig: MeshConfig | undefined;
  /** Paths are those within the text. */
  readonly findings: readonly Finding[];
  /** Where the text stops being YAML, in UTF-16 units; undefined if it is YAML. */
  readonly syntaxOffset: number | undefined;
}

/** Reads a MeshConfig in YAML; what it does not say has Istio's default. Never throws. */
export function readMeshConfig(text: string): MeshConfigReading {
  const findings: Finding[] = [];
  const report: Report = (finding) => void findings.push(finding);
  const { value, problems } = parseDocument(text);
  for (const { code, message, fieldPath } of problems)
    report({ severity: 'error', code, message, fieldPath });
  const [problem] = problems;
  if (problem !== undefined) return { meshConfig: undefined, findings, syntaxOffset: problem.offset };
  const written = withoutNulls(value ?? {});
  if (!isRecord(written)) {
    report({
      severity: 'error',
      code: 'wrong-type',
      message: `a MeshConfig must be a map, not ${describeValue(written)}`,
      fieldPath: [],
    });
    return { meshConfig: undefined, findings, syntaxOffset: undefined };
  }
  checkStructure(meshSchema, written, [], report);
  const hasErrors = (): boolean => findings.some(({ severity }) => severity === 'error');
  if (!hasErrors()) checkMesh(written, new Checker(report));
  // A provider that nothing names may be as wrong as it likes.
  const doubt: Report = (finding) => report({ ...finding, severity: 'warning', code: 'doubtful' });
  if (written['extensionProviders'] !== undefined)
    checkExtensionProviders(written['extensionProviders'], new Checker(doubt, ['extensionProviders']));
  if (written['defaultTrafficPolicy'] !== undefined)
    checkDefaultTrafficPolicy(written['defaultTrafficPolicy'], ['defaultTrafficPolicy'], report);
  const outbound = written['outboundTrafficPolicy'];
  if (isRecord(outbound) && outbound['tls'] !== undefined)
    checkOutboundTls(outbound['tls'], ['outboundTrafficPolicy', 'tls'], report);
  const meshConfig = hasErrors() ? undefined : overDefaults(written);
  return { meshConfig, findings, syntaxOffset: undefined };
}

interface WrittenProxy extends WrittenProxySettings {
  readonly drainDuration?: string;
  readonly terminationDrainDuration?: string;
  readonly proxyAdminPort?: number;
  readonly statusPort?: number;
  readonly statNameLength?: number;
  readonly concurrency?: number;
  readonly holdApplicationUntilProxyStarts?: boolean;
  readonly gatewayTopology?: WrittenGatewayTopology;
}

interface WrittenMesh extends WrittenUpstream, WrittenRetries, WrittenListeners {
  readonly trustDomain?: string;
  readonly rootNamespace?: string;
  readonly outboundTrafficPolicy?: {
    readonly mode?: MeshConfig['outboundTrafficPolicy'];
    readonly tls?: NonNullable<MeshConfig['outboundTls']>;
  };
  readonly connectTimeout?: string;
  readonly accessLogFile?: string;
  readonly accessLogEncoding?: 'TEXT' | 'JSON';
  readonly accessLogFormat?: string;
  readonly protocolDetectionTimeout?: string;
  readonly dnsRefreshRate?: string;
  readonly proxyHttpPort?: number;
  readonly proxyListenPort?: number;
  readonly proxyInboundListenPort?: number;
  readonly enableAutoMtls?: boolean;
  readonly ingressControllerMode?: MeshConfig['ingressControllerMode'];
  readonly ingressClass?: string;
  readonly ingressSelector?: string;
  readonly ingressService?: string;
  readonly defaultServiceExportTo?: readonly string[];
  readonly defaultVirtualServiceExportTo?: readonly string[];
  readonly defaultDestinationRuleExportTo?: readonly string[];
  readonly defaultConfig?: WrittenProxy;
}

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const texts: Schema = { type: 'array', items: text };
const duration: Schema = { type: 'duration' };
const count: Schema = { type: 'integer', min: 0, max: 2_147_483_647 };
const anything: Schema = { type: 'any' };

const proxySchema: Schema = {
  type: 'object',
  required: [],
  properties: {
    discoveryAddress: text,
    drainDuration: duration,
    terminationDrainDuration: duration,
    proxyAdminPort: count,
    statusPort: count,
    statNameLength: count,
    concurrency: count,
    proxyMetadata: { type: 'map', values: text },
    holdApplicationUntilProxyStarts: flag,
    gatewayTopology: {
      type: 'object',
      properties: {
        numTrustedProxies: count,
        forwardClientCertDetails: { type: 'string', enum: ['UNDEFINED', ...forwardClientCertModes] },
        proxyProtocol: { type: 'object', properties: {}, required: [] },
      },
      required: [],
    },
    // Known: refused or warned of below, or of no account here.
    ...Object.fromEntries(
      [
        'availabilityZone',
        'binaryPath',
        'caCertificatesPem',
        'configPath',
        'controlPlaneAuthPolicy',
        'customConfigFile',
        'discoveryRefreshDelay',
        'envoyAccessLogService',
        'envoyMetricsService',
        'envoyMetricsServiceAddress',
        'extraStatTags',
        'fileFlushInterval',
        'fileFlushMinSizeKb',
        'image',
        'interceptionMode',
        'meshId',
        'parentShutdownDuration',
        'privateKeyProvider',
        'proxyBootstrapTemplatePath',
        'proxyStatsMatcher',
        'readinessProbe',
        'runtimeValues',
        'sds',
        'serviceCluster',
        'statsCompression',
        'statsdUdpAddress',
        'tracing',
        'tracingServiceName',
        'zipkinAddress',
      ].map((name) => [name, anything]),
    ),
    ...proxySettingSchemas,
  },
};

/** MeshConfig's fields that we know and do not do yet. */
const unbuiltFields = [
  'ca',
  'caCertificates',
  'certificates',
  'configSources',
  'discoverySelectors',
  'enableEnvoyAccessLogService',
  'hboneIdleTimeout',
  'serviceEntryVisibility',
  'serviceScopeConfigs',
  'defaultProviders',
];

/** Fields that change nothing as long as nothing refers to them, or that say what is so anyway. */
const idleFields = [
  'enablePrometheusMerge',
  'enableTracing',
  'extensionProviders',
  'verifyCertificateAtClient',
];

const meshSchema: Schema = {
  type: 'object',
  required: [],
  properties: {
    trustDomain: text,
    rootNamespace: text,
    outboundTrafficPolicy: { type: 'object', properties: { mode: text, tls: anything }, required: [] },
    connectTimeout: duration,
    accessLogFile: text,
    accessLogEncoding: { type: 'string', enum: ['TEXT', 'JSON'] },
    accessLogFormat: text,
    protocolDetectionTimeout: duration,
    dnsRefreshRate: duration,
    proxyHttpPort: count,
    proxyListenPort: count,
    proxyInboundListenPort: count,
    enableAutoMtls: flag,
    ingressControllerMode: { type: 'string', enum: ['OFF', 'DEFAULT', 'STRICT'] },
    ingressClass: text,
    ingressSelector: text,
    ingressService: text,
    defaultServiceExportTo: texts,
    defaultVirtualServiceExportTo: texts,
    defaultDestinationRuleExportTo: texts,
    defaultConfig: proxySchema,
    ...upstreamSchemas,
    ...listenerSchemas,
    ...retrySchemas,
    ...Object.fromEntries([...unbuiltFields, ...idleFields].map((name) => [name, anything])),
  },
};

/** What the unbuilt fields may say, because it is the default. */
const harmlessValues: Readonly<Record<string, (value: unknown) => boolean>> = {
  defaultProviders: (value) =>
    isRecord(value) &&
    Object.entries(value).every(
      ([name, providers]) =>
        Array.isArray(providers) &&
        (providers.length === 0 || (name === 'metrics' && providers.every((one) => one === 'prometheus'))),
    ),
  enableEnvoyAccessLogService: (value) => value === false,
};

function checkMesh(mesh: WrittenMesh, checker: Checker): void {
  for (const [name, value] of Object.entries(mesh)) {
    const isEmptyList = Array.isArray(value) && value.length === 0;
    if (unbuiltFields.includes(name) && !isEmptyList && harmlessValues[name]?.(value) !== true)
      checker.at(name).unsupported();
  }
  if ('extensionProviders' in mesh)
    checker
      .at('extensionProviders')
      .warn('has no effect yet: it is checked, but nothing that is built refers to it');
  checkOutboundPolicy(mesh.outboundTrafficPolicy ?? {}, checker.at('outboundTrafficPolicy'));
  checkUpstream(mesh, checker);
  checkMeshRetries(mesh, checker);
  checkTrustDomain(mesh.trustDomain, checker.at('trustDomain'));
  if (mesh.rootNamespace !== undefined && !isLabel(mesh.rootNamespace))
    checker.at('rootNamespace').error(`"${mesh.rootNamespace}" is not a namespace`);
  checkDuration(mesh.connectTimeout, checker.at('connectTimeout'));
  // 0 turns detection's patience off: it waits for ever.
  if ((parseDurationMs(mesh.protocolDetectionTimeout ?? '0s') ?? 0) !== 0)
    checkDuration(mesh.protocolDetectionTimeout, checker.at('protocolDetectionTimeout'));
  checkDuration(mesh.dnsRefreshRate, checker.at('dnsRefreshRate'));
  for (const name of ['proxyListenPort', 'proxyInboundListenPort'] as const)
    if (mesh[name] !== undefined) checkPort(mesh[name], checker.at(name));
  if ((mesh.proxyHttpPort ?? 0) !== 0) checkPort(mesh.proxyHttpPort, checker.at('proxyHttpPort'));
  for (const name of [
    'defaultServiceExportTo',
    'defaultVirtualServiceExportTo',
    'defaultDestinationRuleExportTo',
  ] as const)
    checkExportTo(mesh[name], '.', true, checker.at(name));
  checkProxy(mesh.defaultConfig ?? {}, checker.at('defaultConfig'));
}

function checkOutboundPolicy(policy: Readonly<Record<string, unknown>>, checker: Checker): void {
  const mode = policy['mode'] ?? 'ALLOW_ANY';
  if (mode !== 'ALLOW_ANY' && mode !== 'REGISTRY_ONLY' && mode !== 'ALLOW_ANY_DYNAMIC_DNS')
    checker
      .at('mode')
      .error(`must be ALLOW_ANY, REGISTRY_ONLY or ALLOW_ANY_DYNAMIC_DNS, not ${describeValue(mode)}`);
}

/** Fields of ProxyConfig whose values would change what a proxy does. */
const unbuiltProxyFields = [
  'connectionSettings',
  'customConfigFile',
  'envoyAccessLogService',
  'envoyMetricsService',
  'extraStatTags',
  'privateKeyProvider',
  'proxyBootstrapTemplatePath',
  'proxyStatsMatcher',
  'runtimeValues',
  'statsdUdpAddress',
  'tracing',
];

/** Fields of ProxyConfig that are read, or of no account here: how a container is built, what Istio gave up. */
const idleProxyFields: ReadonlySet<string> = new Set([
  'concurrency',
  'drainDuration',
  'gatewayTopology',
  'proxyHeaders',
  'proxyMetadata',
  'binaryPath',
  'configPath',
  'controlPlaneAuthPolicy',
  'discoveryRefreshDelay',
  'envoyMetricsServiceAddress',
  'image',
  'parentShutdownDuration',
  'sds',
  'serviceCluster',
]);

/** Proxies are started with the defaults of `defaultProxyConfig`, so that writing them changes nothing. */
function isDefault(name: string, value: unknown): boolean {
  const { terminationDrainDurationMs, ...sameNames } = defaultProxyConfig;
  const defaults: Readonly<Record<string, unknown>> = sameNames;
  if (name === 'terminationDrainDuration')
    return parseDurationMs(String(value)) === terminationDrainDurationMs;
  return defaults[name] === value;
}

function checkProxy(proxy: WrittenProxy, checker: Checker): void {
  for (const [name, value] of Object.entries(proxy)) {
    const isEmpty = isRecord(value) && Object.keys(value).length === 0;
    if (isEmpty) continue;
    if (unbuiltProxyFields.includes(name)) checker.at(name).unsupported();
    else if (!idleProxyFields.has(name) && !isDefault(name, value)) checker.at(name).withoutEffect();
  }
  for (const name of ['proxyAdminPort', 'statusPort'] as const)
    if ((proxy[name] ?? 0) !== 0) checkPort(proxy[name], checker.at(name));
  checkDuration(proxy.drainDuration, checker.at('drainDuration'));
  if ((parseDurationMs(proxy.drainDuration ?? '0s') ?? 0) % 1000 !== 0)
    checker.at('drainDuration').error('only durations to seconds precision are supported');
  checkProxySettings(proxy, checker);
}

function overDefaults(mesh: WrittenMesh): MeshConfig {
  const base = defaultMeshConfig;
  const ms = (value: string | undefined, otherwise: number): number =>
    value === undefined ? otherwise : (parseDurationMs(value) ?? otherwise);
  return {
    ...base,
    ...upstreamOverDefaults(mesh, base),
    ...writtenRetries(mesh),
    ...listenersOverDefaults(mesh, base),
    trustDomain: mesh.trustDomain ?? base.trustDomain,
    rootNamespace: mesh.rootNamespace ?? base.rootNamespace,
    outboundTrafficPolicy: mesh.outboundTrafficPolicy?.mode ?? base.outboundTrafficPolicy,
    ...(mesh.outboundTrafficPolicy?.tls === undefined ? {} : { outboundTls: mesh.outboundTrafficPolicy.tls }),
    connectTimeoutMs: ms(mesh.connectTimeout, base.connectTimeoutMs),
    accessLogFile: mesh.accessLogFile ?? base.accessLogFile,
    accessLogEncoding: mesh.accessLogEncoding ?? base.accessLogEncoding,
    accessLogFormat: mesh.accessLogFormat ?? base.accessLogFormat,
    protocolDetectionTimeoutMs: ms(mesh.protocolDetectionTimeout, base.protocolDetectionTimeoutMs),
    dnsRefreshRateMs: ms(mesh.dnsRefreshRate, base.dnsRefreshRateMs),
    proxyHttpPort: mesh.proxyHttpPort ?? base.proxyHttpPort,
    proxyListenPort: mesh.proxyListenPort ?? base.proxyListenPort,
    proxyInboundListenPort: mesh.proxyInboundListenPort ?? base.proxyInboundListenPort,
    enableAutoMtls: mesh.enableAutoMtls ?? base.enableAutoMtls,
    ingressControllerMode: mesh.ingressControllerMode ?? base.ingressControllerMode,
    ingressClass: mesh.ingressClass ?? base.ingressClass,
    ingressSelector: mesh.ingressSelector ?? base.ingressSelector,
    ingressService: mesh.ingressService ?? base.ingressService,
    defaultServiceExportTo: mesh.defaultServiceExportTo ?? base.defaultServiceExportTo,
    defaultVirtualServiceExportTo: mesh.defaultVirtualServiceExportTo ?? base.defaultVirtualServiceExportTo,
    defaultDestinationRuleExportTo:
      mesh.defaultDestinationRuleExportTo ?? base.defaultDestinationRuleExportTo,
    defaultConfig: proxyOverDefaults(mesh.defaultConfig ?? {}),
  };
}

function proxyOverDefaults(proxy: WrittenProxy): ProxyConfig {
  const base = defaultProxyConfig;
  const ms = (value: string | undefined, otherwise: number): number =>
    value === undefined ? otherwise : (parseDurationMs(value) ?? otherwise);
  return {
    discoveryAddress: proxy.discoveryAddress ?? base.discoveryAddress,
    drainDurationMs: ms(proxy.drainDuration, base.drainDurationMs),
    terminationDrainDurationMs: ms(proxy.terminationDrainDuration, base.terminationDrainDurationMs),
    proxyAdminPort: proxy.proxyAdminPort ?? base.proxyAdminPort,
    statusPort: proxy.statusPort ?? base.statusPort,
    statNameLength: proxy.statNameLength ?? base.statNameLength,
    ...(proxy.concurrency === undefined ? {} : { concurrency: proxy.concurrency }),
    proxyMetadata: proxy.proxyMetadata ?? base.proxyMetadata,
    holdApplicationUntilProxyStarts:
      proxy.holdApplicationUntilProxyStarts ?? base.holdApplicationUntilProxyStarts,
    gatewayTopology: readGatewayTopology(proxy.gatewayTopology ?? {}, base.gatewayTopology),
    ...(proxy.proxyHeaders === undefined ? {} : { proxyHeaders: proxy.proxyHeaders }),
  };
}
