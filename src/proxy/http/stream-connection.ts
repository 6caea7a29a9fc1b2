// What a stream needs of the side that its request was read from: an HTTP/1.1 connection, or one stream of HTTP/2.
import type { SocketAddress } from '../io/socket-address.ts';
import type { DownstreamConnection } from '../network/filter.ts';
import type { HeaderBlock } from './header-block.ts';
import type { HttpManager } from './manager.ts';

/** Why a request is not read on, as bits. */
export const holdForFault = 1;
export const holdForUpstream = 2;

/** The head of a request apart from its headers. */
export interface RequestHead {
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  readonly method: string;
  /** As it was sent: of HTTP/2 `:path`, or the authority for CONNECT. */
  readonly target: string;
}

export interface StreamConnection {
  readonly manager: HttpManager;
  readonly downstream: DownstreamConnection;
  /** For ORIGINAL_DST clusters. */
  readonly destination: SocketAddress | undefined;
  readonly requestHeaders: HeaderBlock;
  /** All of the request has been handed over. */
  readonly requestComplete: boolean;
  /** The client takes no more for now: `HttpStream.onDownstreamDrain` follows. */
  readonly writeBlocked: boolean;
  /** HTTP/1.1 closes the connection after the response; HTTP/2's streams end by themselves. */
  closeAfterResponse: boolean;
  /** The stream takes no more of the request for now, for the reasons (bits) given. */
  hold(reason: number): void;
  release(reason: number): void;
  /** An interim response (1xx but 101). */
  writeInterim(status: number, headers: HeaderBlock): void;
  /** `100 Continue` of our own. */
  writeContinue(): void;
  /** The head of the final response; `headers` hold nothing that concerns one connection only. */
  writeHead(status: number, headers: HeaderBlock, endStream: boolean, headRequest: boolean): void;
  /** The 101 that makes a tunnel. */
  writeUpgrade(headers: HeaderBlock): void;
  /** A body that was made here, latin1. */
  writeText(text: string): void;
  writeData(buffer: Buffer, start: number, end: number): void;
  /** The response is complete. */
  finish(trailers: HeaderBlock | undefined): void;
  /** Breaks the response off: it was begun and cannot be completed. */
  abort(): void;
  /** Writes what waits. */
  flush(): void;
}
