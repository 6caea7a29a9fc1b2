import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { waitFor } from '../../test/support/wait.ts';
import { systemClock } from '../base/clock.ts';
import { formatDiagnostic } from './config.ts';
import type { MeshConfig } from './mesh-config.ts';
import { defaultMeshConfig } from './mesh-config.ts';
import { readMeshConfig } from './mesh-config-reader.ts';
import { MeshConfigSource } from './mesh-config-source.ts';
import { readText } from './reader.ts';
import { ConfigStore } from './store.ts';
import { formatFieldPath } from '../model/origin.ts';

function complaintsOf(text: string): string[] {
  return readMeshConfig(text).findings.map(
    ({ fieldPath, message }) => `${formatFieldPath(fieldPath)}: ${message}`,
  );
}

test("readMeshConfig: what is not said has Istio's default (C1.01, partly C1.02)", () => {
  expect(readMeshConfig('').meshConfig).toEqual(defaultMeshConfig);
  expect(readMeshConfig('# nothing\n').meshConfig).toMatchObject({
    outboundTrafficPolicy: 'ALLOW_ANY',
    connectTimeoutMs: 10_000,
    enableAutoMtls: true,
    accessLogFile: '',
    protocolDetectionTimeoutMs: 0,
    trustDomain: 'cluster.local',
    rootNamespace: 'istio-system',
    dnsRefreshRateMs: 60_000,
    proxyListenPort: 15_001,
    proxyInboundListenPort: 15_006,
    defaultServiceExportTo: ['*'],
    defaultConfig: {
      discoveryAddress: 'istiod.istio-system.svc:15012',
      drainDurationMs: 45_000,
      terminationDrainDurationMs: 5000,
      proxyAdminPort: 15_000,
      statusPort: 15_020,
      statNameLength: 189,
    },
  });
});

test("readMeshConfig: the ConfigMap of Istio's default installation", () => {
  const { meshConfig, findings } = readMeshConfig(`
accessLogFile: /dev/stdout
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  proxyMetadata: {}
  tracing: {}
defaultProviders:
  metrics:
  - prometheus
enablePrometheusMerge: true
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
connectTimeout: 5s
proxyHttpPort: 15080
rootNamespace: istio-system
trustDomain: cluster.local
`);
  expect(findings).toEqual([]);
  expect(meshConfig).toEqual({
    ...defaultMeshConfig,
    accessLogFile: '/dev/stdout',
    outboundTrafficPolicy: 'REGISTRY_ONLY',
    connectTimeoutMs: 5000,
    proxyHttpPort: 15_080,
  });
});

test('readMeshConfig: each mistake is named (C1.01)', () => {
  expect(complaintsOf('accesLogFile: x')).toEqual([
    'accesLogFile: unknown field "accesLogFile"; did you mean accessLogFile?',
  ]);
  expect(complaintsOf('connectTimeout: 0s')).toContain(
    'connectTimeout: the duration must be 1ms or more, not "0s"',
  );
  expect(complaintsOf('connectTimeout: 10m')).toEqual([]);
  expect(complaintsOf('protocolDetectionTimeout: 0s')).toEqual([]);
  expect(complaintsOf('protocolDetectionTimeout: 1us')[0]).toMatch(/^protocolDetectionTimeout: /);
  expect(complaintsOf('outboundTrafficPolicy: {mode: DENY}')).toEqual([
    'outboundTrafficPolicy.mode: must be ALLOW_ANY, REGISTRY_ONLY or ALLOW_ANY_DYNAMIC_DNS, not "DENY"',
  ]);
  expect(complaintsOf('outboundTrafficPolicy: {tls: {mode: NONE}}')[0]).toMatch(
    /^outboundTrafficPolicy\.tls\.mode: /,
  );
  expect(complaintsOf('outboundTrafficPolicy: REGISTRY_ONLY')).toEqual([
    'outboundTrafficPolicy: must be a map, not "REGISTRY_ONLY"',
  ]);
  expect(complaintsOf('trustDomain: a..b')[0]).toMatch(/^trustDomain: "a\.\.b" is not a trust domain/);
  expect(complaintsOf('trustDomainAliases: [a..b]')[0]).toMatch(/^trustDomainAliases\[0\]: "a\.\.b" is not/);
  expect(complaintsOf('meshMTLS: {ecdhCurves: [P-256]}')).toEqual([
    'meshMTLS.ecdhCurves: mesh TLS does not support ECDH curves configuration',
  ]);
  expect(complaintsOf('localityLbSetting: {distribute: [{from: a, to: {b: 30}}]}')).toEqual([
    'localityLbSetting.distribute[0].to: total locality weight 30 != 100',
  ]);
  expect(complaintsOf('defaultProviders: {accessLogging: [otel]}')).toEqual([
    'defaultProviders: not supported yet',
  ]);
  expect(complaintsOf('defaultConfig: {tracing: {sampling: 10}}')).toEqual([
    'defaultConfig.tracing: not supported yet',
  ]);
  expect(complaintsOf('defaultConfig: {discoveryAddress: istiod}')).toContain(
    'defaultConfig.discoveryAddress: must be host:port, not "istiod"',
  );
  expect(complaintsOf('proxyListenPort: 70000')).toEqual([
    'proxyListenPort: port number 70000 must be in the range 1..65535',
  ]);
  expect(complaintsOf('a: [')[0]).toMatch(/^: not YAML: /);
  expect(complaintsOf('- a')).toEqual([': a MeshConfig must be a map, not a list']);
});

test('readMeshConfig: what decides how proxies reach each other is read, over the defaults', () => {
  const { meshConfig, findings } = readMeshConfig(`
trustDomainAliases: [old.local]
meshMTLS: {minProtocolVersion: TLSV1_3}
tlsDefaults: {cipherSuites: [AES128-SHA]}
h2UpgradePolicy: UPGRADE
tcpKeepalive: {probes: 3, time: 30s}
localityLbSetting: {failoverPriority: [zone]}
inboundTrafficPolicy: {mode: LOCALHOST}
zoneAwareLbSetting: {minClusterSize: 2}
defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}
serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.a']}, {hosts: ['kubernetes.default.svc.cluster.local']}]
outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}
`);
  expect(findings).toEqual([]);
  expect(meshConfig).toEqual({
    ...defaultMeshConfig,
    trustDomainAliases: ['old.local'],
    meshMtls: { minProtocolVersion: 'TLSV1_3' },
    tlsDefaults: { cipherSuites: ['AES128-SHA'] },
    h2UpgradePolicy: 'UPGRADE',
    tcpKeepalive: { probes: 3, time: '30s' },
    localityLbSetting: { enabled: true, failoverPriority: ['zone'] },
    inboundTrafficPolicy: 'LOCALHOST',
    zoneAwareLbSetting: { minClusterSize: 2 },
    defaultTrafficPolicy: { connectionPool: { tcp: { maxConnections: 5 } } },
    clusterLocalHosts: [
      { host: '*.a', isLocal: true },
      { host: 'kubernetes.default.svc.cluster.local', isLocal: false },
      { host: '*.kube-system.svc.cluster.local', isLocal: true },
      { host: 'istiod.istio-system.svc.cluster.local', isLocal: true },
    ],
    outboundTrafficPolicy: 'ALLOW_ANY_DYNAMIC_DNS',
    outboundTls: { mode: 'SIMPLE' },
  });
});

test('readMeshConfig: what has no effect yet is said, unless it is the default', () => {
  expect(
    complaintsOf(
      'enableAutoMtls: true\ndefaultConfig: {drainDuration: 45s, statusPort: 15020, concurrency: 2, statNameLength: 200, interceptionMode: TPROXY, image: {}}',
    ),
  ).toEqual([
    'defaultConfig.statNameLength: has no effect yet',
    'defaultConfig.interceptionMode: has no effect yet',
  ]);
});

test('readMeshConfig: gatewayTopology is read, what it leaves out is Istio’s default (C7.10)', () => {
  const topologyOf = (written: string): unknown => {
    const { meshConfig, findings } = readMeshConfig(`defaultConfig: {gatewayTopology: ${written}}`);
    expect(findings).toEqual([]);
    return meshConfig?.defaultConfig.gatewayTopology;
  };
  const defaults = { trustedProxies: 0, forwardClientCert: 'SANITIZE_SET', proxyProtocol: false };
  expect(topologyOf('{}')).toEqual(defaults);
  expect(topologyOf('{numTrustedProxies: 1, forwardClientCertDetails: UNDEFINED}')).toEqual({
    ...defaults,
    trustedProxies: 1,
  });
  expect(topologyOf('{forwardClientCertDetails: FORWARD_ONLY, proxyProtocol: {}}')).toEqual({
    ...defaults,
    forwardClientCert: 'FORWARD_ONLY',
    proxyProtocol: true,
  });
  expect(complaintsOf('defaultConfig: {gatewayTopology: {forwardClientCertDetails: ALL}}')).toEqual([
    'defaultConfig.gatewayTopology.forwardClientCertDetails: must be one of UNDEFINED, SANITIZE, FORWARD_ONLY, APPEND_FORWARD, SANITIZE_SET, ALWAYS_FORWARD_ONLY, not "ALL"',
  ]);
});

test('readText: a mistake within the block of ConfigMap istio has its own line (C1.01)', () => {
  const { configs, diagnostics } = readText(
    'mesh.yaml',
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |-\n    trustDomain: here\n    defaultConfig:\n      concurency: 2\n',
  );
  expect(configs).toEqual([]);
  expect(diagnostics.map(formatDiagnostic)).toEqual([
    'mesh.yaml:8:7: ConfigMap istio-system/istio: data.mesh.defaultConfig.concurency: unknown field "concurency"; did you mean concurrency?',
  ]);
});

let directory: string;
let source: MeshConfigSource | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-mesh-'));
});

afterEach(() => {
  source?.close();
  source = undefined;
  rmSync(directory, { recursive: true, force: true });
});

function configMap(mesh: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: ${JSON.stringify(mesh)}\n`;
}

test('MeshConfigSource: follows ConfigMap istio, back to the defaults when it goes', () => {
  const store = new ConfigStore();
  const seen: string[] = [];
  source = new MeshConfigSource({
    store,
    clock: systemClock,
    onChange: (mesh) => void seen.push(mesh.accessLogFile),
  });
  expect(source.start()).toEqual(defaultMeshConfig);
  const put = (mesh: string): void =>
    void store.applyBatch('a', readText('a.yaml', configMap(mesh)).configs, []);
  put('accessLogFile: /dev/stdout');
  put('accessLogFile: /dev/stdout # the same');
  put('accessLogFile: /dev/stderr');
  store.dropSource('a');
  expect(seen).toEqual(['/dev/stdout', '/dev/stderr', '']);
  expect(source.current()).toEqual(defaultMeshConfig);
});

test('MeshConfigSource: follows a file, and keeps the last good settings', async () => {
  const file = join(directory, 'mesh.yaml');
  writeFileSync(file, 'accessLogFile: one\n');
  const store = new ConfigStore();
  let told: (() => void) | undefined;
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      told = resolve;
    });
  const seen: MeshConfig[] = [];
  store.subscribeDiagnostics(() => told?.());
  source = new MeshConfigSource({
    store,
    clock: systemClock,
    file,
    onChange: (mesh) => {
      seen.push(mesh);
      told?.();
    },
  });
  expect(source.start().accessLogFile).toBe('one');
  let changed = next();
  writeFileSync(file, 'accessLogFile: two\n');
  await changed;
  expect(source.current().accessLogFile).toBe('two');
  changed = next();
  writeFileSync(file, 'accessLogFile: [\n');
  await changed;
  expect(store.diagnostics().map(formatDiagnostic)[0]).toMatch(/mesh\.yaml:2:1: not YAML: /);
  expect(source.current().accessLogFile).toBe('two');
  changed = next();
  writeFileSync(`${file}.tmp`, 'accessLogFile: three\n');
  renameSync(`${file}.tmp`, file);
  await changed;
  expect(source.current().accessLogFile).toBe('three');
  expect(store.diagnostics()).toEqual([]);
  expect(seen.map(({ accessLogFile }) => accessLogFile)).toEqual(['two', 'three']);
});

test('fault: the mesh config file is deleted, broken and half written while running: the last good settings stay', async () => {
  const file = join(directory, 'mesh.yaml');
  writeFileSync(file, 'accessLogFile: one\n');
  const store = new ConfigStore();
  const clock = new FakeClock();
  const seen: string[] = [];
  source = new MeshConfigSource({
    store,
    clock,
    file,
    onChange: (mesh) => void seen.push(mesh.accessLogFile),
  });
  expect(source.start().accessLogFile).toBe('one');
  const said = (): string => store.diagnostics().map(formatDiagnostic).join();
  /** Until the complaints and the settings are these; the clock goes on meanwhile. */
  const until = (complaint: RegExp, setting: string): Promise<unknown> =>
    waitFor(`${complaint} and ${setting}`, () => {
      clock.advance(60);
      return (complaint.test(said()) && source?.current().accessLogFile === setting) || undefined;
    });
  rmSync(file);
  await until(/mesh\.yaml:1:1: cannot be read \(ENOENT/, 'one');
  writeFileSync(file, 'accessLogFile: two\n');
  await until(/^$/, 'two');
  // A disk that is full leaves an empty file, or the beginning of one.
  writeFileSync(file, '');
  await until(/mesh\.yaml:1:1: is empty/, 'two');
  writeFileSync(file, 'accessLogFile: three\ntrustDomain: "here');
  await until(/mesh\.yaml:\d+:\d+: not YAML/, 'two');
  writeFileSync(file, 'accessLogFile: three\nnoSuchField: 1\n');
  await until(/noSuchField/, 'two');
  rmSync(directory, { recursive: true });
  await until(/cannot be read/, 'two');
  mkdirSync(directory);
  writeFileSync(file, 'accessLogFile: four\n');
  await until(/^$/, 'four');
  expect(seen).toEqual(['two', 'four']);
});
