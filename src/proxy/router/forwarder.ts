// The router filter: sends a request to its cluster, with timeouts and retries, and its response back.
//
// One object for each stream. An attempt is: pick a host, get a connection, send, read. What a retry needs of
// the body is kept up to the buffer limit; once response headers went downstream nothing is retried.
import { isGrpcRequest } from '../http/local-reply.ts';
import type { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import { holdForUpstream } from '../http/stream-connection.ts';
import type { HttpStream } from '../http/stream.ts';
import { StreamDeadline } from '../http/stream.ts';
import { flagBits } from '../stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import type { ConnectionPool, PoolFailure, PoolWaiter } from '../upstream/connection-pool.ts';
import type { ResetReason, ResponseHandler, UpstreamRequest } from '../upstream/upstream-request.ts';
import type { CompiledRoute, ForwardAction } from './compiled.ts';
import { applyMutations } from './header-mutations.ts';
import { clusterName } from './match.ts';
import { sendMirrors } from './mirror.ts';
import { RequestBody } from './request-body.ts';
import { finalizeRequest, frameBody, rewriteHost } from './request-finalizer.ts';
import type { RetryVerdict } from './retry-state.ts';
import { RetryState } from './retry-state.ts';
import { localReplyOf } from './reset-reply.ts';
import { grpcTimeout, requestTimeouts } from './timeouts.ts';

const H = nameIds;

/**
 * idle: no request. waiting: for a connection. sent: on a connection, no response head yet.
 * responding: the head went downstream. backing-off: before the next attempt. tunnel: after 101.
 */
type State = 'idle' | 'waiting' | 'sent' | 'responding' | 'backing-off' | 'tunnel';

export class Forwarder implements ResponseHandler, PoolWaiter {
  readonly #stream: HttpStream;
  readonly #retry = new RetryState();
  readonly #routeTimeout: StreamDeadline;
  readonly #tryTimeout: StreamDeadline;
  readonly #backOff: StreamDeadline;
  #state: State = 'idle';
  #route!: CompiledRoute;
  #action!: ForwardAction;
  #cluster!: UpstreamCluster;
  #pool: ConnectionPool | undefined;
  #connection: UpstreamRequest | undefined;
  #host: Host | undefined;
  readonly #triedHosts: Host[] = [];
  readonly #triedPriorities = new Set<number>();
  /** Place in `triedHosts` from which priorities are counted. */
  #prioritiesFrom = 0;
  #hashed = false;
  #hash: bigint | undefined;
  #setCookies: string[] | undefined;
  #timeoutMs = 0;
  #tryTimeoutMs = 0;
  #requestComplete = false;
  /** Requests to this cluster are HTTP/2's. */
  #http2 = false;
  #chunked = false;
  #trailers: HeaderBlock | undefined;
  readonly #body = new RequestBody();
  #attempts = 0;
  /** The pool answers within the call: whoever made the call flushes. */
  #inTurn = false;

  constructor(stream: HttpStream) {
    this.#stream = stream;
    this.#routeTimeout = new StreamDeadline(() => this.#onRouteTimeout());
    this.#tryTimeout = new StreamDeadline(() => this.#onTryTimeout());
    this.#backOff = new StreamDeadline(() => {
      this.#attempt();
      this.flush();
      this.#stream.flush();
    });
  }

  /** Takes the request over; its headers are final but for what the route changes. */
  start(route: CompiledRoute, action: ForwardAction, endStream: boolean): void {
    const stream = this.#stream;
    const { headers, info } = stream;
    const { manager } = stream.connection;
    const name = clusterName(action.target, stream.weighted, stream);
    const cluster = manager.clusters.get(name);
    this.#state = 'idle';
    if (cluster === undefined) {
      manager.stats.no_cluster.inc();
      stream.respondLocally(action.clusterNotFoundStatus, '', 'cluster_not_found', flagBits.NC);
      return;
    }
    info.upstreamCluster = name;
    this.#http2 = cluster.usesHttp2(info.protocol === 'HTTP/2');
    if (this.#http2 && stream.upgrade !== undefined) {
      // HTTP/2 has no upgrade, and extended CONNECT (RFC 8441) is not spoken here.
      stream.respondLocally(403, '', 'upgrade_failed', 0);
      return;
    }
    this.#route = route;
    this.#action = action;
    this.#cluster = cluster;
    this.#requestComplete = endStream;
    this.#trailers = undefined;
    this.#attempts = 0;
    this.#triedHosts.length = 0;
    this.#triedPriorities.clear();
    this.#prioritiesFrom = 0;
    this.#hashed = false;
    this.#setCookies = undefined;
    const timeouts = requestTimeouts(action, headers, isGrpcRequest(headers));
    this.#timeoutMs = timeouts.timeoutMs;
    this.#tryTimeoutMs = timeouts.tryTimeoutMs;
    const expectedMs = timeouts.tryTimeoutMs > 0 ? timeouts.tryTimeoutMs : timeouts.timeoutMs;
    if (expectedMs > 0 && !manager.settings.suppressEnvoyHeaders)
      headers.setKnown(H['x-envoy-expected-rq-timeout-ms'], String(Math.round(expectedMs)));
    if (route.virtualHost.attemptCountInRequest) headers.setKnown(H['x-envoy-attempt-count'], '1');
    finalizeRequest(stream, route, action);
    const limits = action.highPriority ? cluster.limits.high : cluster.limits.default;
    this.#retry.start(action.retry, stream, limits.retries, manager.context.random);
    this.#body.start(this.#retry.enabled || action.mirrors.length > 0, action.bufferBytesMax);
    this.#chunked = frameBody(stream, endStream, this.#http2);
    if (endStream) {
      this.#armRouteTimeout();
      if (action.mirrors.length > 0) this.#mirror();
    }
    this.#attempt();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#state === 'tunnel') {
      const connection = this.#connection!;
      connection.writeTunnel(buffer, start, end);
      if (connection.blocked) this.#stream.connection.hold(holdForUpstream);
      return;
    }
    const connection = this.#connection;
    const sending = connection !== undefined && (this.#state === 'sent' || this.#state === 'responding');
    if (this.#body.add(buffer, start, end, !sending)) {
      this.#retry.giveUp();
      this.#cluster.stats.retry_or_shadow_abandoned.inc();
    }
    if (!sending && this.#body.full) this.#stream.connection.hold(holdForUpstream);
    if (!sending) return;
    connection.writeData(buffer, start, end);
    if (connection.blocked) this.#stream.connection.hold(holdForUpstream);
  }

  onRequestEnd(trailers: HeaderBlock | undefined): void {
    this.#requestComplete = true;
    if (trailers !== undefined && this.#passesTrailers()) this.#trailers = trailers;
    if (this.#state === 'idle') return;
    this.#armRouteTimeout();
    if (this.#action.mirrors.length > 0 && this.#body.keeps) this.#mirror();
    if (!this.#retry.enabled) this.#body.keeps = false;
    const connection = this.#connection;
    if (connection === undefined || this.#state === 'waiting' || this.#state === 'backing-off') return;
    this.#finishRequest(connection);
  }

  /** The stream ended, or nobody wants the response any more. */
  cancel(): void {
    if (this.#state === 'idle') return;
    this.#dropAttempt();
    this.#end();
  }

  /** The client can take more of the response. */
  resumeResponse(): void {
    this.#connection?.resume();
  }

  flush(): void {
    this.#connection?.flush();
  }

  // From the pool.

  onPoolReady(connection: UpstreamRequest): void {
    const stream = this.#stream;
    this.#connection = connection;
    this.#pool = undefined;
    this.#state = 'sent';
    const { info } = stream;
    const nowMs = stream.connection.manager.nowMs();
    info.upstreamHost = connection.host.address;
    info.upstreamLocalAddress = connection.localAddress;
    info.upstreamRequestSentMs = nowMs;
    const action = this.#action;
    const { hostname } = connection.host;
    if (action.hostRewrite?.kind === 'auto' && hostname !== '') {
      if (this.#attempts === 1) rewriteHost(stream, action, hostname);
      else stream.headers.setKnown(H.host, hostname);
    }
    connection.start(this, stream, stream.upgrade !== undefined, this.#chunked);
    for (const chunk of this.#body.chunks) connection.writeData(chunk, 0, chunk.length);
    if (!this.#body.keeps) this.#body.clear();
    if (this.#requestComplete) this.#finishRequest(connection);
    else if (connection.blocked) stream.connection.hold(holdForUpstream);
    else stream.connection.release(holdForUpstream);
    if (!this.#inTurn) connection.flush();
  }

  onPoolFailure(failure: PoolFailure, details: string): void {
    this.#pool = undefined;
    this.#stream.info.upstreamHost = this.#host?.address;
    this.#onReset(
      failure === 'overflow'
        ? 'overflow'
        : failure === 'connect timeout'
          ? 'connection timeout'
          : 'remote connection failure',
      details,
      true,
    );
    this.#stream.flush();
  }

  // From the upstream connection.

  onResponseHead(status: number, headers: HeaderBlock, endStream: boolean): void {
    const stream = this.#stream;
    const { info } = stream;
    if (status < 200) {
      if (status === 101) this.#onUpgrade(headers);
      else if (this.#state === 'sent' && (status !== 100 || stream.connection.manager.settings.proxyContinue))
        stream.respondInterim(status, headers);
      return;
    }
    const { manager } = stream.connection;
    const nowMs = manager.nowMs();
    const host = this.#host!;
    info.upstreamResponseHeadersMs = nowMs;
    manager.deadlines.disarm(this.#tryTimeout);
    this.#cluster.outlier?.onResponse(host, status);
    this.#cluster.stats.response(status);
    if (status >= 500) host.stats.rqError++;
    else host.stats.rqSuccess++;
    if (this.#retry.enabled) {
      const verdict = this.#retry.onResponse(status, headers, stream);
      if (verdict === 'retry') {
        // The rest of this response is of no use; a connection whose response is complete may be kept.
        if (!endStream || !this.#requestComplete) this.#dropAttempt();
        else this.#connection = undefined;
        this.#scheduleRetry();
        return;
      }
      this.#noteVerdict(verdict);
    }
    this.#state = 'responding';
    if (stream.upgrade === 'websocket') {
      this.#declineUpgrade(status, headers);
      return;
    }
    info.responseCodeDetails = 'via_upstream';
    if (!manager.settings.suppressEnvoyHeaders) {
      const sinceMs = info.requestReceivedMs >= 0 ? info.requestReceivedMs : nowMs;
      headers.setKnown(H['x-envoy-upstream-service-time'], String(Math.max(0, Math.floor(nowMs - sinceMs))));
    }
    if (this.#route.virtualHost.attemptCountInResponse)
      headers.setKnown(H['x-envoy-attempt-count'], String(this.#attempts));
    for (const cookie of this.#setCookies ?? []) headers.add('set-cookie', cookie);
    const mutations = stream.responseMutations;
    if (mutations !== undefined) {
      info.responseCode = status;
      info.responseHeaders = headers;
      applyMutations(mutations, headers, info);
    }
    if (endStream) {
      info.upstreamResponseEndMs = nowMs;
      this.#finished(nowMs);
    }
    stream.respond(status, headers, endStream);
  }

  onResponseData(buffer: Buffer, start: number, end: number): void {
    if (this.#state !== 'responding' && this.#state !== 'tunnel') return;
    const stream = this.#stream;
    stream.respondData(buffer, start, end);
    if (stream.connection.writeBlocked) this.#connection?.pause();
  }

  onResponseEnd(trailers: HeaderBlock | undefined): void {
    if (this.#state !== 'responding') return;
    const stream = this.#stream;
    const nowMs = stream.connection.manager.nowMs();
    stream.info.upstreamResponseEndMs = nowMs;
    this.#finished(nowMs);
    stream.finish(this.#passesTrailers() ? trailers : undefined);
  }

  onUpstreamReset(reason: ResetReason, details: string): void {
    this.#connection = undefined;
    if (this.#state === 'tunnel') {
      this.#end();
      this.#stream.finish(undefined);
      return;
    }
    this.#cluster.stats.upstream_rq_rx_reset.inc();
    if (reason === 'protocol error') this.#cluster.stats.upstream_cx_protocol_error.inc();
    if (this.#host !== undefined) {
      this.#host.stats.rqError++;
      this.#cluster.outlier?.onLocalOriginFailure(this.#host);
    }
    this.#onReset(reason, reason === 'remote connection failure' ? details : '', false);
  }

  onUpstreamDrain(): void {
    this.#stream.connection.release(holdForUpstream);
  }

  onUpstreamTurnEnd(): void {
    this.#stream.flush();
  }

  onTunnelEnd(): void {
    this.#dropAttempt();
    this.#end();
    this.#stream.finish(undefined);
  }

  /** Once a request: a retry has the same key, and one cookie is enough. */
  readonly #hashOf = (): bigint | undefined => {
    if (this.#hashed) return this.#hash;
    this.#hashed = true;
    this.#hash = this.#action.hashPolicy?.(this.#stream, (header) => (this.#setCookies ??= []).push(header));
    return this.#hash;
  };

  /**
   * The priorities of the hosts that were tried, brought up to date after every `updateFrequency` attempts;
   * undefined where none is to be avoided. Source: Envoy, previous_priorities.
   */
  #prioritiesToAvoid(updateFrequency: number): Set<number> | undefined {
    if (updateFrequency === 0) return undefined;
    const since = this.#triedHosts.slice(this.#prioritiesFrom);
    if (since.length > 0 && since.length % updateFrequency === 0)
      for (const { priority } of since) this.#triedPriorities.add(priority);
    return this.#triedPriorities.size === 0 ? undefined : this.#triedPriorities;
  }

  #attempt(): void {
    const stream = this.#stream;
    const cluster = this.#cluster;
    const action = this.#action;
    this.#attempts++;
    stream.info.attemptCount = this.#attempts;
    if (this.#attempts > 1) this.#renewHeaders();
    const triedPriorities = this.#prioritiesToAvoid(action.retry?.priorityUpdateFrequency ?? 0);
    const host = cluster.pickHost({
      destination: stream.connection.destination,
      triedHosts: action.retry?.avoidTriedHosts === true ? this.#triedHosts : undefined,
      avoidAttempts: action.retry?.hostSelectionAttemptsMax,
      triedPriorities,
      hash: action.hashPolicy === undefined ? undefined : this.#hashOf,
    });
    // All of them were tried: from here on they are counted anew.
    if (triedPriorities?.size === 0) this.#prioritiesFrom = this.#triedHosts.length;
    if (host === undefined) {
      cluster.stats.upstream_cx_none_healthy.inc();
      cluster.stats.response(503);
      this.#end();
      stream.respondLocally(503, 'no healthy upstream', 'no_healthy_upstream', flagBits.UH);
      return;
    }
    this.#host = host;
    const { avoidTriedHosts = false, priorityUpdateFrequency = 0 } = action.retry ?? {};
    if (avoidTriedHosts || priorityUpdateFrequency > 0) this.#triedHosts.push(host);
    this.#state = 'waiting';
    const pool = cluster.poolOf(host, action.highPriority, this.#http2);
    this.#pool = pool;
    this.#inTurn = true;
    pool.request(this);
    this.#inTurn = false;
  }

  /** The count of attempts, and what is left of the time. */
  #renewHeaders(): void {
    const { headers, info, connection } = this.#stream;
    if (this.#route.virtualHost.attemptCountInRequest)
      headers.setKnown(H['x-envoy-attempt-count'], String(this.#attempts));
    const isGrpc = this.#action.grpcTimeoutMaxMs !== undefined && isGrpcRequest(headers);
    const isTold = !connection.manager.settings.suppressEnvoyHeaders;
    if (this.#timeoutMs <= 0 || (!isTold && !isGrpc)) return;
    const spentMs = info.requestReceivedMs < 0 ? 0 : connection.manager.nowMs() - info.requestReceivedMs;
    const leftMs = Math.max(1, Math.round(this.#timeoutMs - spentMs));
    const expectedMs = this.#tryTimeoutMs > 0 ? Math.min(this.#tryTimeoutMs, leftMs) : leftMs;
    if (isTold) headers.setKnown(H['x-envoy-expected-rq-timeout-ms'], String(expectedMs));
    if (isGrpc) headers.setKnown(H['grpc-timeout'], grpcTimeout(expectedMs));
  }

  /** HTTP/2's trailers pass to HTTP/1.1 only if the cluster allows it; HTTP/1.1's were allowed by the listener. */
  #passesTrailers(): boolean {
    return this.#http2 || this.#cluster.http1Trailers || this.#stream.info.protocol !== 'HTTP/2';
  }

  #finishRequest(connection: UpstreamRequest): void {
    connection.finishRequest(this.#trailers);
    if (this.#tryTimeoutMs > 0 && this.#state === 'sent' && this.#tryTimeout.armedIndex < 0) {
      const { manager } = this.#stream.connection;
      manager.deadlines.arm(this.#tryTimeout, manager.nowMs() + this.#tryTimeoutMs);
    }
  }

  /** A reset before or during the response. */
  #onReset(reason: ResetReason, details: string, unsent: boolean): void {
    const stream = this.#stream;
    const { info } = stream;
    stream.connection.manager.deadlines.disarm(this.#tryTimeout);
    if (this.#state === 'responding') {
      const reply = localReplyOf(reason, details, false);
      info.responseFlags |= reply.flags;
      info.responseCodeDetails = `upstream_reset_after_response_started{${reason.replaceAll(' ', '_')}}`;
      stream.connection.manager.stats.rq_reset_after_downstream_response_started.inc();
      this.#end();
      stream.abort();
      return;
    }
    if (this.#retry.enabled) {
      const verdict = this.#retry.onReset(reason, unsent);
      if (verdict === 'retry') {
        this.#scheduleRetry();
        return;
      }
      this.#noteVerdict(verdict);
    }
    const reply = localReplyOf(reason, details, this.#attempts > 1);
    if (details !== '') info.upstreamTransportFailureReason = details;
    this.#cluster.stats.response(reply.status);
    this.#end();
    const overloaded = reason === 'overflow' && !stream.connection.manager.settings.suppressEnvoyHeaders;
    stream.respondLocally(
      reply.status,
      reply.body,
      reply.details,
      reply.flags,
      undefined,
      overloaded ? (headers) => headers.setKnown(H['x-envoy-overloaded'], 'true') : undefined,
    );
  }

  #noteVerdict(verdict: RetryVerdict): void {
    if (verdict === 'limit-exceeded') {
      this.#stream.info.responseFlags |= flagBits.URX;
      this.#cluster.stats.upstream_rq_retry_limit_exceeded.inc();
    } else if (verdict === 'overflow') {
      this.#stream.info.responseFlags |= flagBits.UO;
      this.#cluster.stats.upstream_rq_retry_overflow.inc();
    }
  }

  #scheduleRetry(): void {
    const { manager } = this.#stream.connection;
    this.#cluster.stats.upstream_rq_retry.inc();
    this.#state = 'backing-off';
    manager.deadlines.arm(this.#backOff, manager.nowMs() + this.#retry.nextBackOffMs());
  }

  #onTryTimeout(): void {
    const stream = this.#stream;
    this.#cluster.stats.upstream_rq_per_try_timeout.inc();
    if (this.#host !== undefined) {
      this.#host.stats.rqTimeout++;
      this.#cluster.outlier?.onLocalOriginFailure(this.#host, 504);
    }
    this.#dropAttempt();
    if (this.#retry.enabled) {
      const verdict = this.#retry.onReset('local reset', false);
      if (verdict === 'retry') {
        this.#scheduleRetry();
        return;
      }
      this.#noteVerdict(verdict);
    }
    this.#cluster.stats.response(504);
    this.#end();
    stream.respondLocally(504, 'upstream request timeout', 'upstream_per_try_timeout', flagBits.UT);
    stream.flush();
  }

  #onRouteTimeout(): void {
    const stream = this.#stream;
    this.#cluster.stats.upstream_rq_timeout.inc();
    if (this.#host !== undefined && this.#state !== 'backing-off') {
      this.#host.stats.rqTimeout++;
      this.#cluster.outlier?.onLocalOriginFailure(this.#host, 504);
    }
    const responding = this.#state === 'responding';
    this.#dropAttempt();
    this.#end();
    if (responding) {
      stream.info.responseFlags |= flagBits.UT;
      stream.info.responseCodeDetails = 'response_timeout';
      stream.abort();
      return;
    }
    this.#cluster.stats.response(504);
    stream.respondLocally(504, 'upstream request timeout', 'response_timeout', flagBits.UT);
    stream.flush();
  }

  #armRouteTimeout(): void {
    if (this.#timeoutMs <= 0) return;
    const { manager } = this.#stream.connection;
    manager.deadlines.arm(this.#routeTimeout, manager.nowMs() + this.#timeoutMs);
  }

  /** An upstream that does not switch: its head alone is passed on, and the connections end (as Envoy 1.40). */
  #declineUpgrade(status: number, headers: HeaderBlock): void {
    const stream = this.#stream;
    stream.info.responseCodeDetails = 'websocket_handshake_unsuccessful';
    headers.removeKnown(H['content-length']);
    stream.connection.closeAfterResponse = true;
    this.#dropAttempt();
    this.#end();
    stream.respond(status, headers, true);
  }

  #onUpgrade(headers: HeaderBlock): void {
    this.#state = 'tunnel';
    this.#stream.info.responseCodeDetails = 'via_upstream';
    this.#stream.connection.manager.deadlines.disarm(this.#routeTimeout);
    this.#cluster.stats.response(101);
    this.#stream.respondUpgrade(headers);
  }

  #finished(nowMs: number): void {
    const { info } = this.#stream;
    const sinceMs = info.requestReceivedMs >= 0 ? info.requestReceivedMs : nowMs;
    this.#cluster.stats.upstream_rq_time.record(Math.round(nowMs - sinceMs));
    if (this.#attempts > 1) this.#cluster.stats.upstream_rq_retry_success.inc();
    // Where the request is not complete, its connection is given up by the stream (cancel).
    if (this.#requestComplete) this.#end();
  }

  /** No connection, no place in a queue. */
  #dropAttempt(): void {
    if (this.#pool !== undefined) {
      this.#pool.cancel(this);
      this.#pool = undefined;
    }
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    if (this.#state === 'tunnel') connection.endTunnel();
    else connection.abort();
  }

  #end(): void {
    this.#state = 'idle';
    this.#connection = undefined;
    const { deadlines } = this.#stream.connection.manager;
    deadlines.disarm(this.#routeTimeout);
    deadlines.disarm(this.#tryTimeout);
    deadlines.disarm(this.#backOff);
    this.#retry.end();
    this.#body.clear();
  }

  #mirror(): void {
    sendMirrors(this.#action.mirrors, this.#stream, this.#body.chunks);
  }
}
