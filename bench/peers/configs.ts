// Configuration of the peers and of the backend: the work of one mesh gateway with 100 hosts of three
// routes each, round robin over three endpoints, header operations, an access log and a request id.

export const hostCount = 100;

export function hostName(index: number): string {
  return `host-${index}.bench`;
}

/** What a browser behind a load balancer sends, about 700 bytes. */
export const requestHeaders: Readonly<Record<string, string>> = {
  Host: hostName(57),
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
  Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Accept-Encoding': 'gzip, deflate, br',
  'Accept-Language': 'en-US,en;q=0.9',
  Cookie: 'session=6f1c9f3e8a7b4d0f9c2e; theme=dark; consent=all',
  'Cache-Control': 'no-cache',
  Referer: 'https://host-57.bench/start',
  'X-Team': 'blue',
};

/** A static nginx that answers a small body on each of `ports`. */
export function backendConfig(folder: string, ports: readonly number[]): string {
  return `worker_processes 1; daemon off; pid ${folder}/backend.pid; error_log /dev/null;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path ${folder}/b1; proxy_temp_path ${folder}/b2;
fastcgi_temp_path ${folder}/b3; uwsgi_temp_path ${folder}/b4; scgi_temp_path ${folder}/b5;
server { ${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')}
  location / { default_type text/plain; add_header x-version v1; add_header cache-control no-store; return 200 "hello from the backend\\n"; } } }
`;
}

export function nginxConfig(folder: string, port: number, backends: readonly number[]): string {
  const proxied = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_hide_header x-version; add_header x-gateway bench; proxy_pass http://backend;`;
  const servers = Array.from(
    { length: hostCount },
    (_, i) => `server { listen 127.0.0.1:${port}; server_name ${hostName(i)};
  location /v2 { ${proxied} } location /api { ${proxied} } location / { ${proxied} } }`,
  );
  return `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http { access_log ${folder}/nginx-access.log combined buffer=64k flush=1s; keepalive_requests 100000000; server_names_hash_bucket_size 128;
client_body_temp_path ${folder}/n1; proxy_temp_path ${folder}/n2; fastcgi_temp_path ${folder}/n3; uwsgi_temp_path ${folder}/n4; scgi_temp_path ${folder}/n5;
upstream backend { ${backends.map((backend) => `server 127.0.0.1:${backend};`).join(' ')} keepalive 256; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port} default_server; return 404; }
${servers.join('\n')}
}
`;
}

/** `hostsFile` holds `hostsMap()`: one look-up finds the host, as in every other target. */
export function haproxyConfig(port: number, backends: readonly number[], hostsFile: string): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
frontend gateway
  bind 127.0.0.1:${port}
  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-response del-header x-version
  http-response set-header x-gateway bench
  http-request set-var(txn.backend) hdr(host),lower,map_str(${hostsFile})
  http-request deny deny_status 404 unless { var(txn.backend) -m found }
  http-request set-header X-Route default unless { path_beg /v2 } or { hdr(x-user) -m str jason }
  use_backend %[var(txn.backend)]
backend app
  balance roundrobin
  http-reuse always
${backends.map((backend, i) => `  server s${i} 127.0.0.1:${backend}`).join('\n')}
`;
}

export function hostsMap(): string {
  return Array.from({ length: hostCount }, (_, i) => `${hostName(i)} app\n`).join('');
}

/** The same work as YAML of the mesh: what our gateway and stock Envoy get, translated, over xDS. */
export function meshYaml(gatewayPort: number, backends: readonly number[]): string {
  const objects = [
    `apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |
    accessLogFile: /dev/stdout`,
    `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: backend, namespace: bench }
spec:
  hosts: [backend.bench.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints:
${backends.map((backend) => `    - { address: 127.0.0.1, ports: { http: ${backend} } }`).join('\n')}`,
    `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: backend, namespace: bench }
spec: { host: backend.bench.internal, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN } } }`,
    `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: bench }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: ${gatewayPort}, name: http, protocol: HTTP }, hosts: ['*.bench'] }]`,
    ...Array.from({ length: hostCount }, (_, i) => virtualServiceYaml(`host-${i}`, hostName(i))),
  ];
  return objects.join('\n---\n');
}

export function virtualServiceYaml(name: string, host: string, header = 'bench'): string {
  return `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: bench }
spec:
  hosts: [${host}]
  gateways: [gateway]
  http:
    - match: [{ headers: { x-user: { exact: jason } } }]
      route: [{ destination: { host: backend.bench.internal } }]
    - match: [{ uri: { prefix: /v2 } }]
      route: [{ destination: { host: backend.bench.internal } }]
    - headers:
        request: { set: { x-route: default }, remove: [x-internal] }
        response: { set: { x-gateway: ${header} }, remove: [x-version] }
      route: [{ destination: { host: backend.bench.internal } }]
`;
}
