// What a route changes about a request before it is sent: headers, host, path, framing of the body.
import type { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import type { HttpStream } from '../http/stream.ts';
import type { CompiledRoute, ForwardAction } from './compiled.ts';
import { applyMutations } from './header-mutations.ts';
import { rewritePath } from './match.ts';

const H = nameIds;

/** Header mutations, then host and path, as Envoy's finalizeRequestHeaders. */
export function finalizeRequest(stream: HttpStream, route: CompiledRoute, action: ForwardAction): void {
  const { headers, info } = stream;
  const mutations = stream.weighted === undefined ? route.requestHeaders : stream.weighted.requestHeaders;
  if (mutations !== undefined) applyMutations(mutations, headers, info);
  const weightedHost = stream.weighted?.hostRewrite ?? '';
  if (weightedHost !== '') rewriteHost(stream, action, weightedHost);
  else if (action.hostRewrite !== undefined) {
    switch (action.hostRewrite.kind) {
      case 'literal':
        rewriteHost(stream, action, action.hostRewrite.host);
        break;
      case 'header': {
        const host = headers.get(action.hostRewrite.header);
        if (host !== undefined && host !== '') rewriteHost(stream, action, host);
        break;
      }
      case 'pathRegex':
        rewriteHost(stream, action, action.hostRewrite.substitution.replace(stream.pathOnly));
        break;
      case 'auto':
        // Known once an endpoint is picked.
        break;
    }
  }
  if (action.pathRewrite !== undefined) {
    const path = rewritePath(action.pathRewrite, stream.path);
    if (!stream.connection.manager.settings.suppressEnvoyHeaders)
      headers.setKnown(H['x-envoy-original-path'], stream.path);
    stream.path = path;
    info.path = path;
  }
}

/** Sets the host that the upstream sees; the client's is kept beside it as configured. */
export function rewriteHost(stream: HttpStream, action: ForwardAction, host: string): void {
  if (action.appendForwardedHost && host !== stream.authority) {
    const before = stream.headers.known(H['x-forwarded-host']);
    stream.headers.setKnown(
      H['x-forwarded-host'],
      before === undefined ? stream.authority : `${before},${stream.authority}`,
    );
  }
  if (!stream.connection.manager.settings.suppressEnvoyHeaders)
    stream.headers.setKnown(H['x-envoy-original-host'], stream.authority);
  stream.headers.setKnown(H.host, host);
  stream.info.authority = host;
}

/** Says how the body is framed, and answers `expect: 100-continue`. True: HTTP/1.1's chunked coding. */
export function frameBody(stream: HttpStream, endStream: boolean, http2: boolean): boolean {
  const { headers } = stream;
  const chunked = frameForProtocol(headers, endStream, http2, stream.method);
  if (!stream.connection.manager.settings.proxyContinue && headers.has(H.expect)) {
    if (headers.known(H.expect)!.toLowerCase() === '100-continue') {
      headers.removeKnown(H.expect);
      if (!endStream) stream.connection.writeContinue();
    }
  }
  return chunked;
}

/**
 * Content-Length stays. HTTP/2 frames by itself. HTTP/1.1: what has no length is chunked; methods that may have a
 * body say that there is none.
 */
export function frameForProtocol(
  headers: HeaderBlock,
  endStream: boolean,
  http2: boolean,
  method: string,
): boolean {
  if (http2) {
    headers.removeKnown(H['transfer-encoding']);
    return false;
  }
  const isChunked = headers.has(H['transfer-encoding']);
  if (isChunked || (!endStream && !headers.has(H['content-length']) && !headers.has(H.upgrade))) {
    headers.removeKnown(H['transfer-encoding']);
    headers.add('transfer-encoding', 'chunked');
    return true;
  }
  if (endStream && !headers.has(H['content-length']) && !bodilessMethods.has(method))
    headers.add('content-length', '0');
  return false;
}

const bodilessMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'TRACE', 'CONNECT']);
