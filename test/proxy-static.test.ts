// The data plane as a process with a static bootstrap: what it serves, what its admin port says, how it ends;
// the same questions to stock Envoy, so that names and forms stay Envoy's.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { call } from './support/http.ts';
import { fairleadMain } from './support/mesh.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const backendPort = 22400;
const main = process.env['FAIRLEAD_MAIN'] ?? fairleadMain;
let backend: Server;
let directory = '';

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-static-'));
  backend = createServer((request, response) => {
    const delayMs = Number(new URL(request.url ?? '/', 'http://x').searchParams.get('delay') ?? 0);
    setTimeout(() => response.end(`hello ${request.url}`), delayMs);
  });
  await new Promise<void>((resolve) => backend.listen(backendPort, '127.0.0.1', resolve));
});
afterAll(() => {
  backend.closeAllConnections();
  backend.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Ports {
  readonly admin: number;
  readonly http: number;
  readonly tcp: number;
}

const bootstrap = (ports: Ports, log: string): string => `
node: { id: test-id, cluster: test-cluster }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${ports.admin} } } }
static_resources:
  listeners:
    - name: web
      address: { socket_address: { address: 127.0.0.1, port_value: ${ports.http} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                route_config:
                  name: local
                  virtual_hosts: [{ name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: web } }] }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                access_log:
                  - name: file
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: ${log}
    - name: tcp
      address: { socket_address: { address: 127.0.0.1, port_value: ${ports.tcp} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.tcp_proxy
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: tcp_in
                cluster: bytes
  clusters:
    - name: bytes
      type: STATIC
      load_assignment: { cluster_name: bytes, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${backendPort} } } } }] }] }
    - name: web
      type: STATIC
      load_assignment: { cluster_name: web, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${backendPort} } } } }] }] }
`;

const planes = [
  { plane: 'fairlead', ports: { admin: 22410, http: 22411, tcp: 22412 } },
  { plane: 'envoy', ports: { admin: 22420, http: 22421, tcp: 22422 } },
] as const;

describe.each(planes)('static bootstrap: $plane', ({ plane, ports }) => {
  let proxy: ProxyProcess | undefined;
  afterEach(async () => {
    await proxy?.stop();
    proxy = undefined;
  });
  const start = async (): Promise<{ running: ProxyProcess; log: string }> => {
    const log = join(directory, `${plane}.log`);
    rmSync(log, { force: true });
    proxy = await startProxyProcess(plane, bootstrap(ports, log), ports.admin);
    const running = proxy;
    await waitFor('LIVE', async () => (await running.admin('/ready')).body === 'LIVE\n' || undefined);
    return { running, log };
  };
  const run = test.skipIf(plane === 'envoy' && needs('envoy'));

  run('HTTP and TCP are proxied (D1.01, partly D3.01)', async () => {
    await start();
    expect(await call({ url: `http://127.0.0.1:${ports.http}/a` })).toMatchObject({
      status: 200,
      body: 'hello /a',
    });
    expect(await call({ url: `http://127.0.0.1:${ports.tcp}/b` })).toMatchObject({
      status: 200,
      body: 'hello /b',
    });
  });

  run('admin answers have Envoy’s headers, codes and methods (A2.19, D9.01, D9.02)', async () => {
    const { running } = await start();
    // Stock Envoy answers HEAD with the end of a chunked body, which node's client does not take.
    const head = await running.admin('/config_dump', plane === 'envoy' ? 'GET' : 'HEAD');
    expect(head.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-cache, max-age=0',
      'x-content-type-options': 'nosniff',
      server: 'envoy',
      'transfer-encoding': 'chunked',
    });
    expect(head.headers['date']).toBeDefined();
    if (plane === 'fairlead') expect(head.body).toBe('');
    expect((await running.admin('/server_info')).headers['content-type']).toBe('application/json');
    expect(await running.admin('/nope')).toMatchObject({
      status: 404,
      body: expect.stringMatching(/^invalid path\. admin commands are:\n/),
    });
    for (const path of [
      '/quitquitquit',
      '/healthcheck/fail',
      '/drain_listeners',
      '/reset_counters',
      '/reopen_logs',
    ]) {
      expect(await running.admin(path)).toMatchObject({
        status: 405,
        body: 'Method GET not allowed, POST required.',
      });
    }
    expect(JSON.parse((await running.admin('/certs')).body)).toEqual({ certificates: [] });
    expect(JSON.parse((await running.admin('/runtime')).body)).toEqual({ entries: {}, layers: [] });
    expect(JSON.parse((await running.admin('/server_info')).body)).toMatchObject({
      state: 'LIVE',
      node: { id: 'test-id' },
    });
  });

  run('/clusters and /listeners, text and JSON (A2.15, D9.01)', async () => {
    const { running } = await start();
    await call({ url: `http://127.0.0.1:${ports.http}/a` });
    const host = `web::127.0.0.1:${backendPort}::`;
    const lines = (await running.admin('/clusters')).body.split('\n');
    for (const line of [
      'web::observability_name::web',
      'web::default_priority::max_connections::1024',
      'web::high_priority::max_retries::3',
      'web::added_via_api::false',
      `${host}cx_total::1`,
      `${host}rq_success::1`,
      `${host}rq_total::1`,
      `${host}health_flags::healthy`,
      `${host}weight::1`,
      `${host}priority::0`,
    ]) {
      expect(lines).toContain(line);
    }
    const clusters = JSON.parse((await running.admin('/clusters?format=json')).body) as {
      cluster_statuses: { name: string; host_statuses: { stats: { name: string }[] }[] }[];
    };
    clusters.cluster_statuses.sort((a, b) => (a.name > b.name ? -1 : 1));
    expect(clusters.cluster_statuses[0]).toMatchObject({
      name: 'web',
      observability_name: 'web',
      circuit_breakers: {
        thresholds: [
          { max_connections: 1024, max_pending_requests: 1024, max_requests: 1024, max_retries: 3 },
          {
            priority: 'HIGH',
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
          },
        ],
      },
      host_statuses: [
        {
          address: { socket_address: { address: '127.0.0.1', port_value: backendPort } },
          health_status: { eds_health_status: 'HEALTHY' },
          weight: 1,
        },
      ],
    });
    const names = clusters.cluster_statuses[0]?.host_statuses[0]?.stats.map(({ name }) => name);
    for (const name of [
      'cx_connect_fail',
      'cx_total',
      'rq_error',
      'rq_success',
      'rq_timeout',
      'rq_total',
      'cx_active',
      'rq_active',
    ]) {
      expect(names).toContain(name);
    }
    expect((await running.admin('/listeners')).body).toBe(
      `web::127.0.0.1:${ports.http}\ntcp::127.0.0.1:${ports.tcp}\n`,
    );
    expect(JSON.parse((await running.admin('/listeners?format=json')).body)).toEqual({
      listener_statuses: [
        { name: 'web', local_address: { socket_address: { address: '127.0.0.1', port_value: ports.http } } },
        { name: 'tcp', local_address: { socket_address: { address: '127.0.0.1', port_value: ports.tcp } } },
      ],
    });
  });

  run('/stats: names, values, filters, JSON and Prometheus (D8.01, D9.01)', async () => {
    const { running } = await start();
    for (let i = 0; i < 3; i++) await call({ url: `http://127.0.0.1:${ports.http}/a` });
    await call({ url: `http://127.0.0.1:${ports.tcp}/a` });
    const text = await waitFor('the counts', async () => {
      const { body } = await running.admin('/stats');
      return body.includes('http.ingress.downstream_rq_2xx: 3') ? body : undefined;
    });
    const lines = text.split('\n');
    for (const line of [
      'cluster.web.upstream_rq_total: 3',
      'cluster.web.upstream_rq_200: 3',
      'cluster.web.upstream_rq_2xx: 3',
      'cluster.bytes.upstream_rq_total: 1',
      'cluster.bytes.upstream_cx_total: 1',
      'cluster.web.membership_total: 1',
      'cluster.web.membership_healthy: 1',
      'cluster_manager.active_clusters: 2',
      'cluster_manager.cluster_added: 2',
      'http.ingress.downstream_rq_total: 3',
      'http.ingress.downstream_rq_2xx: 3',
      'http.ingress.downstream_rq_completed: 3',
      'listener_manager.total_listeners_active: 2',
      'listener_manager.workers_started: 1',
      'server.live: 1',
      'server.state: 0',
      'tcp.tcp_in.downstream_cx_total: 1',
      `listener.127.0.0.1_${ports.http}.downstream_cx_total: 3`,
    ]) {
      expect(lines).toContain(line);
    }
    expect((await running.admin('/stats?filter=web.upstream_rq_total$')).body).toBe(
      'cluster.web.upstream_rq_total: 3\n',
    );
    expect((await running.admin('/stats?filter=upstream_rq_timeout$&usedonly')).body).toBe('');
    expect((await running.admin('/stats?type=Gauges&filter=web.membership_total')).body).toBe(
      'cluster.web.membership_total: 1\n',
    );
    expect(
      JSON.parse((await running.admin('/stats?format=json&filter=web.upstream_rq_total$')).body),
    ).toEqual({
      stats: [{ name: 'cluster.web.upstream_rq_total', value: 3 }],
    });
    const prometheus = (await running.admin('/stats/prometheus')).body;
    for (const line of [
      '# TYPE envoy_cluster_upstream_rq_total counter',
      'envoy_cluster_upstream_rq_total{envoy_cluster_name="web"} 3',
      'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="web"} 3',
      'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="web"} 3',
      'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"} 3',
      `envoy_listener_downstream_cx_total{envoy_listener_address="127.0.0.1_${ports.http}"} 3`,
      'envoy_tcp_downstream_cx_total{envoy_tcp_prefix="tcp_in"} 1',
      '# TYPE envoy_cluster_upstream_rq_time histogram',
      'envoy_server_live{} 1',
    ]) {
      expect(prometheus.split('\n')).toContain(line);
    }
    expect(prometheus).toMatch(
      /envoy_cluster_upstream_cx_connect_ms_bucket\{envoy_cluster_name="web",le="\+Inf"\} \d/,
    );
    await running.admin('/reset_counters', 'POST');
    expect((await running.admin('/stats?filter=cluster.web.upstream_rq_total$')).body).toBe(
      'cluster.web.upstream_rq_total: 0\n',
    );
  });

  run('stats_matcher leaves out what is not included (D8.02)', async () => {
    proxy = await startProxyProcess(
      plane,
      `${bootstrap(ports, join(directory, 'm.log'))}
stats_config:
  stats_matcher:
    inclusion_list:
      patterns: [{ prefix: cluster_manager }, { prefix: server }, { suffix: downstream_cx_active }, { safe_regex: { regex: 'http\\.[a-z]*\\.downstream_rq_total' } }]
`,
      ports.admin,
    );
    const running = proxy;
    await waitFor('LIVE', async () => (await running.admin('/ready')).body === 'LIVE\n' || undefined);
    const body = (await running.admin('/stats')).body;
    expect(body).toContain('cluster_manager.active_clusters: 2\n');
    expect(body).toContain(`listener.127.0.0.1_${ports.http}.downstream_cx_active: 0\n`);
    expect(body).toContain('http.ingress.downstream_rq_total: 0\n');
    expect(body).not.toContain('cluster.web.');
    expect(body).not.toContain('http.ingress.downstream_cx_total');
  });

  run('/healthcheck/fail makes /ready say DRAINING, requests are still served (D9.02)', async () => {
    const { running } = await start();
    expect(await running.admin('/healthcheck/fail', 'POST')).toMatchObject({ status: 200, body: 'OK\n' });
    expect(await running.admin('/ready')).toMatchObject({ status: 503, body: 'DRAINING\n' });
    expect((await call({ url: `http://127.0.0.1:${ports.http}/a` })).status).toBe(200);
    await running.admin('/healthcheck/ok', 'POST');
    expect(await running.admin('/ready')).toMatchObject({ status: 200, body: 'LIVE\n' });
  });

  run('/drain_listeners ends accepting; /quitquitquit ends the process (D9.02)', async () => {
    const { running } = await start();
    await running.admin('/drain_listeners', 'POST');
    await waitFor('refused', async () => {
      try {
        await call({ url: `http://127.0.0.1:${ports.http}/a` });
        return undefined;
      } catch {
        return true;
      }
    });
    expect((await running.admin('/server_info')).status).toBe(200);
    const exited = new Promise<number | null>((resolve) => running.child.once('exit', resolve));
    await running.admin('/quitquitquit', 'POST');
    expect(await exited).toBe(0);
  });

  run('the access log has Envoy’s default form (D7.01)', async () => {
    const { running, log } = await start();
    await call({ url: `http://127.0.0.1:${ports.http}/a?b=c`, headers: { 'user-agent': 'test' } });
    await running.admin('/quitquitquit', 'POST');
    const line = await waitFor('the line', () => readFileSync(log, 'utf8') || undefined);
    expect(line).toMatch(
      new RegExp(
        String.raw`^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET /a\?b=c HTTP/1\.1" 200 - 0 12 \d+ \d+ "-" "test" "[0-9a-f-]{36}" "127\.0\.0\.1:${ports.http}" "127\.0\.0\.1:${backendPort}"\n$`,
      ),
    );
  });
});

describe('fairlead proxy', () => {
  const ports: Ports = { admin: 22430, http: 22431, tcp: 22432 };
  const file = (text: string): string => {
    const path = join(directory, 'b.yaml');
    writeFileSync(path, text);
    return path;
  };
  const validate = (text: string): { status: number | null; output: string } => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, 'proxy', '--mode', 'validate', '-c', file(text)],
      { encoding: 'utf8' },
    );
    return { status, output: stdout + stderr };
  };

  test('--mode validate: exit code 0 and OK, or 1 and the reason with its place (D1.01)', () => {
    const good = bootstrap(ports, join(directory, 'x.log'));
    expect(validate(good)).toMatchObject({ status: 0, output: expect.stringContaining("b.yaml' OK") });
    const bad = validate(good.replace('stat_prefix: tcp_in', 'stat_prefx: tcp_in'));
    expect(bad.status).toBe(1);
    expect(bad.output).toMatch(
      /b\.yaml:32:\d+: static_resources\.listeners\[1\]\.filter_chains\[0\]\.filters\[0\]\.typed_config\.stat_prefx: is not a field of envoy\.extensions\.filters\.network\.tcp_proxy\.v3\.TcpProxy/,
    );
    expect(validate(good.replace('type: STATIC', 'type: NOPE')).output).toMatch(
      /static_resources\.clusters\[0\]\.type: /,
    );
    expect(validate('a: [').output).toMatch(/b\.yaml:1:\d+: /);
    expect(validate(`${good}\nhds_config: {}\n`).output).toMatch(
      /hds_config: is not supported by this proxy/,
    );
  });

  test('a static port in use ends the process with 1 and names the owner (D2.01)', async () => {
    const holder = createTcpServer();
    await new Promise<void>((resolve) => holder.listen(ports.http, '127.0.0.1', resolve));
    const child = spawn(process.execPath, [
      main,
      'proxy',
      '-c',
      file(bootstrap(ports, join(directory, 'x.log'))),
    ]);
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1);
    expect(errors).toContain(
      `static_resources.listeners[0] (web): address: cannot bind '127.0.0.1:${ports.http}': address already in use`,
    );
    if (process.platform === 'linux') expect(errors).toContain(`by process ${process.pid} (`);
    await new Promise((resolve) => holder.close(resolve));
  });

  test('SIGTERM: what runs may end, nothing new is taken, then the process ends with 0 (D9.05)', async () => {
    const proxy = await startProxyProcess(
      'fairlead',
      bootstrap(ports, join(directory, 'x.log')),
      ports.admin,
    );
    await waitFor('LIVE', async () => (await proxy.admin('/ready')).body === 'LIVE\n' || undefined);
    const exited = new Promise<number | null>((resolve) => proxy.child.once('exit', resolve));
    const slow = call({ url: `http://127.0.0.1:${ports.http}/slow?delay=700` });
    await new Promise((resolve) => setTimeout(resolve, 200));
    proxy.child.kill('SIGTERM');
    await waitFor('refused', async () => {
      try {
        await call({ url: `http://127.0.0.1:${ports.http}/a` });
        return undefined;
      } catch {
        return true;
      }
    });
    expect(await slow).toMatchObject({ status: 200, body: 'hello /slow?delay=700' });
    expect(await exited).toBe(0);
    await proxy.stop();
  });
});
