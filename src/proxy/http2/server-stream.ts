// One stream of an HTTP/2 connection from a client, in the shape in which HttpStream knows connections.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import type { HttpManager } from '../http/manager.ts';
import { HttpStream } from '../http/stream.ts';
import type { StreamConnection } from '../http/stream-connection.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { DownstreamConnection } from '../network/filter.ts';
import type { Http2ServerConnection } from './server-connection.ts';
import { flagBits } from '../stream-info.ts';
import { errorCodes } from './frames.ts';
import { Http2Stream } from './stream.ts';

export class Http2ServerStream extends Http2Stream implements StreamConnection {
  readonly http2: Http2ServerConnection;
  readonly requestHeaders: HeaderBlock = new Block();
  readonly request: HttpStream;
  /** HTTP/2's streams end by themselves: nothing is to be closed. */
  closeAfterResponse = false;
  /** The object is among those that serve the next stream. */
  isSpare = false;
  #held = 0;
  #wasBlocked = false;

  constructor(http2: Http2ServerConnection) {
    super();
    this.http2 = http2;
    this.request = new HttpStream(this);
  }

  get manager(): HttpManager {
    return this.http2.manager;
  }

  get downstream(): DownstreamConnection {
    return this.http2.downstream;
  }

  get destination(): SocketAddress | undefined {
    return this.http2.destination;
  }

  get requestComplete(): boolean {
    return this.delivered;
  }

  get writeBlocked(): boolean {
    const blocked = this.sendBlocked;
    if (blocked) this.#wasBlocked = true;
    return blocked;
  }

  /** For a new request. */
  renew(): void {
    this.isSpare = false;
    this.#held = 0;
    this.#wasBlocked = false;
    this.closeAfterResponse = false;
  }

  hold(reason: number): void {
    this.#held |= reason;
    this.holdInbound();
  }

  release(reason: number): void {
    if ((this.#held & reason) === 0) return;
    this.#held &= ~reason;
    if (this.#held === 0) this.letFlow();
  }

  writeInterim(status: number, headers: HeaderBlock): void {
    this.http2.writeResponse(this, status, headers, false);
  }

  writeContinue(): void {
    this.http2.writeResponse(this, 100, undefined, false);
  }

  writeHead(status: number, headers: HeaderBlock, endStream: boolean, headRequest: boolean): void {
    this.http2.writeResponse(this, status, headers, endStream || headRequest);
  }

  /** Never called: a request of HTTP/2 asks for no upgrade. */
  writeUpgrade(): void {
    this.abort();
  }

  writeText(text: string): void {
    const body = Buffer.from(text, 'latin1');
    this.http2.sendData(this, body, 0, body.length);
  }

  writeData(buffer: Buffer, start: number, end: number): void {
    this.http2.sendData(this, buffer, start, end);
  }

  finish(trailers: HeaderBlock | undefined): void {
    this.http2.sendEnd(this, trailers);
    if (this.isOpen) this.http2.watchFlush(this);
    else this.http2.keepSpare(this);
  }

  abort(): void {
    this.http2.resetStream(this, errorCodes.internalError);
    this.http2.keepSpare(this);
  }

  /** Frames leave together at the end of the event loop's turn. */
  flush(): void {}

  onTurnEnd(): void {
    this.request.onTurnEnd();
  }

  onReset(code: number | undefined): void {
    const { request } = this;
    if (!request.active) return;
    this.http2.countReset(request.info);
    if (code === undefined) request.onDownstreamGone();
    else request.onDownstreamGone('http2.remote_reset', flagBits.DR);
  }

  onWritable(): void {
    if (!this.#wasBlocked) return;
    this.#wasBlocked = false;
    this.request.onDownstreamDrain();
  }

  protected onData(buffer: Buffer, start: number, end: number): void {
    this.request.onData(buffer, start, end);
  }

  protected onEnd(trailers: HeaderBlock | undefined): void {
    this.request.onRequestEnd(trailers);
  }
}
