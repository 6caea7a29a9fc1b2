// The bootstrap file of a proxy: an Envoy v3 Bootstrap that our proxy and stock Envoy read alike.
//
// What stands in it follows Istio's template (`tools/packaging/common/envoy_bootstrap.json`), with two
// differences: the control plane is reached over plaintext gRPC at an address of its own instead of
// through the agent's socket, and the readiness listener asks the proxy's admin page instead of an
// agent process, because there is none.
import type { JsonObject } from '@bufbuild/protobuf';
import type { EnvoyPatch } from '../config/envoy-filter/select.ts';
import { patchBootstrap } from './bootstrap-patches.ts';
import type { NodeIdentity } from './node-identity.ts';
import { formatNodeId, nodeMetadata, serviceCluster } from './node-identity.ts';

export interface BootstrapOptions {
  readonly node: NodeIdentity;
  /** Where the control plane takes xDS (plaintext gRPC). */
  readonly discovery: { readonly address: string; readonly port: number };
  /** Address of the admin page and of the two static listeners. Default: the node's primary address. */
  readonly bindAddress?: string;
  /** Default 15000. */
  readonly adminPort?: number;
  /** Port that answers `/healthz/ready`. Default 15021. */
  readonly statusPort?: number;
  /** Port that answers `/stats/prometheus`. Default 15090. */
  readonly prometheusPort?: number;
  /** Further statistics to keep, by prefix; Istio's annotation sidecar.istio.io/statsInclusionPrefixes. */
  readonly statsInclusionPrefixes?: readonly string[];
  /** By which the control plane knows the proxy: `authorization: Bearer`. Absent: it is nobody there. */
  readonly token?: string | undefined;
  /** Socket of the agent's SDS server (cluster `sds-grpc`). Absent: there is none. */
  readonly sdsSocket?: string | undefined;
  /** BOOTSTRAP patches of EnvoyFilters. */
  readonly patches?: readonly EnvoyPatch[];
}

/** Istio's ports on every proxy. */
export const defaultProxyPorts = { admin: 15000, status: 15021, prometheus: 15090 } as const;

/** Pure: equal options give equal files. */
export function renderBootstrap(options: BootstrapOptions): JsonObject {
  return patchBootstrap(ownBootstrap(options), options.patches ?? []);
}

function ownBootstrap(options: BootstrapOptions): JsonObject {
  const { node, discovery } = options;
  const address = options.bindAddress ?? node.ipAddresses[0];
  const adminPort = options.adminPort ?? defaultProxyPorts.admin;
  return {
    node: {
      id: formatNodeId(node),
      cluster: serviceCluster(node),
      locality: {
        region: node.locality.region,
        zone: node.locality.zone,
        sub_zone: node.locality.subzone,
      },
      metadata: nodeMetadata(node),
    },
    layered_runtime: layeredRuntime,
    stats_config: statsConfig(options.statsInclusionPrefixes ?? []),
    admin: { address: socketAddress(address, adminPort) },
    dynamic_resources: dynamicResources(usesDelta(node), options.token),
    static_resources: {
      clusters: [
        staticCluster('prometheus_stats', address, adminPort),
        staticCluster('agent', address, adminPort),
        xdsCluster(discovery.address, discovery.port),
        ...(options.sdsSocket === undefined ? [] : [sdsCluster(options.sdsSocket)]),
      ],
      listeners: [
        staticListener({
          address,
          listenerPort: options.prometheusPort ?? defaultProxyPorts.prometheus,
          statPrefix: 'stats',
          path: '/stats/prometheus',
          cluster: 'prometheus_stats',
        }),
        staticListener({
          address,
          listenerPort: options.statusPort ?? defaultProxyPorts.status,
          statPrefix: 'agent',
          path: '/healthz/ready',
          cluster: 'agent',
          rewrite: '/ready',
        }),
      ],
    },
  };
}

/** Istio's runtime flags. They name behaviour that the xDS of an Istio control plane takes for granted. */
const layeredRuntime: JsonObject = {
  layers: [
    {
      name: 'global config',
      static_layer: {
        // A cluster update must reach the balancer at once, not with the batch's last one.
        'envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update': false,
        // A fragment is cut off before routing instead of answered 400 (CVE-2021-39156).
        'envoy.reloadable_features.http_reject_path_with_fragment': false,
        're2.max_program_size.error_level': '32768',
      },
    },
    { name: 'admin', admin_layer: {} },
  ],
};

function dynamicResources(delta: boolean, token: string | undefined): JsonObject {
  const ads: JsonObject = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  return {
    lds_config: ads,
    cds_config: ads,
    ads_config: {
      api_type: delta ? 'DELTA_GRPC' : 'GRPC',
      set_node_on_first_message_only: true,
      transport_api_version: 'V3',
      grpc_services: [
        {
          envoy_grpc: { cluster_name: 'xds-grpc' },
          ...(token === undefined
            ? {}
            : { initial_metadata: [{ key: 'authorization', value: `Bearer ${token}` }] }),
        },
      ],
    },
  };
}

/**
 * Incremental xDS unless ISTIO_DELTA_XDS in the ProxyConfig's proxyMetadata, an agent's environment in Istio, says
 * false. What is no truth value is passed over, as there.
 */
function usesDelta({ proxyMetadata }: NodeIdentity): boolean {
  return !['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(proxyMetadata?.['ISTIO_DELTA_XDS'] ?? '');
}

/** Tags and inclusion list as Istio's proxies have them: thousands of clusters must not mean 100,000 statistics. */
function statsConfig(inclusionPrefixes: readonly string[]): JsonObject {
  return {
    use_all_default_tags: false,
    stats_tags: [
      { tag_name: 'cluster_name', regex: String.raw`^cluster(\.(.+);)` },
      { tag_name: 'tcp_prefix', regex: String.raw`^tcp\.((.*?)\.)\w+?$` },
      { tag_name: 'response_code', regex: String.raw`_rq(_(\d{3}))$` },
      { tag_name: 'response_code_class', regex: String.raw`_rq(_(\dxx))$` },
      {
        tag_name: 'http_conn_manager_prefix',
        regex: String.raw`^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)`,
      },
      {
        tag_name: 'listener_address',
        regex: String.raw`^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`,
      },
    ],
    stats_matcher: {
      inclusion_list: {
        patterns: [
          { prefix: 'reporter=' },
          ...inclusionPrefixes.map((prefix) => ({ prefix })),
          { prefix: 'cluster_manager' },
          { prefix: 'listener_manager' },
          { prefix: 'server' },
          { prefix: 'cluster.xds-grpc' },
          { prefix: 'wasm' },
          { suffix: 'rbac.allowed' },
          { suffix: 'rbac.denied' },
          { suffix: 'shadow_allowed' },
          { suffix: 'shadow_denied' },
          // Read while a pod drains: its app is stopped when no request is under way any more.
          { suffix: 'downstream_cx_active' },
          { suffix: 'downstream_rq_active' },
          { safe_regex: { regex: String.raw`vhost\..*\.route\..*` } },
          { prefix: 'component' },
          { prefix: 'istio' },
        ],
      },
    },
  };
}

function socketAddress(address: string, port: number): JsonObject {
  return { socket_address: { protocol: 'TCP', address, port_value: port } };
}

function loadAssignment(name: string, address: string, port: number): JsonObject {
  return {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(address, port) } }] }],
  };
}

function staticCluster(name: string, address: string, port: number): JsonObject {
  return {
    name,
    // The semicolon ends the name for the tag `cluster_name`.
    alt_stat_name: `${name};`,
    type: 'STATIC',
    connect_timeout: '0.250s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: loadAssignment(name, address, port),
  };
}

/** Name and settings are Istio's: what the control plane writes refers to it. */
function sdsCluster(path: string): JsonObject {
  return {
    name: 'sds-grpc',
    alt_stat_name: 'sds-grpc;',
    type: 'STATIC',
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    typed_extension_protocol_options: http2Options,
    load_assignment: {
      cluster_name: 'sds-grpc',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  };
}

function xdsCluster(address: string, port: number): JsonObject {
  const unlimited = { max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 };
  return {
    name: 'xds-grpc',
    alt_stat_name: 'xds-grpc;',
    // A name is looked up again on every connection; an address needs no DNS.
    type: /^[\d.]+$|:/.test(address) ? 'STATIC' : 'STRICT_DNS',
    connect_timeout: '1s',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: loadAssignment('xds-grpc', address, port),
    circuit_breakers: {
      thresholds: [
        { priority: 'DEFAULT', ...unlimited },
        { priority: 'HIGH', ...unlimited },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 300 } },
    typed_extension_protocol_options: http2Options,
  };
}

const http2Options: JsonObject = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
};

interface StaticListener {
  readonly address: string;
  readonly listenerPort: number;
  readonly statPrefix: string;
  readonly path: string;
  readonly cluster: string;
  readonly rewrite?: string;
}

function staticListener(listener: StaticListener): JsonObject {
  const route: JsonObject = { cluster: listener.cluster };
  if (listener.rewrite !== undefined) route['prefix_rewrite'] = listener.rewrite;
  return {
    name: `${listener.address}_${listener.listenerPort}`,
    address: socketAddress(listener.address, listener.listenerPort),
    ignore_global_conn_limit: true,
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              codec_type: 'AUTO',
              stat_prefix: listener.statPrefix,
              route_config: {
                virtual_hosts: [
                  {
                    name: 'backend',
                    domains: ['*'],
                    routes: [{ match: { prefix: listener.path }, route }],
                  },
                ],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                  },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}
