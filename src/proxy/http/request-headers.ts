// What the connection manager does to the headers of a request before anyone routes it (inventory D4.04-D4.08).
import { randomUUID } from 'node:crypto';
import { socketAddress } from '../io/socket-address.ts';
import { flagBits } from '../stream-info.ts';
import { markClientCertificate } from './client-certificate.ts';
import type { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';
import { preparePath } from './path.ts';
import type { ManagerSettings } from './settings.ts';
import type { HttpStream } from './stream.ts';
import type { RequestHead } from './stream-connection.ts';
import { strippedHost } from './target-options.ts';

/** An answer instead of routing. */
export interface RequestCheck {
  readonly status: number;
  readonly body: string;
  readonly details: string;
  readonly flags: number;
  readonly location?: string;
}

const H = nameIds;

/** Headers by which a client could steer this proxy: only internal requests may carry them (D4.05b). */
const internalControlHeaders: readonly number[] = [
  H['x-envoy-retriable-status-codes'],
  H['x-envoy-retriable-header-names'],
  H['x-envoy-retry-on'],
  H['x-envoy-retry-grpc-on'],
  H['x-envoy-max-retries'],
  H['x-envoy-upstream-alt-stat-name'],
  H['x-envoy-upstream-rq-timeout-ms'],
  H['x-envoy-upstream-rq-per-try-timeout-ms'],
  H['x-envoy-upstream-rq-timeout-alt-response'],
  H['x-envoy-expected-rq-timeout-ms'],
  H['x-envoy-force-trace'],
  H['x-envoy-ip-tags'],
  H['x-envoy-original-url'],
  H['x-envoy-hedge-on-per-try-timeout'],
  H['x-envoy-internal'],
];
const edgeHeaders: readonly number[] = [
  H['x-envoy-decorator-operation'],
  H['x-envoy-downstream-service-cluster'],
  H['x-envoy-downstream-service-node'],
  H['x-envoy-original-path'],
  H['x-envoy-original-host'],
];

/** Sets the stream's authority and path, and changes its headers; the check says why the request is answered here. */
export function prepareRequest(stream: HttpStream, head: RequestHead): RequestCheck | undefined {
  const { headers } = stream;
  const { settings } = stream.connection.manager;
  if (head.protocol === 'HTTP/1.0' && !settings.acceptHttp10) {
    stream.connection.closeAfterResponse = true;
    return { ...refusal(426, 'low_version', 'Upgrade Required'), flags: flagBits.DPE };
  }
  const bad = checkTarget(stream, head, settings) ?? checkHeaders(headers, settings, stream, head);
  if (bad !== undefined) return bad;
  const path = preparePath(stream.path, settings.path);
  switch (path.kind) {
    case 'same':
      break;
    case 'changed':
      stream.path = path.path;
      break;
    case 'reject':
      stream.connection.closeAfterResponse = true;
      return refusal(400, 'path_normalization_failed');
    case 'redirect':
      stream.connection.manager.stats.downstream_rq_redirected_with_normalized_path.inc();
      return { ...refusal(307, 'path_normalization_failed'), location: path.path };
  }
  stripHost(stream, settings);
  const upgrade = dropHopByHop(stream, settings);
  if (upgrade !== undefined) return upgrade;
  markOrigin(stream, settings);
  if (settings.generateRequestId) {
    const external = settings.useRemoteAddress && !stream.internal && !settings.preserveExternalRequestId;
    if (external || !headers.has(H['x-request-id'])) headers.setKnown(H['x-request-id'], randomUUID());
  }
  stream.info.requestId = headers.known(H['x-request-id']);
  return undefined;
}

function refusal(status: number, details: string, body = ''): RequestCheck {
  return { status, body, details, flags: 0 };
}

/** Origin-form, absolute-form, `*`; CONNECT is refused. */
function checkTarget(
  stream: HttpStream,
  head: RequestHead,
  settings: ManagerSettings,
): RequestCheck | undefined {
  const { headers } = stream;
  const { target } = head;
  let host = headers.known(H.host);
  if (head.method === 'CONNECT') {
    stream.authority = target;
    stream.connection.closeAfterResponse = true;
    return { ...refusal(404, 'route_not_found'), flags: flagBits.NR };
  }
  const first = target.charCodeAt(0);
  if (first === 42 && target.length === 1) return refusal(404, 'absolute_path_rejected');
  if (first !== 47) {
    const match = /^(https?):\/\/([^/?#]+)([/?].*)?$/i.exec(target);
    if (match === null) {
      stream.connection.closeAfterResponse = true;
      return { ...refusal(400, 'http1.codec_error', 'Bad Request'), flags: flagBits.DPE };
    }
    // Who claims https over plain text at the edge would pass for a request that came in encrypted.
    const atEdge = settings.useRemoteAddress && settings.trustedHops === 0;
    if (atEdge && !stream.tls && match[1]!.toLowerCase() === 'https') {
      stream.connection.closeAfterResponse = true;
      return { ...refusal(403, 'http1.https_url_on_plaintext_connection', 'Forbidden'), flags: flagBits.DPE };
    }
    // The target's own host counts, not the Host header's (RFC 9112 section 3.2.2).
    host = match[2]!;
    headers.setKnown(H.host, host);
    const rest = match[3] ?? '/';
    stream.path = rest.startsWith('?') ? `/${rest}` : rest;
  }
  if (host === undefined) {
    if (head.protocol === 'HTTP/1.0' && settings.defaultHostForHttp10 !== '') {
      host = settings.defaultHostForHttp10;
      headers.setKnown(H.host, host);
    } else {
      stream.connection.closeAfterResponse = true;
      return refusal(400, 'missing_host_header');
    }
  }
  // Userinfo, paths and lists in an authority are ways around host rules (traps row 3).
  // A connection mostly asks for one host: that one need not be looked at again.
  if (host !== stream.checkedHost && !/^[A-Za-z0-9._~!$&'()*+;=:%[\]-]*$/.test(host)) {
    stream.connection.closeAfterResponse = true;
    return { ...refusal(400, 'http.invalid_authority', 'Bad Request'), flags: flagBits.DPE };
  }
  stream.checkedHost = host;
  stream.authority = host;
  if (stream.path.includes('#')) {
    stream.connection.closeAfterResponse = true;
    return refusal(400, 'path_normalization_failed');
  }
  return undefined;
}

function checkHeaders(
  headers: HeaderBlock,
  settings: ManagerSettings,
  stream: HttpStream,
  head: RequestHead,
): RequestCheck | undefined {
  const codec = head.protocol === 'HTTP/2' ? 'http2' : 'http1';
  const tooMany = headers.count > settings.headersMax;
  if (tooMany || headers.text.length > settings.headBytesMax) {
    stream.connection.closeAfterResponse = true;
    const details = tooMany ? `${codec}.too_many_headers` : `${codec}.headers_too_large`;
    return { ...refusal(431, details, 'Request Header Fields Too Large'), flags: flagBits.DPE };
  }
  if (settings.underscores === 'allow') return undefined;
  for (let index = 0; index < headers.count; index++) {
    if (headers.ids[index] !== 0) continue;
    const name = headers.nameAt(index);
    if (!name.includes('_')) continue;
    if (settings.underscores === 'reject') {
      stream.connection.closeAfterResponse = true;
      return { ...refusal(400, `${codec}.unexpected_underscore`, 'Bad Request'), flags: flagBits.DPE };
    }
    headers.remove(name);
  }
  return undefined;
}

function stripHost(stream: HttpStream, settings: ManagerSettings): void {
  const host = strippedHost(stream.authority, settings, stream.connection.downstream.localAddress.port);
  if (host === stream.authority) return;
  stream.authority = host;
  stream.headers.setKnown(H.host, host);
}

/** Drops what concerns this connection only. An upgrade that is not configured is answered with 403. */
function dropHopByHop(stream: HttpStream, settings: ManagerSettings): RequestCheck | undefined {
  const { headers } = stream;
  const connection = headers.known(H.connection);
  if (connection !== undefined) {
    const nominated = connection.toLowerCase().split(',');
    const wantsUpgrade = nominated.some((name) => name.trim() === 'upgrade');
    const upgrade = wantsUpgrade ? headers.known(H.upgrade) : undefined;
    if (upgrade !== undefined) {
      const kind = upgrade.toLowerCase();
      const configured = settings.upgrades.has(kind);
      if (configured) {
        stream.upgrade = kind;
        headers.removeKnown(H['keep-alive']);
        headers.removeKnown(H['proxy-connection']);
        return undefined;
      }
      // An upgrade to HTTP/2 may be ignored (RFC 9113 section 3.1 made it obsolete).
      if (kind !== 'h2c') {
        stream.connection.manager.stats.downstream_rq_ws_on_non_ws_route.inc();
        stream.connection.closeAfterResponse = true;
        return refusal(403, 'upgrade_failed');
      }
    }
    headers.removeKnown(H.connection);
    for (const name of nominated) {
      const trimmed = name.trim();
      if (trimmed === '' || trimmed === 'close' || trimmed === 'keep-alive') continue;
      if (trimmed === 'te') continue;
      if (trimmed === 'http2-settings' || trimmed === 'upgrade') {
        headers.remove(trimmed);
        continue;
      }
      // A client must not make this proxy drop what others rely on (host, cookies, policies).
      if (isProtected(trimmed)) {
        stream.connection.closeAfterResponse = true;
        return refusal(400, 'connection_header_sanitization', 'Bad Request');
      }
      headers.remove(trimmed);
    }
  }
  headers.removeKnown(H.upgrade);
  headers.removeKnown(H['keep-alive']);
  headers.removeKnown(H['proxy-connection']);
  const te = headers.known(H.te);
  if (te !== undefined) {
    if (/\btrailers\b/i.test(te)) headers.setKnown(H.te, 'trailers');
    else headers.removeKnown(H.te);
  }
  return undefined;
}

function isProtected(name: string): boolean {
  return (
    name === 'host' ||
    name.startsWith(':') ||
    name.startsWith('x-forwarded-') ||
    name.startsWith('x-envoy-') ||
    name === 'content-length' ||
    name === 'transfer-encoding' ||
    name === 'authorization' ||
    name === 'cookie'
  );
}

/** x-forwarded-for, x-forwarded-proto, whether the request is internal, and what others may then not send. */
function markOrigin(stream: HttpStream, settings: ManagerSettings): void {
  const { headers, info } = stream;
  const { downstream, manager } = stream.connection;
  const remote = downstream.remoteAddress;
  markClientCertificate(headers, settings.clientCertificate, downstream.tls);
  headers.removeKnown(H['x-envoy-upstream-stream-duration-ms']);
  const forwardedFor = headers.known(H['x-forwarded-for']);
  const proto = stream.tls ? 'https' : 'http';
  let trusted: string | undefined;
  let single: boolean;
  if (settings.useRemoteAddress) {
    single = forwardedFor === undefined;
    trusted =
      settings.trustedHops > 0 && forwardedFor !== undefined
        ? forwardedHop(forwardedFor, settings.trustedHops - 1)
        : remote.address;
    if (!settings.skipForwardedForAppend) {
      const own = isLoopback(remote.address) ? manager.localAddress : remote.address;
      headers.setKnown(H['x-forwarded-for'], forwardedFor === undefined ? own : `${forwardedFor},${own}`);
    }
    if (settings.trustedHops === 0 || !headers.has(H['x-forwarded-proto']))
      headers.setKnown(H['x-forwarded-proto'], proto);
    if (settings.appendForwardedPort && (settings.trustedHops === 0 || !headers.has(H['x-forwarded-port'])))
      headers.setKnown(H['x-forwarded-port'], String(downstream.localAddress.port));
  } else {
    single = forwardedFor !== undefined && !forwardedFor.includes(',');
    trusted = forwardedFor === undefined ? undefined : forwardedHop(forwardedFor, settings.trustedHops);
    if (!headers.has(H['x-forwarded-proto'])) headers.setKnown(H['x-forwarded-proto'], proto);
  }
  if (settings.via !== '') {
    const via = headers.known(H.via);
    headers.setKnown(H.via, via === undefined ? settings.via : `${via}, ${settings.via}`);
  }
  if (trusted !== undefined && trusted !== remote.address)
    info.downstreamRemoteAddress = socketAddress(trusted, 0);
  const forwardedProto = headers.known(H['x-forwarded-proto']);
  if (forwardedProto === 'https' || forwardedProto === 'http') stream.scheme = forwardedProto;
  stream.internal = single && trusted !== undefined && settings.isInternalAddress(trusted);
  if (stream.internal) {
    headers.setKnown(H['x-envoy-internal'], 'true');
    return;
  }
  for (const id of internalControlHeaders) headers.removeKnown(id);
  if (!settings.useRemoteAddress) return;
  for (const id of edgeHeaders) headers.removeKnown(id);
  headers.setKnown(H['x-envoy-external-address'], trusted ?? remote.address);
}

/** The address `hops` from the right end of x-forwarded-for; undefined if it is not an IP address. */
function forwardedHop(forwardedFor: string, hops: number): string | undefined {
  const addresses = forwardedFor.split(',');
  const address = addresses.at(-1 - hops)?.trim();
  if (address === undefined || !/^[0-9a-fA-F:.]+$/.test(address) || !/[.:]/.test(address)) return undefined;
  return address;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
