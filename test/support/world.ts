// The pilot's World over a list of objects.
import { Graph } from '../../src/collections/index.ts';
import type { Config } from '../../src/config/config.ts';
import { configKey } from '../../src/config/config.ts';
import type { MeshConfig } from '../../src/config/mesh-config.ts';
import { defaultMeshConfig } from '../../src/config/mesh-config.ts';
import { readText } from '../../src/config/reader.ts';
import type { ConfigStore } from '../../src/config/store.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { PilotWorld } from '../../src/pilot/world/world.ts';
import type { World } from '../../src/translate/world.ts';

/** The World that these objects make. */
export function worldOf(configs: readonly Config[], mesh: Partial<MeshConfig> = {}): World {
  const world = new PilotWorld(new Graph(), { ...defaultMeshConfig, ...mesh });
  world.apply(configs.map((config) => ({ key: configKey(config), after: config })));
  return world;
}

/** The World of a YAML text. Throws where something in it is wrong. */
export function worldOfYaml(text: string, mesh: Partial<MeshConfig> = {}, file = 'in.yaml'): World {
  return worldOf(configsOfYaml(text, file), mesh);
}

/** The objects of a YAML text. Throws where something in it is wrong. */
export function configsOfYaml(text: string, file = 'in.yaml'): readonly Config[] {
  // Users may not write these annotations, but tests write objects as they are made of others.
  const hidden = text.replaceAll(internalPrefix, hiddenPrefix);
  const { configs, diagnostics } = readText(file, hidden);
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0)
    throw new Error(
      errors
        .map(({ position, message, fieldPath }) => `${position.line}: ${fieldPath.join('.')}: ${message}`)
        .join('\n'),
    );
  return hidden === text ? configs : configs.map(withInternalAnnotations);
}

/** Replaces what `source` holds by the objects of a YAML text. Throws where something in it is wrong. */
export function putSource(store: ConfigStore, source: string, yaml: string): void {
  const configs = configsOfYaml(yaml, `${source}.yaml`);
  const kept = new Set(configs.map(configKey));
  const gone = store.keysOf(source).filter((key) => !kept.has(key));
  store.applyBatch(source, configs, gone);
}

const internalPrefix = 'internal.istio.io/';
const hiddenPrefix = 'hidden-from-validation/';

function withInternalAnnotations(config: Config): Config {
  const entries = Object.entries(config.annotations).map(([name, value]) => [
    name.replace(hiddenPrefix, internalPrefix),
    value,
  ]);
  return { ...config, annotations: Object.fromEntries(entries) as Record<string, string> };
}

/** A connected proxy: a sidecar of namespace `default` at 10.1.0.1, but for what is given. */
export function proxyNode(part: Partial<ProxyNode> = {}): ProxyNode {
  const { type = 'sidecar', namespace = 'default', podName = 'pod', ipAddresses = ['10.1.0.1'] } = part;
  return {
    id: `${type}~${ipAddresses[0] ?? ''}~${podName}.${namespace}~${namespace}.svc.cluster.local`,
    type,
    ipAddresses,
    podName,
    namespace,
    dnsDomain: `${namespace}.svc.cluster.local`,
    labels: {},
    serviceAccount: 'default',
    workloadName: podName,
    clusterId: 'Kubernetes',
    network: '',
    locality: { region: '', zone: '', subzone: '' },
    istioVersion: '1.32.0',
    interceptionMode: 'REDIRECT',
    adminPort: 15000,
    http10: false,
    workloadCertificates: true,
    ...part,
  };
}
