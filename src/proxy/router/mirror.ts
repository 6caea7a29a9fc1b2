// Copies of requests that are sent to another cluster; their responses are thrown away (inventory D6.10).
import { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import type { HttpStream } from '../http/stream.ts';
import { StreamDeadline } from '../http/stream.ts';
import type { Deadlines } from '../io/deadlines.ts';
import type { HttpConnection, ResponseHandler } from '../upstream/http-connection.ts';
import type { HttpPool, PoolWaiter } from '../upstream/http-pool.ts';
import type { MirrorSettings } from './compiled.ts';

const H = nameIds;

/** A copy that takes longer than this is given up. */
const mirrorTimeoutMs = 15_000;

/** Sends what the policies ask for. `body` is the whole body. Never fails, and never changes the request. */
export function sendMirrors(
  mirrors: readonly MirrorSettings[],
  stream: HttpStream,
  body: readonly Buffer[],
  chunked: boolean,
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
    const head = `${stream.method} ${stream.path} HTTP/1.1\r\n${headers.serialize()}\r\n`;
    const pool = cluster.poolOf(host, false);
    const copy = new Mirror(
      pool,
      manager.deadlines,
      manager.nowMs(),
      stream.method === 'HEAD',
      head,
      [...body],
      chunked,
    );
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
  readonly #pool: HttpPool;
  readonly #deadlines: Deadlines;
  readonly #timeout: StreamDeadline;
  readonly #headRequest: boolean;
  readonly #head: string;
  readonly #body: readonly Buffer[];
  readonly #chunked: boolean;
  #connection: HttpConnection | undefined;

  constructor(
    pool: HttpPool,
    deadlines: Deadlines,
    nowMs: number,
    headRequest: boolean,
    head: string,
    body: readonly Buffer[],
    chunked: boolean,
  ) {
    this.#pool = pool;
    this.#deadlines = deadlines;
    this.#headRequest = headRequest;
    this.#head = head;
    this.#body = body;
    this.#chunked = chunked;
    this.#timeout = new StreamDeadline(() => {
      this.#pool.cancel(this);
      this.#connection?.abort();
    });
    deadlines.arm(this.#timeout, nowMs + mirrorTimeoutMs);
  }

  onPoolReady(connection: HttpConnection): void {
    this.#connection = connection;
    connection.start(this, this.#head, this.#headRequest, false, false);
    for (const chunk of this.#body) {
      if (this.#chunked) connection.writer.chunk(chunk, 0, chunk.length);
      else connection.writer.bytes(chunk, 0, chunk.length);
    }
    if (this.#chunked) connection.writer.text('0\r\n\r\n');
    connection.finishRequest();
    connection.writer.flush();
  }

  onPoolFailure(): void {
    this.#deadlines.disarm(this.#timeout);
  }

  onResponseHead(_status: number, _headers: HeaderBlock, endStream: boolean): void {
    if (endStream) this.#deadlines.disarm(this.#timeout);
  }

  onResponseData(): void {}

  onResponseEnd(): void {
    this.#deadlines.disarm(this.#timeout);
  }

  onUpstreamReset(): void {
    this.#deadlines.disarm(this.#timeout);
  }

  onUpstreamDrain(): void {}
  onUpstreamTurnEnd(): void {}
  onTunnelEnd(): void {}
}
