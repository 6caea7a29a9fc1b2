// Listeners at work: binding, updates, draining, hand-off, listener filters, and the ways to refuse.
import { readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { InProcessProxy } from '../../../test/support/in-process-proxy.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { socketAddress } from '../io/socket-address.ts';

const backends = { one: 22101, two: 22102 } as const;
const ports = { a: 22110, b: 22111, outbound: 22112, virtual: 22113 } as const;

let proxy: InProcessProxy;
let servers: Server[] = [];

const bootstrap = `
static_resources:
  clusters:
${Object.entries(backends)
  .map(
    ([name, port]) => `
    - name: ${name}
      type: STATIC
      load_assignment: { cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }] }] }`,
  )
  .join('')}
`;

beforeEach(async () => {
  servers = await Promise.all(
    Object.entries(backends).map(
      ([name, port]) =>
        new Promise<Server>((resolve) => {
          const server = createServer((socket) => {
            socket.on('error', () => {});
            socket.write(`${name}\n`);
            socket.pipe(socket);
          });
          server.listen(port, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  proxy = await startInProcess(bootstrap, { drainTimeMs: 200 });
});

afterEach(() => {
  proxy.close();
  for (const server of servers) server.close();
});

const tcp = (cluster: string): JsonObject => ({
  name: 'tcp',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefix: 'p',
    cluster,
  },
});

const chain = (cluster: string, match: JsonObject = {}): JsonObject => ({
  filter_chain_match: match,
  filters: [tcp(cluster)],
});

const at = (port: number): JsonObject => ({ socket_address: { address: '127.0.0.1', port_value: port } });

const listener = (name: string, port: number, more: JsonObject = {}): JsonObject => ({
  name,
  address: at(port),
  filter_chains: [chain('one')],
  ...more,
});

const filter = (kind: 'tls_inspector' | 'http_inspector' | 'original_dst'): JsonObject => ({
  name: kind,
  typed_config: {
    '@type': `type.googleapis.com/envoy.extensions.filters.listener.${kind}.v3.${
      { tls_inspector: 'TlsInspector', http_inspector: 'HttpInspector', original_dst: 'OriginalDst' }[kind]
    }`,
  },
});

interface Peer {
  readonly socket: Socket;
  /** All that was received. */
  text(): string;
  closed: boolean;
}

function dial(port: number, send?: string): Promise<Peer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const peer: Peer = { socket, text: () => text, closed: false };
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => (peer.closed = true));
    socket.on('end', () => socket.end());
    socket.on('connect', () => {
      socket.on('error', () => {});
      if (send !== undefined) socket.write(send, 'latin1');
      resolve(peer);
    });
  });
}

const says = (peer: Peer, text: string): Promise<unknown> =>
  waitFor(
    `${text.trim()} in ${JSON.stringify(peer.text())}`,
    () => peer.text().includes(text) || undefined,
    5000,
  );
const isClosed = (peer: Peer): Promise<unknown> => waitFor('close', () => peer.closed || undefined, 5000);

const mongo = (more: JsonObject = {}): JsonObject => ({
  name: 'mongo',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy',
    stat_prefix: 'p',
    ...more,
  },
});

describe('ListenerManager: mongo_proxy', () => {
  const through = (more: JsonObject): JsonObject =>
    listener('a', ports.a, { filter_chains: [{ filters: [mongo(more), tcp('one')] }] });

  test('bytes pass as they are', async () => {
    expect(await proxy.listeners('v1', through({}))).toEqual([]);
    const peer = await dial(ports.a, 'ping');
    await says(peer, 'ping');
    peer.socket.destroy();
  });

  test('what would change them is refused', async () => {
    const refused = await proxy.listeners('v1', through({ access_log: '/dev/stdout' }));
    expect(JSON.stringify(refused)).toMatch(/filters\[0\]\.typed_config\.access_log.* is not supported/);
  });
});

describe('ListenerManager: updates', () => {
  test('an added listener serves, a removed one refuses and its connections drain (D1.07, D2.01)', async () => {
    expect(await proxy.listeners('v1', listener('a', ports.a))).toEqual([]);
    const peer = await dial(ports.a);
    await says(peer, 'one');
    expect(await proxy.listeners('v2')).toEqual([]);
    await expect(dial(ports.a)).rejects.toThrow(/ECONNREFUSED/);
    peer.socket.write('still here\n');
    await says(peer, 'still here');
    // After the drain time it is over.
    await isClosed(peer);
    expect(proxy.stat('listener_manager.listener_removed')).toBe(1);
  });

  test('in place: unchanged chains keep their connections for ever, changed ones drain (D1.07)', async () => {
    const two = (second: string): JsonObject =>
      listener('a', ports.a, {
        additional_addresses: [{ address: at(ports.b) }],
        filter_chains: [
          chain('one', { destination_port: ports.a }),
          chain(second, { destination_port: ports.b }),
        ],
      });
    await proxy.listeners('v1', two('one'));
    const kept = await dial(ports.a);
    const changed = await dial(ports.b);
    await says(kept, 'one');
    await says(changed, 'one');
    await proxy.listeners('v2', two('two'));
    const fresh = await dial(ports.b);
    await says(fresh, 'two');
    expect(proxy.stat('listener_manager.listener_in_place_updated')).toBe(1);
    await isClosed(changed);
    kept.socket.write('alive\n');
    await says(kept, 'alive');
    kept.socket.destroy();
    fresh.socket.destroy();
  });

  test('the same bytes change nothing (D1.07)', async () => {
    await proxy.listeners('v1', listener('a', ports.a));
    const [before] = proxy.server.listeners.active();
    await proxy.listeners('v2', listener('a', ports.a));
    expect(proxy.server.listeners.active()[0]).toBe(before);
  });

  test('a new address is bound before the old one is given up (D1.07)', async () => {
    await proxy.listeners('v1', listener('a', ports.a));
    await proxy.listeners('v2', listener('a', ports.b));
    await says(await dial(ports.b), 'one');
    await expect(dial(ports.a)).rejects.toThrow(/ECONNREFUSED/);
  });

  test('a port in use is a NACK that names address and owner; the others are served (D2.01, port in use)', async () => {
    const errors = await proxy.listeners('v1', listener('taken', backends.one), listener('a', ports.a));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      new RegExp(`^Listener taken: address: cannot bind '127.0.0.1:${backends.one}': address already in use`),
    );
    if (process.platform === 'linux') expect(errors[0]).toContain(`by process ${process.pid} (`);
    await says(await dial(ports.a), 'one');
    expect(proxy.server.listeners.failed().map(({ name }) => name)).toEqual(['taken']);
  });

  test('two listeners cannot have one address; a bad update leaves the good version (partly D1.03)', async () => {
    const errors = await proxy.listeners('v1', listener('a', ports.a), listener('b', ports.a));
    expect(errors).toEqual([
      `Listener b: address: has duplicate address '127.0.0.1:${ports.a}' as existing listener a`,
    ]);
    const [error] = await proxy.listeners(
      'v2',
      listener('a', ports.a, { filter_chains: [{ ...chain('one'), transport_socket: { name: 'tls' } }] }),
    );
    expect(error).toMatch(/^Listener a: filter_chains\[0\]\.transport_socket: tls is not supported/);
    await says(await dial(ports.a), 'one');
  });

  test('what is not supported is refused by its path (partly D1.03)', async () => {
    const refused = async (more: JsonObject): Promise<string | undefined> =>
      (await proxy.listeners('v', listener('x', ports.b, more)))[0];
    expect(await refused({ udp_listener_config: {} })).toMatch(
      /Listener x: udp_listener_config: is not supported/,
    );
    expect(await refused({ filter_chains: [{ filters: [tcp('one'), tcp('one')] }] })).toMatch(
      /filter_chains\[0\]\.filters\[0\]\.typed_config: .*must be the last filter/,
    );
    expect(
      await refused({
        filter_chains: [
          {
            filters: [
              { name: 'r', typed_config: { '@type': 'type.googleapis.com/envoy.config.core.v3.Node' } },
            ],
          },
        ],
      }),
    ).toMatch(/filter_chains\[0\]\.filters\[0\]\.typed_config: .*Node is not supported/);
    expect(
      await refused({
        filter_chains: [
          {
            filters: [
              {
                name: 't',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                  stat_prefix: 'p',
                  cluster: 'one',
                  tunneling_config: { hostname: 'x' },
                },
              },
            ],
          },
        ],
      }),
    ).toMatch(/filter_chains\[0\]\.filters\[0\]\.typed_config\.tunneling_config: is not supported/);
  });
});

describe('ListenerManager: connections', () => {
  test('no chain fits: closed, counted and logged with NR (D2.05, D7.03)', async () => {
    const path = '/tmp/fairlead-nr-test.log';
    rmSync(path, { force: true });
    await proxy.listeners(
      'v1',
      listener('a', ports.a, {
        filter_chains: [chain('one', { destination_port: 1 })],
        access_log: [
          {
            name: 'file',
            filter: { response_flag_filter: { flags: ['NR'] } },
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
              path,
              log_format: {
                text_format_source: {
                  inline_string: '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DOWNSTREAM_LOCAL_ADDRESS%\n',
                },
              },
            },
          },
        ],
      }),
    );
    await isClosed(await dial(ports.a));
    expect(proxy.stat(`listener.127.0.0.1_${ports.a}.no_filter_chain_match`)).toBe(1);
    proxy.server.sinks.flushSync();
    expect(readFileSync(path, 'utf8')).toBe(`NR filter_chain_not_found 127.0.0.1:${ports.a}\n`);
    rmSync(path, { force: true });
  });

  test('the default filter chain takes what nothing else does (D2.05)', async () => {
    await proxy.listeners(
      'v1',
      listener('a', ports.a, {
        filter_chains: [chain('one', { destination_port: 1 })],
        default_filter_chain: chain('two'),
      }),
    );
    await says(await dial(ports.a), 'two');
  });

  test('http_inspector decides between chains, and the bytes that it read are not lost (D2.04)', async () => {
    await proxy.listeners(
      'v1',
      listener('a', ports.a, {
        listener_filters: [filter('tls_inspector'), filter('http_inspector')],
        filter_chains: [chain('two', { application_protocols: ['http/1.1'] }), chain('one')],
      }),
    );
    const http = await dial(ports.a, 'GET / HTTP/1.1\r\n');
    await says(http, 'two\nGET / HTTP/1.1');
    const other = await dial(ports.a, '\x00\x01binary');
    await says(other, 'one\n\x00\x01binary');
    expect(proxy.stat('http_inspector.http11_found')).toBe(1);
    expect(proxy.stat('http_inspector.http_not_found')).toBe(1);
    expect(proxy.stat('tls_inspector.tls_not_found')).toBe(2);
  });

  test('a client that says nothing: closed after listener_filters_timeout, or served if that is allowed (D2.04, traps row 21)', async () => {
    const silent = (name: string, port: number, goOn: boolean): JsonObject =>
      listener(name, port, {
        listener_filters: [filter('http_inspector')],
        listener_filters_timeout: '0.1s',
        continue_on_listener_filters_timeout: goOn,
      });
    await proxy.listeners('v1', silent('a', ports.a, false), silent('b', ports.b, true));
    await isClosed(await dial(ports.a));
    expect(proxy.stat(`listener.127.0.0.1_${ports.a}.downstream_pre_cx_timeout`)).toBe(1);
    // A protocol in which the server speaks first.
    await says(await dial(ports.b), 'one');
  });

  test('filter_disabled switches an inspector off by destination port (D2.03)', async () => {
    await proxy.listeners(
      'v1',
      listener('a', ports.a, {
        listener_filters: [
          {
            ...filter('http_inspector'),
            filter_disabled: { destination_port_range: { start: ports.a, end: ports.a + 1 } },
          },
        ],
        listener_filters_timeout: '0s',
      }),
    );
    await says(await dial(ports.a), 'one');
  });

  test('use_original_dst hands over: exact address, then 0.0.0.0, else the listener itself (D2.01, partly D2.02)', async () => {
    proxy.close();
    let destination = socketAddress('10.1.1.1', 80);
    proxy = await startInProcess(bootstrap, { originalDestination: { of: () => destination } });
    const virtual = (name: string, address: string, port: number, cluster: string): JsonObject => ({
      name,
      address: { socket_address: { address, port_value: port } },
      bind_to_port: false,
      filter_chains: [chain(cluster)],
    });
    await proxy.listeners(
      'v1',
      listener('outbound', ports.outbound, {
        use_original_dst: true,
        listener_filters: [filter('original_dst')],
        filter_chains: [{ filters: [] }],
      }),
      virtual('exact', '10.1.1.1', 80, 'one'),
      virtual('any', '0.0.0.0', 80, 'two'),
    );
    await says(await dial(ports.outbound), 'one');
    destination = socketAddress('10.2.2.2', 80);
    await says(await dial(ports.outbound), 'two');
    destination = socketAddress('10.2.2.2', 81);
    await isClosed(await dial(ports.outbound));
    // A virtual listener binds nothing.
    await expect(dial(80)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe('tcp_proxy', () => {
  test('bytes both ways, half-close both ways, counts (partly D3.01)', async () => {
    await proxy.listeners('v1', listener('a', ports.a));
    const peer = await dial(ports.a, 'hello');
    await says(peer, 'one\nhello');
    // Our FIN reaches the backend, which answers the rest and ends too.
    peer.socket.write('last words');
    peer.socket.end();
    await says(peer, 'last words');
    await isClosed(peer);
    expect(proxy.stat('tcp.p.downstream_cx_total')).toBe(1);
    expect(proxy.stat('tcp.p.downstream_cx_rx_bytes_total')).toBe(15);
    expect(proxy.stat('tcp.p.downstream_cx_tx_bytes_total')).toBe(19);
    await waitFor('no connection left', () => proxy.server.listeners.activeConnections() === 0 || undefined);
  });

  test('a reader that stops holds the writer back, whatever the kernel buffers, and nothing is lost (partly D3.01)', async () => {
    await proxy.listeners('v1', listener('a', ports.a, { per_connection_buffer_limit_bytes: 65_536 }));
    const peer = await dial(ports.a);
    await says(peer, 'one');
    // More than the socket buffers of all four hops (client, proxy, echo and back) can hold together.
    const total = 256 * 1024 * 1024;
    let received = 0;
    peer.socket.removeAllListeners('data');
    peer.socket.on('data', (chunk) => {
      received += chunk.length;
    });
    peer.socket.pause();
    const block = Buffer.alloc(1024 * 1024, 'x');
    const writing = (async () => {
      for (let sent = 0; sent < total; sent += block.length) {
        if (!peer.socket.write(block)) await new Promise((resolve) => peer.socket.once('drain', resolve));
      }
    })();
    const accepted = (): number => peer.socket.bytesWritten - peer.socket.writableLength;
    for (let before = -1; before !== accepted();) {
      before = accepted();
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(accepted()).toBeLessThan(total / 2);
    peer.socket.resume();
    await writing;
    await waitFor('all bytes', () => received === total || undefined);
    peer.socket.destroy();
  });

  test('no cluster, no host, nobody listening: closed, and the log says which (partly D3.01, D7.03)', async () => {
    const path = '/tmp/fairlead-tcp-test.log';
    rmSync(path, { force: true });
    const logged = (cluster: string): JsonObject => ({
      name: 'tcp',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
        stat_prefix: 'p',
        cluster,
        max_connect_attempts: 2,
        access_log: [
          {
            name: 'file',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
              path,
              log_format: {
                text_format_source: {
                  inline_string: '%RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n',
                },
              },
            },
          },
        ],
      },
    });
    await proxy.listeners(
      'v1',
      { ...listener('a', ports.a), filter_chains: [{ filters: [logged('nowhere')] }] },
      { ...listener('b', ports.b), filter_chains: [{ filters: [logged('two')] }] },
    );
    await isClosed(await dial(ports.a));
    const [, second] = servers;
    await new Promise((resolve) => second?.close(resolve));
    await isClosed(await dial(ports.b));
    proxy.server.sinks.flushSync();
    expect(readFileSync(path, 'utf8').split('\n')).toEqual([
      'NC - 0',
      `URX,UF 127.0.0.1:${backends.two} 2`,
      '',
    ]);
    rmSync(path, { force: true });
  });

  test('weighted clusters, and the idle timeout (partly D3.01)', async () => {
    await proxy.listeners('v1', {
      ...listener('a', ports.a),
      filter_chains: [
        {
          filters: [
            {
              name: 'tcp',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                stat_prefix: 'p',
                idle_timeout: '0.15s',
                weighted_clusters: {
                  clusters: [
                    { name: 'one', weight: 1 },
                    { name: 'two', weight: 2 },
                  ],
                },
              },
            },
          ],
        },
      ],
    });
    // The random number is always 0.5: of three parts the second.
    const peer = await dial(ports.a);
    await says(peer, 'two');
    await isClosed(peer);
    expect(proxy.stat('tcp.p.idle_timeout')).toBe(1);
  });
});
