// The debug pages: what each answers. Shapes are istiod's (pilot/pkg/xds/debug.go) where istiod has the page.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { istioCompatVersion } from '../../base/version.ts';
import { kindName } from '../../config/config.ts';
import { formatFieldPath } from '../../model/origin.ts';
import { typeUrls } from '../../xds/types.ts';
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import { pushStatus } from '../push-status.ts';
import { formatOrigin, positionOf } from '../source-position.ts';
import type { Answer, DebugPage } from './answers.ts';
import { connectionOf, json, plain, podId, sortedConnections } from './answers.ts';
import { configDump, resourceJson } from './config-dump.ts';
import { configList } from './config-list.ts';
import { distributionPages } from './distribution-pages.ts';
import { healthPage } from './health-page.ts';
import { loadPage } from './load-page.ts';
import { nameTablePage } from './name-table-page.ts';

const ownPages: readonly DebugPage[] = [
  {
    path: '/debug/adsz',
    help: 'Connected proxies and what they watch; ?push=true looks at all of them again',
    answer: (pilot, query) => {
      if (query.get('push') !== null && query.get('push') !== '')
        return plain(200, `Pushed to ${pilot.pushNow()} servers`);
      const found = query.has('proxyID') ? connectionOf(pilot, query) : sortedConnections(pilot);
      if (!Array.isArray(found)) return 'status' in found ? found : json(adsClients([found]), query);
      return json(adsClients(found), query);
    },
  },
  {
    path: '/debug/config_dump',
    help: 'What a proxy should have, as an Envoy config dump: ?proxyID=, ?types=cds,lds,rds,eds, ?include_eds',
    answer: (pilot, query) => {
      const connection = connectionOf(pilot, query);
      return 'status' in connection ? connection : json(configDump(pilot, connection, query), query);
    },
  },
  {
    path: '/debug/configz',
    help: 'Objects in force, and what is wrong with those that are not',
    answer: (pilot, query) => json(configList(pilot.options.store), query),
  },
  {
    path: '/debug/connections',
    help: 'Connected proxies',
    answer: (pilot, query) =>
      json(
        {
          totalClients: pilot.connections.size,
          clients: sortedConnections(pilot).map(connectionHead),
        },
        query,
      ),
  },
  {
    path: '/debug/edsz',
    help: 'Endpoints: of every service, or with ?proxyID= as that proxy gets them',
    answer: (pilot, query) => {
      if (!query.has('proxyID')) return json(serviceEndpoints(pilot), query);
      const connection = connectionOf(pilot, query);
      if ('status' in connection) return connection;
      const target = connection.target(typeUrls.endpoint);
      const configs = [...(target?.values() ?? [])].map((each) =>
        resourceJson(pilot, typeUrls.endpoint, each),
      );
      return json({ configs }, query);
    },
  },
  {
    path: '/debug/endpointShardz',
    help: 'Endpoints of every service',
    answer: (pilot, query) => json(serviceEndpoints(pilot), query),
  },
  healthPage,
  loadPage,
  nameTablePage,
  {
    path: '/debug/mesh',
    help: 'The mesh config in force',
    answer: (pilot, query) =>
      json(
        pilot.graph.untracked(() => pilot.world.meshConfig()),
        query,
      ),
  },
  {
    path: '/debug/push_status',
    help: 'What was settled between services that ask for the same listener, by metric',
    answer: (pilot, query) => json(pushStatus(pilot.world, pilot.connectedProxies()), query),
  },
  {
    path: '/debug/registryz',
    help: 'Services',
    answer: (pilot, query) => json(pilot.world.services(), query),
  },
  {
    path: '/debug/rejectz',
    help: 'What proxies refused and still is so, with the objects that it came from',
    answer: (pilot, query) => json(rejections(pilot), query),
  },
  {
    path: '/debug/sourcez',
    help: 'Which line of whose YAML each resource came from: ?proxyID=, ?type=CDS|EDS|LDS|RDS',
    answer: sources,
  },
  {
    path: '/debug/statusz',
    help: 'The status that each Ingress and Gateway API object should have: ?kind=, ?namespace=, ?name=',
    answer: (pilot, query) => json(objectStatuses(pilot, query), query),
  },
  {
    path: '/debug/syncz',
    help: 'What each proxy was sent and has acknowledged',
    answer: (pilot, query) => {
      const namespace = query.get('namespace') ?? '';
      const wanted = sortedConnections(pilot).filter(
        ({ node }) => namespace === '' || node.namespace === namespace,
      );
      return json(
        wanted.map((connection) => syncStatus(pilot, connection)),
        query,
      );
    },
  },
];

/** By path. */
export const debugPages: readonly DebugPage[] = [...ownPages, ...distributionPages].sort((a, b) =>
  a.path < b.path ? -1 : 1,
);

function connectionHead({ stream }: ProxyConnection): Record<string, unknown> {
  return {
    connectionId: stream.id,
    connectedAt: new Date(stream.connectedAtMs).toISOString(),
    address: stream.peer,
  };
}

function adsClients(connections: readonly ProxyConnection[]): Record<string, unknown> {
  return {
    totalClients: connections.length,
    clients: connections.map((connection) => ({
      ...connectionHead(connection),
      labels: connection.node.labels,
      metadata: {
        NAMESPACE: connection.node.namespace,
        CLUSTER_ID: connection.node.clusterId,
        NETWORK: connection.node.network,
        SERVICE_ACCOUNT: connection.node.serviceAccount,
        WORKLOAD_NAME: connection.node.workloadName,
        ISTIO_VERSION: connection.node.istioVersion,
        INTERCEPTION_MODE: connection.node.interceptionMode,
      },
      locality: connection.node.locality,
      watches: Object.fromEntries(
        [...connection.stream.subscriptions].map(([typeUrl, { names }]) => [typeUrl, [...names]]),
      ),
      // Ours: what waits for clusters that the proxy does not have yet.
      held: connection.held(),
    })),
  };
}

function syncStatus(pilot: PilotServer, { node, stream }: ProxyConnection): Record<string, unknown> {
  const nonces: Record<string, string> = {};
  const resources: Record<string, unknown> = {};
  for (const [typeUrl, subscription] of stream.subscriptions) {
    resources[typeUrl] = {
      ...(subscription.nonceSent === '' ? {} : { sent: subscription.nonceSent }),
      ...(subscription.nonceAcked === '' ? {} : { acked: subscription.nonceAcked }),
      // Go's zero time, as istiod prints it.
      sentTime:
        subscription.sentAtMs === 0 ? '0001-01-01T00:00:00Z' : new Date(subscription.sentAtMs).toISOString(),
      ...(subscription.rejection === undefined ? {} : { lastError: subscription.rejection.message }),
    };
    const field = syncFields[typeUrl];
    if (field === undefined) continue;
    if (subscription.nonceSent !== '') nonces[`${field}_sent`] = subscription.nonceSent;
    if (subscription.nonceAcked !== '') nonces[`${field}_acked`] = subscription.nonceAcked;
  }
  return {
    cluster_id: node.clusterId,
    proxy: podId(node),
    proxy_type: node.type,
    istio_version: node.istioVersion,
    ...nonces,
    resources,
    // Ours.
    node_id: node.id,
    ip: node.ipAddresses[0],
    workload: node.workloadName,
    istiod: pilot.identity.ID,
    istiod_version: istioCompatVersion,
  };
}

/** Types for which istiod has fields of their own; all are under `resources`. */
const syncFields: Readonly<Record<string, string>> = {
  [typeUrls.cluster]: 'cluster',
  [typeUrls.listener]: 'listener',
  [typeUrls.route]: 'route',
  [typeUrls.endpoint]: 'endpoint',
  [typeUrls.extensionConfig]: 'extensionconfig',
};

/** As istiod showed it up to 1.6: for each service port its instances. */
function serviceEndpoints(pilot: PilotServer): JsonValue {
  return pilot.world.services().flatMap(({ hostname, ports, namespace }) =>
    ports.map((port): JsonObject => ({
      svc: `${hostname}:${port.name}`,
      ep: pilot.world.endpoints(hostname, port.servicePort, namespace).map((endpoint) => ({
        service: { hostname, namespace },
        endpoint: {
          address: endpoint.address,
          port: endpoint.endpointPort,
          servicePort: { name: port.name, port: port.servicePort, protocol: port.protocol },
          health: endpoint.health,
          weight: endpoint.weight,
          locality: { ...endpoint.locality },
          network: endpoint.network,
          tlsMode: endpoint.tlsMode,
        },
        labels: { ...endpoint.labels },
        workload: endpoint.workloadName,
      })),
    })),
  );
}

function rejections(pilot: PilotServer): JsonValue {
  return sortedConnections(pilot).flatMap((connection) =>
    connection.refusals().map(({ typeUrl, resource, message, atMs }) => ({
      proxy: podId(connection.node),
      type: pilot.resources.shortName(typeUrl),
      name: resource.name,
      from: [...new Set(resource.provenance.map(({ origin }) => formatOrigin(pilot.options.store, origin)))],
      message,
      since: new Date(atMs).toISOString(),
    })),
  );
}

/** As Kubernetes writes the objects, without their specs. */
function objectStatuses(pilot: PilotServer, query: URLSearchParams): readonly unknown[] {
  const wanted = (name: string, value: string): boolean =>
    (query.get(name) ?? '') === '' || query.get(name) === value;
  return pilot.graph.untracked(() =>
    pilot.world.statuses().flatMap(({ config, status }) => {
      const { group, version, namespace, name } = config;
      const kind = kindName(config.kind);
      if (!wanted('kind', kind) || !wanted('namespace', namespace) || !wanted('name', name)) return [];
      return [{ apiVersion: `${group}/${version}`, kind, metadata: { namespace, name }, status }];
    }),
  );
}

function sources(pilot: PilotServer, query: URLSearchParams): Answer {
  const connection = connectionOf(pilot, query);
  if ('status' in connection) return connection;
  const wanted = query.get('type')?.toUpperCase();
  const rows: JsonObject[] = [];
  for (const typeUrl of connection.stream.subscriptions.keys()) {
    if (wanted !== undefined && pilot.resources.shortName(typeUrl) !== wanted) continue;
    for (const { name, provenance } of connection.target(typeUrl)?.values() ?? []) {
      for (const { at, origin } of provenance) {
        const position = positionOf(pilot.options.store, origin);
        rows.push({
          type: pilot.resources.shortName(typeUrl),
          resource: name,
          at,
          kind: origin.kind,
          namespace: origin.namespace,
          name: origin.name,
          field: formatFieldPath(origin.fieldPath),
          file: position?.file ?? '',
          line: position?.line ?? 0,
          column: position?.column ?? 0,
        });
      }
    }
  }
  return json(rows, query);
}
