// One request to an HTTP/2 upstream and its response.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Host } from '../upstream/host.ts';
import type {
  RequestToSend,
  ResetReason,
  ResponseHandler,
  UpstreamRequest,
} from '../upstream/upstream-request.ts';
import type { Http2ClientConnection } from './client-connection.ts';
import { errorCodes } from './frames.ts';
import { Http2Stream } from './stream.ts';

export class Http2ClientStream extends Http2Stream implements UpstreamRequest {
  readonly http2: Http2ClientConnection;
  /** Of the response. */
  readonly headers: HeaderBlock = new Block();
  /** The final head of the response came. */
  hasHead = false;
  headRequest = false;
  isSpare = false;
  #handler: ResponseHandler | undefined;
  /** Who is to be told of the end of this turn, when the response is over, too. */
  #turnHandler: ResponseHandler | undefined;
  #wasBlocked = false;

  constructor(http2: Http2ClientConnection) {
    super();
    this.http2 = http2;
  }

  get host(): Host {
    return this.http2.host;
  }

  get localAddress(): SocketAddress {
    return this.http2.wire.localAddress;
  }

  get blocked(): boolean {
    const blocked = this.sendBlocked;
    if (blocked) this.#wasBlocked = true;
    return blocked;
  }

  /** For a new request. */
  renew(): void {
    this.isSpare = false;
    this.hasHead = false;
    this.headRequest = false;
    this.#handler = undefined;
    this.#turnHandler = undefined;
    this.#wasBlocked = false;
  }

  start(handler: ResponseHandler, request: RequestToSend): void {
    this.#handler = handler;
    this.headRequest = request.method === 'HEAD';
    this.http2.writeRequest(this, request);
  }

  writeData(buffer: Buffer, start: number, end: number): void {
    this.http2.sendData(this, buffer, start, end);
  }

  /** Never called: requests that ask for a tunnel are not sent over HTTP/2. */
  writeTunnel(): void {}

  finishRequest(trailers: HeaderBlock | undefined): void {
    this.http2.sendEnd(this, trailers);
  }

  abort(): void {
    this.#handler = undefined;
    this.http2.resetStream(this, errorCodes.cancel);
  }

  endTunnel(): void {
    this.abort();
  }

  pause(): void {
    this.holdInbound();
  }

  resume(): void {
    this.letFlow();
  }

  /** Frames leave together at the end of the event loop's turn. */
  flush(): void {}

  /** A head of the response stands in `headers`. */
  deliverHead(status: number, endStream: boolean): void {
    this.http2.touch(this);
    const handler = this.#handler;
    this.#turnHandler = handler;
    // From here on the handler may be at work for another request.
    if (endStream) this.#handler = undefined;
    handler?.onResponseHead(status, this.headers, endStream);
  }

  onTurnEnd(): void {
    const handler = this.#turnHandler;
    this.#turnHandler = undefined;
    handler?.onUpstreamTurnEnd();
    this.http2.keepSpare(this);
  }

  onReset(code: number | undefined): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#turnHandler = handler;
    handler?.onUpstreamReset(this.#reasonOf(code), '');
  }

  onWritable(): void {
    if (!this.#wasBlocked) return;
    this.#wasBlocked = false;
    this.#handler?.onUpstreamDrain();
  }

  protected onData(buffer: Buffer, start: number, end: number): void {
    this.#turnHandler = this.#handler;
    this.#handler?.onResponseData(buffer, start, end);
  }

  protected onEnd(trailers: HeaderBlock | undefined): void {
    const handler = this.#handler;
    this.#turnHandler = handler;
    this.#handler = undefined;
    handler?.onResponseEnd(trailers);
  }

  #reasonOf(code: number | undefined): ResetReason {
    if (code === undefined) return this.http2.endReason;
    if (code === errorCodes.refusedStream) return 'remote refused stream reset';
    return this.resetByUs ? 'protocol error' : 'remote reset';
  }
}
