// The mesh that files describe, for `explain`: the control plane's World over them, and the pods that they ask for.
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { formatNodeId, nodeMetadata } from '../agent/node-identity.ts';
import type { NodeIdentity } from '../agent/node-identity.ts';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { Graph } from '../collections/index.ts';
import type { Config } from '../config/config.ts';
import { configKey, formatDiagnostic } from '../config/config.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { MeshConfigSource } from '../config/mesh-config-source.ts';
import { filesOf, readBounded } from '../config/read-files.ts';
import { TextReader } from '../config/reader.ts';
import { ConfigStore } from '../config/store.ts';
import type { MeshView } from '../explain/mesh-view.ts';
import { offlineMesh } from '../explain/offline.ts';
import { AddressAllocator } from '../kubelet/addresses.ts';
import { plannedPods } from '../kubelet/planned-pods.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { parseProxyNode } from '../pilot/proxy-node.ts';
import { PilotWorld } from '../pilot/world/world.ts';

export interface FilesOptions {
  readonly paths: readonly string[];
  /** Of objects that do not name one. */
  readonly defaultNamespace: string;
  readonly meshConfigFile: string | undefined;
  /** kubernetes: captured by iptables, with workload certificates. up: as `fairlead up` would run it. */
  readonly as: 'kubernetes' | 'up';
}

/** What Istio's build of Envoy says that it has. */
const istioExtensions = ['istio.alpn', 'istio.metadata_exchange', 'istio.stats'];

/** `fairlead up`'s port of sidecars' HTTP proxy listeners. */
const httpProxyPort = 15080;

/** `problems` are lines for people: what of the files is left out, and what is assumed. */
export function meshOfFiles(options: FilesOptions): {
  readonly mesh: MeshView;
  readonly problems: readonly string[];
} {
  const store = new ConfigStore();
  const problems = readAll(store, options);
  const { mesh, assumedNamespaces } = meshOfStore(store, options);
  for (const namespace of assumedNamespaces)
    problems.push(`note: Namespace ${namespace} is not among the files: its pods are taken to have sidecars`);
  return { mesh, problems };
}

/** The mesh that the objects of a store describe. */
export function meshOfStore(
  store: ConfigStore,
  options: Pick<FilesOptions, 'as' | 'meshConfigFile'>,
): { readonly mesh: MeshView; readonly assumedNamespaces: readonly string[] } {
  const meshConfig = meshConfigOf(store, options);
  const planned = plannedPods(store, {
    interception: options.as === 'up' ? 'loopback' : 'redirect',
    rootNamespace: meshConfig.rootNamespace,
    domainSuffix: meshConfig.domainSuffix,
    trustDomain: meshConfig.domainSuffix,
    httpProxyPort,
    gateway: { hostAddresses: [], hostPort: 8080 },
    allocate: options.as === 'up' ? allocator() : numbered(),
  });
  const written = store.all().filter(({ kind }) => kind !== 'Pod');
  const all: readonly Config[] = [
    ...written,
    ...planned.builtIn,
    ...planned.pods.map(({ config }) => config),
  ];
  const world = new PilotWorld(new Graph(), meshConfig);
  world.apply(all.map((config) => ({ key: configKey(config), after: config })));
  const byKey = new Map(all.map((config) => [configKey(config), config]));
  const byKind = new Map<string, Config[]>();
  for (const config of all) {
    const list = byKind.get(config.kind);
    if (list === undefined) byKind.set(config.kind, [config]);
    else list.push(config);
  }
  const mesh = offlineMesh({
    world,
    services: world.services(),
    objects: (kind) => byKind.get(kind) ?? [],
    object: (kind, namespace, name) => byKey.get(configKey({ kind, namespace, name })),
    pods: planned.pods.map(({ config, workloadName, identity }) => ({
      config,
      workloadName,
      node: identity === undefined ? undefined : nodeOf(identity, options.as),
    })),
  });
  return { mesh, assumedNamespaces: planned.assumedNamespaces };
}

/** Bad objects are named; the others count. */
function readAll(store: ConfigStore, { paths, defaultNamespace }: FilesOptions): string[] {
  const { files, errors } = filesOf(paths);
  if (errors.length > 0) throw new UserError(errors.join('\n'), 2);
  const problems: string[] = [];
  for (const file of files) {
    let content: string | Uint8Array;
    try {
      content = file === '-' ? readFileSync(0) : readBounded(file);
    } catch (error) {
      throw new UserError(
        `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
        2,
      );
    }
    const { configs, diagnostics } = new TextReader(file === '-' ? 'stdin' : file, { defaultNamespace }).read(
      content,
    );
    store.apply([{ source: file, upserts: configs, deletes: [], diagnostics }]);
  }
  for (const diagnostic of store.diagnostics())
    if (diagnostic.severity === 'error') problems.push(`error: ${formatDiagnostic(diagnostic)} (left out)`);
  return problems;
}

function meshConfigOf(
  store: ConfigStore,
  { meshConfigFile }: Pick<FilesOptions, 'meshConfigFile'>,
): MeshConfig {
  const source = new MeshConfigSource({
    store,
    clock: systemClock,
    onChange: () => {},
    ...(meshConfigFile === undefined ? {} : { file: meshConfigFile }),
  });
  try {
    return source.start();
  } finally {
    source.close();
  }
}

function nodeOf(identity: NodeIdentity, as: FilesOptions['as']): ProxyNode {
  const metadata = nodeMetadata(identity);
  // On Kubernetes the agents bring certificates; `fairlead up` does not yet.
  if (as === 'kubernetes') delete metadata['FAIRLEAD_WORKLOAD_CERTIFICATES'];
  // Istio's proxies are Istio's own build of Envoy, whose filters tell the other side what is spoken.
  const extensions = as === 'kubernetes' ? istioExtensions.map((name) => ({ name })) : [];
  const { region, zone, subzone } = identity.locality;
  const locality = { region, zone, subZone: subzone };
  return parseProxyNode(create(NodeSchema, { id: formatNodeId(identity), metadata, extensions, locality }));
}

function allocator(): () => { podIp: string; appAddress: string } {
  const addresses = new AddressAllocator();
  return () => ({ ...addresses.allocate() });
}

/** 10.244.0.0/16 is what most clusters give to pods. */
function numbered(): () => { podIp: string; appAddress: string } {
  let count = 0;
  return () => {
    count++;
    return { podIp: `10.244.${Math.floor(count / 250)}.${(count % 250) + 1}`, appAddress: '' };
  };
}
