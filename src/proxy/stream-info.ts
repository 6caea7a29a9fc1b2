// What the access log and the statistics read about one request or connection.
import type { SocketAddress } from './io/socket-address.ts';
import type { TlsConnectionInfo } from './tls/connection-info.ts';

/**
 * Response flags as bits; the access log prints them in this order. Envoy prints them in the order in which
 * they were set: what happens first stands first here.
 */
export const responseFlagNames = [
  'LH', // failed local health check
  'DI', // delay injected
  'FI', // fault injected
  'URX', // upstream retry limit exceeded
  'UO', // upstream overflow (circuit breaker)
  'UH', // no healthy upstream host
  'UT', // upstream request timeout
  'LR', // local reset
  'UR', // upstream remote reset
  'UF', // upstream connection failure
  'UC', // upstream connection termination
  'NR', // no route, or no matching filter chain
  'RL', // rate limited locally
  'UAEX', // denied by external authorization
  'RLSE', // rate limit service error
  'DC', // downstream connection terminated
  'SI', // stream idle timeout
  'IH', // invalid envoy request headers
  'DPE', // downstream protocol error
  'UMSDR', // upstream max stream duration reached
  'RFCF', // response from cache filter
  'NFCF', // no filter config found
  'DT', // downstream connection duration timeout
  'UPE', // upstream protocol error
  'NC', // no cluster
  'OM', // overload manager
  'DF', // DNS failure
  'DO', // drop overload
  'DR', // downstream remote reset
] as const;
export type ResponseFlag = (typeof responseFlagNames)[number];

/** Flag name -> bit: `info.responseFlags |= flagBits.UF`. */
export const flagBits: Readonly<Record<ResponseFlag, number>> = Object.fromEntries(
  responseFlagNames.map((name, index) => [name, 1 << index]),
) as Record<ResponseFlag, number>;

/** `UF,URX`, or `-` when there is none. */
export function responseFlagsText(flags: number): string {
  if (flags === 0) return '-';
  return responseFlagNames.filter((_, index) => (flags & (1 << index)) !== 0).join(',');
}

/** Read access to one set of headers. */
export interface HeaderReader {
  /** `name` in lower case. Several values are joined by `,`; undefined when absent. */
  get(name: string): string | undefined;
  /** Whether `test` holds for one of several lines, each by itself; undefined when absent. */
  some(name: string, test: (value: string) => boolean): boolean | undefined;
}

/** The headers of a message that can be logged. */
export interface MessageHeaders extends HeaderReader {
  /** As `get`, but of several lines the first alone: what Envoy's %REQ()% and %RESP()% yield. */
  first(name: string): string | undefined;
}

/**
 * One request, or one connection of tcp_proxy. The object is reused for the next request: readers take what
 * they need during the call that passes it and keep nothing. Times are Clock.monotonicMs, -1 = did not
 * happen; text fields are undefined where the access log prints `-`.
 */
export class StreamInfo {
  /** Clock.now() when the first byte of the request (or the connection) came. */
  startTimeMs = 0;
  startMonotonicMs = 0;
  /** The whole request has been read. */
  requestReceivedMs = -1;
  /** The first byte was sent to the upstream (last attempt). */
  upstreamRequestSentMs = -1;
  /** Response headers came from the upstream. */
  upstreamResponseHeadersMs = -1;
  upstreamResponseEndMs = -1;
  /** The first byte of the response was written downstream. */
  responseStartedMs = -1;
  endMonotonicMs = -1;

  protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2' | undefined = undefined;
  method: string | undefined = undefined;
  /** As the client sent it, before rewriting. */
  originalPath: string | undefined = undefined;
  /** As sent upstream. */
  path: string | undefined = undefined;
  authority: string | undefined = undefined;
  /** 0 when no response was made. */
  responseCode = 0;
  responseCodeDetails: string | undefined = undefined;
  connectionTerminationDetails: string | undefined = undefined;
  upstreamTransportFailureReason: string | undefined = undefined;
  /** Bits of `flagBits`. */
  responseFlags = 0;
  /** Body bytes from the client (tcp: all bytes). */
  bytesReceived = 0;
  /** Body bytes to the client. */
  bytesSent = 0;
  requestHeaderBytes = 0;
  responseHeaderBytes = 0;
  attemptCount = 0;

  routeName: string | undefined = undefined;
  virtualHostName: string | undefined = undefined;
  upstreamCluster: string | undefined = undefined;
  upstreamHost: SocketAddress | undefined = undefined;
  upstreamLocalAddress: SocketAddress | undefined = undefined;
  requestId: string | undefined = undefined;

  connectionId = 0;
  downstreamLocalAddress: SocketAddress | undefined = undefined;
  downstreamDirectLocalAddress: SocketAddress | undefined = undefined;
  /** The client as trusted through x-forwarded-for. */
  downstreamRemoteAddress: SocketAddress | undefined = undefined;
  downstreamDirectRemoteAddress: SocketAddress | undefined = undefined;
  requestedServerName: string | undefined = undefined;
  downstreamTransportFailureReason: string | undefined = undefined;
  /** Undefined for plain text. */
  downstreamTls: TlsConnectionInfo | undefined = undefined;

  requestHeaders: MessageHeaders | undefined = undefined;
  responseHeaders: MessageHeaders | undefined = undefined;
  responseTrailers: MessageHeaders | undefined = undefined;

  /** Makes the object as new, for a request that starts now. */
  reset(startTimeMs: number, startMonotonicMs: number): void {
    this.startTimeMs = startTimeMs;
    this.startMonotonicMs = startMonotonicMs;
    this.requestReceivedMs = -1;
    this.upstreamRequestSentMs = -1;
    this.upstreamResponseHeadersMs = -1;
    this.upstreamResponseEndMs = -1;
    this.responseStartedMs = -1;
    this.endMonotonicMs = -1;
    this.protocol = undefined;
    this.method = undefined;
    this.originalPath = undefined;
    this.path = undefined;
    this.authority = undefined;
    this.responseCode = 0;
    this.responseCodeDetails = undefined;
    this.connectionTerminationDetails = undefined;
    this.upstreamTransportFailureReason = undefined;
    this.responseFlags = 0;
    this.bytesReceived = 0;
    this.bytesSent = 0;
    this.requestHeaderBytes = 0;
    this.responseHeaderBytes = 0;
    this.attemptCount = 0;
    this.routeName = undefined;
    this.virtualHostName = undefined;
    this.upstreamCluster = undefined;
    this.upstreamHost = undefined;
    this.upstreamLocalAddress = undefined;
    this.requestId = undefined;
    this.requestHeaders = undefined;
    this.responseHeaders = undefined;
    this.responseTrailers = undefined;
  }
}
