// How one proxy is started: MeshConfig.defaultConfig, ProxyConfig objects and the pod's annotation, merged.
import type { WrittenGatewayTopology } from '../model/gateway-topology.ts';
import type { WrittenProxyHeaders } from '../model/proxy-headers.ts';
import { mergeProxyHeaders } from '../model/proxy-headers.ts';
import { labelsMatch } from '../model/labels.ts';
import type { ProxyConfigConfig } from './config.ts';
import { compareAge } from './config.ts';
import { readMeshConfig } from './mesh-config-reader.ts';
import type { ProxyConfig } from './mesh-config.ts';
import type { Finding } from './schema.ts';
import { isRecord } from './schema.ts';
import type { Checker } from './semantic/checker.ts';
import { parseDocument } from './yaml-document.ts';

/** The pod annotation that holds a ProxyConfig, in YAML or JSON, of MeshConfig's form. */
const proxyConfigAnnotation = 'proxy.istio.io/config';

/** Settings over others; what is absent says nothing. */
export type ProxySettings = Partial<ProxyConfig> & {
  /** `distroless`, `debug`...: which variant of the proxy's image. */
  readonly imageType?: string;
};
export type EffectiveProxyConfig = ProxyConfig & Pick<ProxySettings, 'imageType'>;

export interface ProxyOwner {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Each of these over the ones before: the mesh's defaults; the ProxyConfig of the root namespace and that of the
 * pod's own namespace, both without selector; the annotation; the ProxyConfig of its namespace that selects
 * it. Of several alike the oldest counts. proxyMetadata and proxyHeaders are merged, everything else replaced.
 * Source: Istio `EffectiveProxyConfig`, in which a ProxyConfig that selects the pod wins over its annotation.
 */
export function effectiveProxyConfig(
  meshDefault: ProxyConfig,
  rootNamespace: string,
  configs: readonly ProxyConfigConfig[],
  owner: ProxyOwner,
): EffectiveProxyConfig {
  const byAge = [...configs].sort(compareAge);
  const wide = (namespace: string): ProxySettings =>
    settingsOf(byAge.find((config) => config.namespace === namespace && config.spec.selector === undefined));
  const selecting = byAge.find(({ namespace, spec }) => {
    const labels = spec.selector?.matchLabels ?? {};
    return (
      namespace === owner.namespace && Object.keys(labels).length > 0 && labelsMatch(labels, owner.labels)
    );
  });
  const layers = [
    wide(rootNamespace),
    owner.namespace === rootNamespace ? {} : wide(owner.namespace),
    readProxySettings(owner.annotations[proxyConfigAnnotation] ?? '').settings,
    settingsOf(selecting),
  ];
  return layers.reduce<EffectiveProxyConfig>(merge, meshDefault);
}

/** What the control plane is told of a proxy's own settings (metadata PROXY_CONFIG), in MeshConfig's words. */
export interface ToldProxyConfig {
  readonly gatewayTopology: WrittenGatewayTopology;
  readonly proxyHeaders?: WrittenProxyHeaders;
}

/** Undefined where they are the mesh's, which may change while the proxy runs. */
export function toldProxyConfig(own: ProxyConfig, mesh: ProxyConfig): ToldProxyConfig | undefined {
  const { gatewayTopology: topology, proxyHeaders } = own;
  if (topology === mesh.gatewayTopology && proxyHeaders === mesh.proxyHeaders) return undefined;
  return {
    gatewayTopology: {
      numTrustedProxies: topology.trustedProxies,
      forwardClientCertDetails: topology.forwardClientCert,
      ...(topology.proxyProtocol ? { proxyProtocol: {} } : {}),
    },
    ...(proxyHeaders === undefined ? {} : { proxyHeaders }),
  };
}

/** What a ProxyConfig object says, in MeshConfig's words. */
function settingsOf(config: ProxyConfigConfig | undefined): ProxySettings {
  const { concurrency, environmentVariables, image } = config?.spec ?? {};
  return {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(environmentVariables === undefined ? {} : { proxyMetadata: environmentVariables }),
    ...(image?.imageType === undefined ? {} : { imageType: image.imageType }),
  };
}

function merge(below: EffectiveProxyConfig, above: ProxySettings): EffectiveProxyConfig {
  const proxyHeaders = mergeProxyHeaders(below.proxyHeaders, above.proxyHeaders);
  return {
    ...below,
    ...above,
    proxyMetadata: { ...below.proxyMetadata, ...above.proxyMetadata },
    ...(proxyHeaders === undefined ? {} : { proxyHeaders }),
  };
}

/** Names in YAML that are others here. */
const otherNames: Readonly<Record<string, keyof ProxyConfig>> = {
  drainDuration: 'drainDurationMs',
  terminationDrainDuration: 'terminationDrainDurationMs',
};

/** Reads the annotation; where something is wrong with it, it says nothing. Paths are those within its text. */
export function readProxySettings(text: string): {
  readonly settings: ProxySettings;
  readonly findings: readonly Finding[];
} {
  if (text.trim() === '') return { settings: {}, findings: [] };
  const nested = text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
  const { meshConfig, findings: found } = readMeshConfig(`defaultConfig:\n${nested}\n`);
  const findings = found.map((finding) => ({ ...finding, fieldPath: finding.fieldPath.slice(1) }));
  const written = parseDocument(text).value;
  if (meshConfig === undefined || !isRecord(written)) return { settings: {}, findings };
  const read: Readonly<Record<string, unknown>> = { ...meshConfig.defaultConfig };
  const settings = Object.keys(written).flatMap((name) => {
    const ours = otherNames[name] ?? name;
    return Object.hasOwn(read, ours) ? [[ours, read[ours]] as const] : [];
  });
  return { settings: Object.fromEntries(settings), findings };
}

/** Says at the annotation what is wrong within it. `checker` is that of the annotations. */
export function checkProxyConfigAnnotation(
  annotations: Readonly<Record<string, string>> | undefined,
  checker: Checker,
): void {
  const text = annotations?.[proxyConfigAnnotation];
  if (text === undefined) return;
  const place = checker.at(proxyConfigAnnotation);
  for (const { severity, message, fieldPath } of readProxySettings(text).findings) {
    const field = fieldPath.length === 0 ? '' : `${fieldPath.join('.')}: `;
    if (severity === 'error') place.error(`${field}${message}`);
    else place.warn(`${field}${message}`);
  }
}
