// What the router needs of the upstream side: an HTTP/1.1 connection, or one stream of HTTP/2.
import type { HeaderBlock } from '../http/header-block.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Host } from './host.ts';

/** Why an upstream exchange ended without a whole response. */
export type ResetReason =
  | 'remote connection failure'
  | 'connection timeout'
  | 'connection termination'
  | 'overflow'
  | 'protocol error'
  | 'local reset'
  /** HTTP/2: RST_STREAM, or GOAWAY without this stream. */
  | 'remote reset'
  /** HTTP/2: the peer says that it has done nothing for the request. */
  | 'remote refused stream reset';

/** Takes the response. Memory of buffers and blocks is only valid during a call. */
export interface ResponseHandler {
  /** Final or informational (status < 200) head; `endStream`: no body and no trailers follow. */
  onResponseHead(status: number, headers: HeaderBlock, endStream: boolean): void;
  onResponseData(buffer: Buffer, start: number, end: number): void;
  /** The response is complete; not called after a head with `endStream`. */
  onResponseEnd(trailers: HeaderBlock | undefined): void;
  onUpstreamReset(reason: ResetReason, details: string): void;
  /** The request side can be written again. */
  onUpstreamDrain(): void;
  /** All that came in this turn has been handed over: write out what is waiting. */
  onUpstreamTurnEnd(): void;
  /** The peer closed its side of a tunnel. */
  onTunnelEnd(): void;
}

/** The head of a request as it is sent. */
export interface RequestToSend {
  readonly method: string;
  readonly path: string;
  readonly scheme: string;
  /** With `host`. */
  readonly headers: HeaderBlock;
}

export interface UpstreamRequest {
  readonly host: Host;
  readonly localAddress: SocketAddress;
  /** The upstream takes no more for now: `onUpstreamDrain` follows. */
  readonly blocked: boolean;
  /** Writes the head. `upgrade`: a 101 answer makes a tunnel. `chunked`: HTTP/1.1's framing of the body. */
  start(handler: ResponseHandler, request: RequestToSend, upgrade: boolean, chunked: boolean): void;
  writeData(buffer: Buffer, start: number, end: number): void;
  /** Bytes of a tunnel. */
  writeTunnel(buffer: Buffer, start: number, end: number): void;
  /** The request is complete. */
  finishRequest(trailers: HeaderBlock | undefined): void;
  /** Gives the exchange up; the handler hears nothing more. */
  abort(): void;
  /** The client left a tunnel: what it sent is still delivered. */
  endTunnel(): void;
  /** The response is not taken for now. */
  pause(): void;
  resume(): void;
  /** Writes what waits. */
  flush(): void;
}
