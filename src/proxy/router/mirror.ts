// Copies of requests that are sent to another cluster; their responses are thrown away (inventory D6.10).
import { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import type { HttpStream } from '../http/stream.ts';
import { StreamDeadline } from '../http/stream.ts';
import type { Deadlines } from '../io/deadlines.ts';
import type { ConnectionPool, PoolWaiter } from '../upstream/connection-pool.ts';
import type { RequestToSend, ResponseHandler, UpstreamRequest } from '../upstream/upstream-request.ts';
import type { MirrorSettings } from './compiled.ts';
import { frameForProtocol } from './request-finalizer.ts';

const H = nameIds;

/** A copy that takes longer than this is given up. */
const mirrorTimeoutMs = 15_000;

/** Sends what the policies ask for. `body` is the whole body. Never fails, and never changes the request. */
export function sendMirrors(
  mirrors: readonly MirrorSettings[],
  stream: HttpStream,
  body: readonly Buffer[],
): void {
  const { manager, destination } = stream.connection;
  for (const mirror of mirrors) {
    if (mirror.share < 1 && manager.random() >= mirror.share) continue;
    const name = mirror.cluster === '' ? (stream.headers.get(mirror.clusterHeader) ?? '') : mirror.cluster;
    const cluster = manager.clusters.get(name);
    const host = cluster?.pickHost({ destination });
    if (cluster === undefined || host === undefined) continue;
    const headers = new HeaderBlock();
    headers.copyFrom(stream.headers);
    if (mirror.appendShadowSuffix)
      headers.setKnown(H.host, shadowHost(headers.known(H.host) ?? stream.authority));
    headers.setKnown(H['x-envoy-internal'], 'true');
    const http2 = cluster.usesHttp2(stream.info.protocol === 'HTTP/2');
    const chunked = frameForProtocol(headers, body.length === 0, http2, stream.method);
    const pool = cluster.poolOf(host, false, http2);
    const request = { method: stream.method, path: stream.path, scheme: stream.scheme, headers };
    const copy = new Mirror(pool, manager.deadlines, manager.nowMs(), request, [...body], chunked);
    pool.request(copy);
  }
}

/** `a.example:80` -> `a.example-shadow:80`. */
function shadowHost(host: string): string {
  const colon = host.lastIndexOf(':');
  return colon < 0 || host.endsWith(']')
    ? `${host}-shadow`
    : `${host.slice(0, colon)}-shadow${host.slice(colon)}`;
}

class Mirror implements PoolWaiter, ResponseHandler {
  readonly #pool: ConnectionPool;
  readonly #deadlines: Deadlines;
  readonly #timeout: StreamDeadline;
  readonly #request: RequestToSend;
  readonly #body: readonly Buffer[];
  readonly #chunked: boolean;
  #connection: UpstreamRequest | undefined;

  constructor(
    pool: ConnectionPool,
    deadlines: Deadlines,
    nowMs: number,
    request: RequestToSend,
    body: readonly Buffer[],
    chunked: boolean,
  ) {
    this.#pool = pool;
    this.#deadlines = deadlines;
    this.#request = request;
    this.#body = body;
    this.#chunked = chunked;
    this.#timeout = new StreamDeadline(() => {
      this.#pool.cancel(this);
      this.#connection?.abort();
    });
    deadlines.arm(this.#timeout, nowMs + mirrorTimeoutMs);
  }

  onPoolReady(connection: UpstreamRequest): void {
    this.#connection = connection;
    connection.start(this, this.#request, false, this.#chunked);
    for (const chunk of this.#body) connection.writeData(chunk, 0, chunk.length);
    connection.finishRequest(undefined);
    connection.flush();
  }

  onPoolFailure(): void {
    this.#deadlines.disarm(this.#timeout);
  }

  onResponseHead(_status: number, _headers: HeaderBlock, endStream: boolean): void {
    if (endStream) this.#over();
  }

  onResponseData(): void {}

  onResponseEnd(): void {
    this.#over();
  }

  onUpstreamReset(): void {
    this.#over();
  }

  /** The exchange is over: its object may serve others from here on. */
  #over(): void {
    this.#connection = undefined;
    this.#deadlines.disarm(this.#timeout);
  }

  onUpstreamDrain(): void {}
  onUpstreamTurnEnd(): void {}
  onTunnelEnd(): void {}
}
