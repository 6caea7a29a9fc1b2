// One request and its response inside the connection manager: checks, headers, filters, route, access log.
//
// The object belongs to its connection and serves one request after the other; nothing of a request is kept.
import type { Deadline } from '../io/deadlines.ts';
import type { MatchInput } from '../matchers/input.ts';
import { withoutQuery } from '../matchers/input.ts';
import type { CompiledRoute, FilterRouteConfig, WeightedTarget } from '../router/compiled.ts';
import { Forwarder } from '../router/forwarder.ts';
import type { HeaderMutations } from '../router/header-mutations.ts';
import { applyMutations } from '../router/header-mutations.ts';
import {
  chooseWeighted,
  clusterName,
  directLocation,
  findRoute,
  findVirtualHost,
  redirectLocation,
} from '../router/match.ts';
import { StreamInfo, flagBits } from '../stream-info.ts';
import { encodeCors, isPreflightAnswered } from './cors.ts';
import { startFault } from './fault.ts';
import { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';
import type { RequestCheck } from './request-headers.ts';
import { prepareRequest } from './request-headers.ts';
import { prepareResponse } from './response-headers.ts';
import type { RequestHead, StreamConnection } from './stream-connection.ts';
import { holdForFault } from './stream-connection.ts';
import { describeBody, describeForGrpc, isGrpcRequest } from './local-reply.ts';
import type { CorsSettings } from '../router/compiled.ts';

const H = nameIds;

/** A timeout of a stream; one object for each kind, made with the stream. */
export class StreamDeadline implements Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly onDue: (nowMs: number) => void;

  constructor(onDue: (nowMs: number) => void) {
    this.onDue = onDue;
  }
}

export class HttpStream implements MatchInput {
  readonly connection: StreamConnection;
  readonly info = new StreamInfo();
  /** Between the head of a request and the end of its response. */
  active = false;
  method = '';
  authority = '';
  path = '';
  pathOnly = '';
  scheme = 'http';
  readonly tls: boolean;
  readonly headers: HeaderBlock;
  route: CompiledRoute | undefined;
  weighted: WeightedTarget | undefined;
  /** The CORS policy that the response must obey, once a request's origin matched it. */
  cors: CorsSettings | undefined;
  corsOrigin = '';
  /** Upgrade type in lower case that the client asked for and that is passed on. */
  upgrade: string | undefined;
  /** From outside the mesh, as far as addresses tell. */
  internal = false;
  responseStarted = false;
  /** The last host that was found well-formed. */
  checkedHost: string | undefined = undefined;
  /** A fault of this stream counts as active. */
  faultActive = false;
  readonly #forwarder: Forwarder;
  readonly #localHeaders = new HeaderBlock();
  readonly #idle: StreamDeadline;
  readonly #whole: StreamDeadline;
  readonly #delay: StreamDeadline;
  #afterDelay: (() => boolean) | undefined;
  #requestEnded = false;
  #forwarding = false;
  #filterIndex = 0;
  #lastActivityMs = 0;
  #idleTimeoutMs = 0;

  constructor(connection: StreamConnection) {
    this.connection = connection;
    this.headers = connection.requestHeaders;
    const { downstream } = connection;
    this.tls = downstream.tls !== undefined;
    this.#forwarder = new Forwarder(this);
    this.#idle = new StreamDeadline((nowMs) => this.#onIdle(nowMs));
    this.#whole = new StreamDeadline(() => this.#onWholeTimeout());
    this.#delay = new StreamDeadline(() => this.#onDelayOver());
    const { info } = this;
    info.connectionId = downstream.id;
    info.downstreamLocalAddress = downstream.localAddress;
    info.downstreamDirectLocalAddress = downstream.directLocalAddress;
    info.downstreamDirectRemoteAddress = downstream.remoteAddress;
    info.requestedServerName = downstream.serverName;
    info.downstreamTls = downstream.tls;
  }

  /** A number in [0, 1). */
  random(): number {
    return this.connection.manager.random();
  }

  /** A request head was read; `endStream`: it has no body. */
  begin(head: RequestHead, endStream: boolean): void {
    const { manager, downstream } = this.connection;
    const { info, headers } = this;
    const { stats } = manager;
    const nowMs = manager.nowMs();
    info.reset(manager.nowWallMs(), nowMs);
    info.downstreamRemoteAddress = downstream.remoteAddress;
    info.protocol = head.protocol;
    info.requestHeaders = headers;
    info.requestHeaderBytes = headers.text.length;
    this.#clear();
    this.active = true;
    this.#requestEnded = endStream;
    if (endStream) info.requestReceivedMs = nowMs;
    stats.downstream_rq_total.inc();
    if (head.protocol === 'HTTP/2') stats.downstream_rq_http2_total.inc();
    else stats.downstream_rq_http1_total.inc();
    stats.downstream_rq_active.inc();
    this.method = head.method;
    this.path = head.target;
    this.scheme = this.tls ? 'https' : 'http';
    info.method = head.method;
    const check: RequestCheck | undefined = prepareRequest(this, head);
    this.pathOnly = withoutQuery(this.path);
    info.originalPath = this.path;
    info.path = this.path;
    info.authority = this.authority === '' ? undefined : this.authority;
    this.#armTimeouts(nowMs);
    if (check !== undefined) {
      this.respondLocally(check.status, check.body, check.details, check.flags, check.location);
      return;
    }
    this.#findRoute();
  }

  /** Answers what is no request: it could not be parsed (flag DPE), or did not come in time (no flag). */
  refuse(
    status: number,
    body: string,
    details: string,
    flags: number = flagBits.DPE,
    protocol: RequestHead['protocol'] = 'HTTP/1.1',
  ): void {
    const { manager, downstream } = this.connection;
    const { info } = this;
    info.reset(manager.nowWallMs(), manager.nowMs());
    info.downstreamRemoteAddress = downstream.remoteAddress;
    info.protocol = protocol;
    this.headers.clear();
    this.#clear();
    this.active = true;
    this.method = '';
    manager.stats.downstream_rq_total.inc();
    manager.stats.downstream_rq_active.inc();
    this.respondLocally(status, body, details, flags);
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.info.bytesReceived += end - start;
    this.#touch();
    if (this.#forwarding) this.#forwarder.onData(buffer, start, end);
  }

  onRequestEnd(trailers: HeaderBlock | undefined): void {
    trailers?.dropForbiddenTrailers();
    this.info.requestReceivedMs = this.connection.manager.nowMs();
    this.#requestEnded = true;
    if (this.#forwarding) this.#forwarder.onRequestEnd(trailers);
  }

  /** The body is not what its framing says. */
  onProtocolError(): void {
    if (this.#forwarding) this.#forwarder.cancel();
    this.#forwarding = false;
    if (this.responseStarted) {
      this.info.responseFlags |= flagBits.DPE;
      this.abort();
      return;
    }
    this.connection.closeAfterResponse = true;
    this.respondLocally(400, 'Bad Request', 'http1.codec_error', flagBits.DPE);
  }

  onDownstreamDrain(): void {
    if (this.#forwarding) this.#forwarder.resumeResponse();
  }

  /** The connection is gone, or the client took the request back (`details`). */
  onDownstreamGone(details = 'downstream_remote_disconnect', flag: number = flagBits.DC): void {
    if (!this.active) return;
    const { info } = this;
    if (this.#forwarding) this.#forwarder.cancel();
    this.connection.manager.stats.downstream_rq_rx_reset.inc();
    info.responseFlags |= flag;
    info.responseCodeDetails = details;
    this.#complete();
  }

  /** All bytes of this turn were handed over. */
  onTurnEnd(): void {
    if (this.#forwarding) this.#forwarder.flush();
  }

  // The response.

  /**
   * A reply made here (Envoy's sendLocalReply). `location` is for redirects, `overloaded` for UO. If a route was
   * chosen, what it does to responses is done to this one, too (observed on Envoy 1.40), but for
   * `untouchedByRoute`.
   */
  respondLocally(
    status: number,
    body: string,
    details: string,
    flags: number,
    location?: string,
    modify?: (headers: HeaderBlock) => void,
    options?: { readonly untouchedByRoute: true },
  ): void {
    const headers = this.#localHeaders;
    headers.clear();
    if (location !== undefined) headers.add('location', location);
    const { info } = this;
    info.responseFlags |= flags;
    info.responseCodeDetails = details;
    modify?.(headers);
    this.#nameCluster();
    const mutations = this.responseMutations;
    if (mutations !== undefined && options === undefined) applyMutations(mutations, headers, info);
    if (isGrpcRequest(this.headers)) {
      // The text is the body's, which a HEAD does not get.
      describeForGrpc(headers, status, this.method === 'HEAD' ? '' : body);
      this.respond(200, headers, true);
      return;
    }
    describeBody(headers, body);
    this.respond(status, headers, body === '');
    if (body === '') return;
    if (this.method !== 'HEAD') {
      info.bytesSent += body.length;
      this.connection.writeText(body);
    }
    this.finish(undefined);
  }

  /** What the route, or the weighted cluster that was chosen of it, does to responses. */
  get responseMutations(): HeaderMutations | undefined {
    return this.weighted === undefined ? this.route?.responseHeaders : this.weighted.responseHeaders;
  }

  /** Filters answer before the router has looked at the cluster; Envoy knows it by then. */
  #nameCluster(): void {
    const { info, route } = this;
    if (info.upstreamCluster !== undefined || route?.action.kind !== 'forward') return;
    const name = clusterName(route.action.target, this.weighted, this);
    if (this.connection.manager.clusters.get(name) !== undefined) info.upstreamCluster = name;
  }

  /** Sends the head of the final response; with `endStream` it is the whole of it. */
  respond(status: number, headers: HeaderBlock, endStream: boolean): void {
    const { info, connection } = this;
    const { manager } = connection;
    if (this.cors !== undefined) encodeCors(this, this.cors, headers);
    prepareResponse(this, headers);
    info.responseCode = status;
    info.responseHeaders = headers;
    info.responseStartedMs = manager.nowMs();
    this.responseStarted = true;
    connection.writeHead(status, headers, endStream, this.method === 'HEAD');
    this.#touch();
    if (endStream) this.finish(undefined);
  }

  /** An interim response of the upstream: 100, 102, 103. */
  respondInterim(status: number, headers: HeaderBlock): void {
    this.connection.writeInterim(status, headers);
  }

  respondUpgrade(headers: HeaderBlock): void {
    const { info, connection } = this;
    connection.manager.stats.downstream_cx_upgrades_total.inc();
    prepareResponse(this, headers);
    info.responseCode = 101;
    info.responseHeaders = headers;
    info.responseStartedMs = connection.manager.nowMs();
    this.responseStarted = true;
    connection.manager.deadlines.disarm(this.#idle);
    connection.manager.deadlines.disarm(this.#whole);
    connection.writeUpgrade(headers);
  }

  respondData(buffer: Buffer, start: number, end: number): void {
    this.info.bytesSent += end - start;
    this.connection.writeData(buffer, start, end);
    this.#touch();
  }

  /** The response is complete. */
  finish(trailers: HeaderBlock | undefined): void {
    if (trailers !== undefined) {
      trailers.dropForbiddenTrailers();
      this.info.responseTrailers = trailers;
    }
    const { connection } = this;
    if (!connection.requestComplete) {
      connection.manager.stats.downstream_rq_response_before_rq_complete.inc();
      if (this.#forwarding) this.#forwarder.cancel();
    }
    // The log is written before the connection goes on with the next request in this object.
    this.#complete();
    connection.finish(trailers);
  }

  /** The response was begun and cannot be completed. */
  abort(): void {
    this.connection.manager.stats.downstream_rq_tx_reset.inc();
    if (this.#forwarding) this.#forwarder.cancel();
    this.#complete();
    this.connection.abort();
  }

  /** Writes what waits. */
  flush(): void {
    this.connection.flush();
  }

  /** The settings that this route has for a filter; undefined where it has none. */
  filterConfig(name: string): FilterRouteConfig | undefined {
    const configs = this.weighted === undefined ? this.route?.filterConfigs : this.weighted.filterConfigs;
    return configs?.get(name);
  }

  /** Runs `then` after `delayMs`; unless it stops the request, the next filter follows. */
  delayThen(delayMs: number, then: () => boolean): void {
    const { manager } = this.connection;
    this.#afterDelay = then;
    this.connection.hold(holdForFault);
    manager.deadlines.arm(this.#delay, manager.nowMs() + delayMs);
  }

  #onDelayOver(): void {
    const then = this.#afterDelay;
    this.#afterDelay = undefined;
    if (!this.active || then === undefined) return;
    if (!then()) this.#continueFilters();
    this.connection.release(holdForFault);
    this.onTurnEnd();
    this.flush();
  }

  #findRoute(): void {
    const { manager } = this.connection;
    const { info } = this;
    const routes = manager.routes();
    const virtualHost = routes === undefined ? undefined : findVirtualHost(routes, this.authority);
    if (virtualHost !== undefined) {
      info.virtualHostName = virtualHost.name;
      if (
        virtualHost.requireTls !== 'none' &&
        this.headers.known(H['x-forwarded-proto']) !== 'https' &&
        (virtualHost.requireTls === 'all' || !this.internal)
      ) {
        this.respondLocally(301, '', 'direct_response', 0, `https://${this.authority}${this.path}`);
        return;
      }
      this.route = findRoute(virtualHost, this);
      if (routes!.internalOnlyHeaders.length > 0 && !this.internal)
        for (const name of routes!.internalOnlyHeaders) this.headers.remove(name);
    }
    const { route } = this;
    if (route !== undefined) {
      info.routeName = route.name === '' ? undefined : route.name;
      if (route.action.kind === 'forward') {
        this.weighted = chooseWeighted(route.action.target, this.connection.manager.random());
        if (route.action.idleTimeoutMs !== undefined) this.#setIdleTimeout(route.action.idleTimeoutMs);
      }
    }
    this.#filterIndex = 0;
    this.#continueFilters();
  }

  /** Runs the filters from where they stopped; the router is behind the last. */
  #continueFilters(): void {
    if (!this.active) return;
    const { filters } = this.connection.manager.settings;
    while (this.#filterIndex < filters.length) {
      const filter = filters[this.#filterIndex++]!;
      const config = this.route?.filterConfigs === undefined ? undefined : this.filterConfig(filter.name);
      if (filter.disabled && config === undefined) continue;
      if (config?.kind === 'disabled') continue;
      if (filter.kind === 'cors') {
        const cors = config?.kind === 'cors' ? config.cors : undefined;
        if (cors !== undefined && isPreflightAnswered(this, cors)) return;
      } else {
        const fault = config?.kind === 'fault' ? config.fault : filter.fault;
        if (fault !== undefined && startFault(this, fault)) return;
      }
    }
    this.#toRouter();
  }

  #toRouter(): void {
    const { manager } = this.connection;
    const { route } = this;
    const action = route?.action;
    if (route === undefined || action === undefined || action.kind === 'non-forwarding') {
      manager.stats.no_route.inc();
      this.respondLocally(404, '', 'route_not_found', flagBits.NR);
      return;
    }
    switch (action.kind) {
      case 'direct':
        manager.stats.rq_direct_response.inc();
        this.respondLocally(action.status, action.body, 'direct_response', 0, directLocation(action, this));
        return;
      case 'redirect':
        manager.stats.rq_redirect.inc();
        this.respondLocally(action.status, '', 'direct_response', 0, redirectLocation(action, this));
        return;
      case 'forward':
        manager.stats.rq_total.inc();
        this.#forwarding = true;
        this.#forwarder.start(route, action, this.#requestEnded);
    }
  }

  #clear(): void {
    this.route = undefined;
    this.weighted = undefined;
    this.cors = undefined;
    this.upgrade = undefined;
    this.internal = false;
    this.responseStarted = false;
    this.#forwarding = false;
    this.#requestEnded = false;
  }

  #armTimeouts(nowMs: number): void {
    const { manager } = this.connection;
    const { settings, deadlines } = manager;
    this.#lastActivityMs = nowMs;
    this.#idleTimeoutMs = settings.streamIdleTimeoutMs;
    if (this.#idleTimeoutMs > 0) deadlines.arm(this.#idle, nowMs + this.#idleTimeoutMs);
    const wholeMs = this.#requestEnded ? 0 : settings.requestTimeoutMs;
    const durationMs = settings.streamDurationMaxMs;
    const dueMs = Math.min(wholeMs > 0 ? wholeMs : Infinity, durationMs > 0 ? durationMs : Infinity);
    if (dueMs !== Infinity) deadlines.arm(this.#whole, nowMs + dueMs);
  }

  #setIdleTimeout(idleTimeoutMs: number): void {
    const { deadlines } = this.connection.manager;
    this.#idleTimeoutMs = idleTimeoutMs;
    if (idleTimeoutMs > 0) deadlines.arm(this.#idle, this.#lastActivityMs + idleTimeoutMs);
    else deadlines.disarm(this.#idle);
  }

  #touch(): void {
    if (this.#idleTimeoutMs > 0) this.#lastActivityMs = this.connection.manager.nowMs();
  }

  #onIdle(nowMs: number): void {
    const { manager } = this.connection;
    const dueMs = this.#lastActivityMs + this.#idleTimeoutMs;
    if (dueMs > nowMs) {
      manager.deadlines.arm(this.#idle, dueMs);
      return;
    }
    manager.stats.downstream_rq_idle_timeout.inc();
    this.info.responseFlags |= flagBits.SI;
    this.#giveUp(504, 'stream timeout', 'stream_idle_timeout');
  }

  #onWholeTimeout(): void {
    const { settings, stats } = this.connection.manager;
    const nowMs = this.connection.manager.nowMs();
    const durationDueMs = this.info.startMonotonicMs + settings.streamDurationMaxMs;
    if (settings.streamDurationMaxMs > 0 && nowMs >= durationDueMs) {
      stats.downstream_rq_max_duration_reached.inc();
      this.#giveUp(504, 'downstream duration timeout', 'max_duration_timeout');
      return;
    }
    if (settings.streamDurationMaxMs > 0) this.connection.manager.deadlines.arm(this.#whole, durationDueMs);
    if (this.#requestEnded) return;
    stats.downstream_rq_timeout.inc();
    this.#giveUp(408, 'request timeout', 'request_overall_timeout');
  }

  #giveUp(status: number, body: string, details: string): void {
    if (this.responseStarted) {
      this.info.responseCodeDetails = details;
      this.abort();
      return;
    }
    if (this.#forwarding) this.#forwarder.cancel();
    this.#forwarding = false;
    this.respondLocally(status, body, details, 0);
    this.flush();
  }

  /** Counts and logs; the object is free for the next request. */
  #complete(): void {
    if (!this.active) return;
    this.#nameCluster();
    this.active = false;
    this.#forwarding = false;
    const { manager } = this.connection;
    const { info } = this;
    const { deadlines, stats, settings } = manager;
    deadlines.disarm(this.#idle);
    deadlines.disarm(this.#whole);
    deadlines.disarm(this.#delay);
    this.#afterDelay = undefined;
    if (this.faultActive) {
      this.faultActive = false;
      stats.fault.activeFaults.dec();
    }
    const nowMs = manager.nowMs();
    info.endMonotonicMs = nowMs;
    stats.downstream_rq_active.dec();
    if (info.responseCode !== 0) stats.response(info.responseCode);
    stats.downstream_rq_time.record(Math.round(nowMs - info.startMonotonicMs));
    settings.accessLog.log(info);
  }
}
