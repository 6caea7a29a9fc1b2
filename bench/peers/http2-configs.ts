// The work of peers/configs.ts with HTTP/2 on both sides, as one static bootstrap for our proxy and stock Envoy.
import { hostCount, hostName } from './configs.ts';

/** An nginx that answers a small body over HTTP/2 on each of `ports`; calls of gRPC get trailers, too. */
export function http2BackendConfig(folder: string, ports: readonly number[]): string {
  return `worker_processes 1; daemon off; pid ${folder}/backend.pid; error_log /dev/null;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; http2_max_concurrent_streams 1024; client_body_temp_path ${folder}/b1;
proxy_temp_path ${folder}/b2; fastcgi_temp_path ${folder}/b3; uwsgi_temp_path ${folder}/b4; scgi_temp_path ${folder}/b5;
server { ${ports.map((port) => `listen 127.0.0.1:${port} http2;`).join(' ')}
  location /bench.Service/ { default_type application/grpc; add_trailer grpc-status 0; return 200 "\\x00\\x00\\x00\\x00\\x05hello"; }
  location / { default_type text/plain; add_header x-version v1; add_header cache-control no-store; return 200 "hello from the backend\\n"; } } }
`;
}

/** A bootstrap with 100 virtual hosts of three routes, header operations, three endpoints and an access log. */
export function http2Bootstrap(
  host: string,
  port: number,
  backends: readonly number[],
  accessLog: string,
): string {
  const address = (at: string, portValue: number): object => ({
    socket_address: { address: at, port_value: portValue },
  });
  const route = { cluster: 'backend', timeout: '15s', max_grpc_timeout: '0s' };
  const virtualHosts = Array.from({ length: hostCount }, (_, index) => ({
    name: `host-${index}`,
    domains: [hostName(index)],
    routes: [
      {
        match: { prefix: '/', headers: [{ name: 'x-user', string_match: { exact: 'jason' } }] },
        route,
      },
      { match: { prefix: '/v2' }, route },
      {
        match: { prefix: '/' },
        route,
        request_headers_to_add: [
          { header: { key: 'x-route', value: 'default' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
        request_headers_to_remove: ['x-internal'],
        response_headers_to_add: [
          { header: { key: 'x-gateway', value: 'bench' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
        response_headers_to_remove: ['x-version'],
      },
    ],
  }));
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'bench',
    use_remote_address: true,
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: accessLog,
        },
      },
    ],
    route_config: { name: 'bench', virtual_hosts: virtualHosts },
    http_filters: [
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  return JSON.stringify({
    node: { id: 'bench', cluster: 'bench' },
    static_resources: {
      listeners: [
        {
          name: 'bench',
          address: address(host, port),
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          name: 'backend',
          type: 'STATIC',
          connect_timeout: '1s',
          circuit_breakers: {
            thresholds: [{ max_requests: 100_000, max_pending_requests: 100_000, max_connections: 1000 }],
          },
          load_assignment: {
            cluster_name: 'backend',
            endpoints: [
              {
                lb_endpoints: backends.map((backend) => ({
                  endpoint: { address: address('127.0.0.1', backend) },
                })),
              },
            ],
          },
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  });
}

/** `hostsFile` holds `hostsMap()`. */
export function http2HaproxyConfig(port: number, backends: readonly number[], hostsFile: string): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend gateway
  bind 127.0.0.1:${port} proto h2
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request del-header x-internal
  http-response del-header x-version
  http-response set-header x-gateway bench
  http-request set-var(txn.backend) hdr(host),lower,map_str(${hostsFile})
  http-request deny deny_status 404 unless { var(txn.backend) -m found }
  http-request set-header X-Route default unless { path_beg /v2 } or { hdr(x-user) -m str jason }
  use_backend %[var(txn.backend)]
backend app
  balance roundrobin
  http-reuse always
${backends.map((backend, i) => `  server s${i} 127.0.0.1:${backend} proto h2`).join('\n')}
`;
}
