// A mesh that runs: who is there and what was written comes from the control plane's debug pages, the configuration
// of a proxy from its own admin port. So explain speaks of what the proxy really has, be it ours or stock Envoy.
import type { Endpoint, Health, Service } from '../model/service.ts';
import type { InterceptionMode } from '../model/proxy-node.ts';
import { UserError } from '../base/user-error.ts';
import { dig, objectOf, objects, section, text } from '../istioctl/config-dump.ts';
import { parseConfigDump } from '../istioctl/config-dump.ts';
import type { JsonObject, JsonValue } from '../istioctl/json-names.ts';
import { ControlPlane } from '../istioctl/control-plane.ts';
import type { ConnectedProxy } from '../istioctl/proxies.ts';
import { connectedProxies } from '../istioctl/proxies.ts';
import type { ProxyAdminIo } from '../istioctl/proxy-admin.ts';
import { askAdmin } from '../istioctl/proxy-admin.ts';
import { dumpedConfiguration } from './dumped-configuration.ts';
import type { MeshObject, MeshView, ProxyView, Workload } from './mesh-view.ts';
import { workloadId } from './mesh-view.ts';
import type { PlacedSource } from './sources.ts';
import type { SourceRef } from './trace.ts';

export interface LivePlace {
  readonly debugAddress: string;
  /** Port of every proxy's admin page. */
  readonly adminPort: number;
}

interface WrittenObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  /** `file:line:column` */
  readonly source?: string;
  readonly inForce?: boolean;
}

const interceptionModes: readonly InterceptionMode[] = ['REDIRECT', 'TPROXY', 'NONE', 'LOOPBACK'];

/** Rejects with a UserError where the control plane does not answer. */
export async function liveMesh(io: ProxyAdminIo, place: LivePlace): Promise<MeshView> {
  const controlPlane = new ControlPlane(io.clock, place.debugAddress);
  const proxies = await connectedProxies(controlPlane);
  const [configs, services, shards, mesh] = await Promise.all(
    ['/debug/configz', '/debug/registryz', '/debug/endpointShardz', '/debug/mesh'].map((page) =>
      controlPlane.getJson(page),
    ),
  );
  const written = (listOf(configs, '/debug/configz') as readonly WrittenObject[]).filter(
    ({ inForce }) => inForce !== false,
  );
  const all = listOf(services, '/debug/registryz') as readonly Service[];
  const endpoints = (listOf(shards, '/debug/endpointShardz') as readonly JsonObject[]).flatMap(
    endpointsOfShard,
  );
  const settings = objectOf(mesh as JsonValue);
  const views = new Map<string, Promise<ProxyView>>();
  return {
    domainSuffix: text(settings['domainSuffix']) || 'cluster.local',
    rootNamespace: text(settings['rootNamespace']) || 'istio-system',
    workloads: workloadsOf(written, proxies),
    services: all,
    endpoints: (service, servicePort) =>
      endpoints.filter(
        (endpoint) =>
          endpoint.hostname === service.hostname &&
          endpoint.serviceNamespace === service.namespace &&
          endpoint.servicePort === servicePort,
      ),
    objects: (kind) => written.filter((object) => object.kind === kind).map(meshObject),
    proxyOf(workload) {
      const proxy = proxies.find(({ id }) => id === workloadId(workload));
      if (proxy === undefined) return Promise.resolve(undefined);
      const view = views.get(proxy.id) ?? askProxy(io, controlPlane, place, proxy);
      views.set(proxy.id, view);
      return view;
    },
  };
}

async function askProxy(
  io: ProxyAdminIo,
  controlPlane: ControlPlane,
  { adminPort }: LivePlace,
  proxy: ConnectedProxy,
): Promise<ProxyView> {
  const host = proxy.ipAddress?.includes(':') === true ? `[${proxy.ipAddress}]` : (proxy.ipAddress ?? '');
  const address = `http://${host}:${adminPort}`;
  const path = '/config_dump?include_eds';
  const dump = parseConfigDump(await askAdmin(io, address, 'GET', path, proxy.id), address + path);
  const query = new URLSearchParams({ proxyID: proxy.id });
  const sources = await controlPlane.getJson(`/debug/sourcez?${query.toString()}`);
  const node = objectOf(dig(section(dump, 'BootstrapConfigDump'), 'bootstrap', 'node'));
  const metadata = objectOf(node['metadata']);
  const mode = interceptionModes.find((known) => known === text(metadata['INTERCEPTION_MODE'])) ?? 'REDIRECT';
  const httpProxyPort = Number(text(metadata['FAIRLEAD_HTTP_PROXY_PORT']));
  return {
    type: text(node['id']).startsWith('router~') ? 'router' : 'sidecar',
    interceptionMode: mode,
    ...(httpProxyPort > 0 ? { httpProxyPort } : {}),
    configuration: dumpedConfiguration(dump, sourcesByResource(sources)),
  };
}

type SourceRow = SourceRef & { readonly type: string; readonly resource: string; readonly at: string };

/** `CDS outbound|80||a.b` -> what it came from. */
function sourcesByResource(value: unknown): ReadonlyMap<string, readonly PlacedSource[]> {
  const found = new Map<string, PlacedSource[]>();
  for (const row of listOf(value, '/debug/sourcez') as readonly SourceRow[]) {
    const { type, resource, at, kind, namespace, name, field, file, line, column } = row;
    const key = `${type} ${resource}`;
    const placed = { at, source: { kind, namespace, name, field, file, line, column } };
    const list = found.get(key);
    if (list === undefined) found.set(key, [placed]);
    else list.push(placed);
  }
  return found;
}

/** Pods that the control plane knows, and proxies that connected without one. */
function workloadsOf(
  written: readonly WrittenObject[],
  proxies: readonly ConnectedProxy[],
): readonly Workload[] {
  const byId = new Map(proxies.map((proxy) => [proxy.id, proxy]));
  const workloads = new Map<string, Workload>();
  for (const { kind, metadata, status, spec } of written) {
    if (kind !== 'Pod' && kind !== 'WorkloadEntry') continue;
    const { name, namespace = '', labels = {}, deletionTimestamp } = metadata;
    const id = `${name}.${namespace}`;
    const proxy = byId.get(id);
    const { podIP, conditions = [] } = (status ?? {}) as {
      podIP?: string;
      conditions?: readonly { type: string; status: string }[];
    };
    const address = kind === 'Pod' ? podIP : (spec as { address?: string } | undefined)?.address;
    workloads.set(id, {
      name,
      namespace,
      addresses: address === undefined ? [] : [address],
      labels,
      workloadName: proxy?.workload ?? name,
      hasProxy: proxy !== undefined,
      isGateway: proxy?.isRouter === true,
      ready: conditions.find(({ type }) => type === 'Ready')?.status !== 'False',
      terminating: deletionTimestamp !== undefined,
    });
  }
  for (const proxy of proxies) {
    if (workloads.has(proxy.id)) continue;
    workloads.set(proxy.id, {
      name: proxy.pod,
      namespace: proxy.namespace,
      addresses: proxy.ipAddress === undefined ? [] : [proxy.ipAddress],
      labels: {},
      workloadName: proxy.workload ?? proxy.pod,
      hasProxy: true,
      isGateway: proxy.isRouter === true,
      ready: true,
      terminating: false,
    });
  }
  return [...workloads.values()];
}

function meshObject({
  kind,
  metadata: { name, namespace = '' },
  spec,
  source = '',
}: WrittenObject): MeshObject {
  // Fields are not known here: the object's own place stands for all of them.
  const [, file = source, line = '0', column = '0'] = /^(.*):(\d+):(\d+)$/.exec(source) ?? [];
  const ref: SourceRef = {
    kind,
    namespace,
    name,
    field: '',
    file,
    line: Number(line),
    column: Number(column),
  };
  return { kind, namespace, name, spec, locate: () => ref };
}

type ShardEndpoint = Endpoint & { readonly hostname: string; readonly serviceNamespace: string };

function endpointsOfShard(shard: JsonObject): readonly ShardEndpoint[] {
  return objects(shard['ep']).map((entry): ShardEndpoint => {
    const endpoint = objectOf(entry['endpoint']);
    const locality = objectOf(endpoint['locality']);
    const port = objectOf(endpoint['servicePort']);
    return {
      hostname: text(dig(entry, 'service', 'hostname')),
      serviceNamespace: text(dig(entry, 'service', 'namespace')),
      address: text(endpoint['address']),
      endpointPort: Number(text(endpoint['port'])),
      servicePortName: text(port['name']),
      servicePort: Number(text(port['port'])),
      labels: objectOf(entry['labels']) as Readonly<Record<string, string>>,
      namespace: text(dig(entry, 'service', 'namespace')),
      workloadName: text(entry['workload']),
      serviceAccount: '',
      network: text(endpoint['network']),
      clusterId: '',
      locality: {
        region: text(locality['region']),
        zone: text(locality['zone']),
        subzone: text(locality['subzone']),
      },
      nodeName: '',
      tlsMode: text(endpoint['tlsMode']) === 'istio' ? 'istio' : 'disabled',
      health: text(endpoint['health']) as Health,
      weight: Number(text(endpoint['weight'])) || 1,
    };
  });
}

function listOf(value: unknown, page: string): readonly unknown[] {
  if (!Array.isArray(value))
    throw new UserError(`the control plane answered ${page} without a list: is it a Fairlead control plane?`);
  return value;
}
