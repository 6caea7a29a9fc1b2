// HTTP on 15014: readiness, metrics, version and debug pages, with istiod's paths and JSON shapes.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../../base/logger.ts';
import type { PilotServer } from '../pilot.ts';
import { fairleadVersion } from '../../base/version.ts';
import type { Answer } from './answers.ts';
import { plain } from './answers.ts';
import { refusalOf } from './authorize.ts';
import { findPage } from './find-page.ts';
import { isLoopback } from './loopback.ts';
import { debugPages } from './pages.ts';

export interface DebugServerOptions {
  readonly pilot: PilotServer;
  readonly logger: Logger;
}

export class DebugServer {
  readonly #options: DebugServerOptions;
  readonly #server: Server;

  constructor(options: DebugServerOptions) {
    this.#options = options;
    this.#server = createServer({ maxHeaderSize: 16 * 1024 }, (request, response) => {
      // Nothing here reads a body.
      request.resume();
      void this.#serve(request, response);
    });
    this.#server.requestTimeout = 30_000;
    this.#server.headersTimeout = 10_000;
    // Each may hold an answer that its client does not read, and some are megabytes.
    this.#server.maxConnections = connectionsMax;
    this.#server.timeout = silenceMs;
  }

  /** `address:port`; resolves to the port. */
  listen(address: string): Promise<number> {
    const { host, port } = splitAddress(address);
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.removeListener('error', reject);
        // Such as too many open files: the port stays open.
        this.#server.on('error', (error) => this.#options.logger.error(`debug pages: ${error.message}`));
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.logger.error(`${request.url}: ${detail}`);
      answer = plain(500, error instanceof Error ? error.message : String(error));
    }
    // Who asks had to be asked for, and may have gone meanwhile.
    if (response.destroyed) return;
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      'content-length': Buffer.byteLength(answer.body),
      'x-content-type-options': 'nosniff',
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { pilot } = this.#options;
    if (!URL.canParse(request.url ?? '/', 'http://pilot')) return plain(400, 'malformed URL');
    const url = new URL(request.url ?? '/', 'http://pilot');
    if (isOfOtherSite(request)) return plain(403, 'pages of other sites get no answer here');
    if (request.method !== 'GET' && request.method !== 'HEAD' && request.method !== 'POST')
      return plain(405, 'GET, HEAD or POST');
    switch (url.pathname) {
      case '/ready':
        return pilot.synced ? plain(200, '') : plain(503, 'configuration is not read yet');
      case '/version':
        return plain(200, fairleadVersion);
      case '/metrics':
        return {
          status: 200,
          contentType: 'text/plain; version=0.0.4; charset=utf-8',
          body: pilot.metrics.render(),
        };
      default:
        return this.#debug(request, url);
    }
  }

  async #debug(request: IncomingMessage, url: URL): Promise<Answer> {
    const { pilot } = this.#options;
    const page = findPage(url.pathname);
    if (page === undefined && url.pathname !== '/debug') return plain(404, '404 page not found');
    // A page of this machine's browser must not hand these to a site (DNS rebinding): the name in Host is ours.
    const isLocal = isLoopback(request.socket.remoteAddress) && isLocalHost(request.headers.host);
    if (!isLocal && pilot.options.debugForAll !== true) {
      const [identity] = (await pilot.gate.identitiesOfRequest(request)) ?? [];
      if (identity === undefined)
        return plain(
          401,
          'debug pages answer clients on this machine, and those with a token (see --debug-for-all)',
        );
      const refusal = refusalOf(pilot, url, identity);
      if (refusal !== undefined) return refusal;
    }
    if (page === undefined) {
      return plain(200, debugPages.map(({ path, help }) => `${path}\t${help}`).join('\n'));
    }
    return page.answer(pilot, url.searchParams);
  }
}

/** Connections at a time. */
const connectionsMax = 1000;
/** A connection on which neither side says anything for so long, or whose client does not read, is closed. */
const silenceMs = 30_000;

/**
 * Whether a browser asks on behalf of a page that is not ours: it may not read the answer, but what the request does
 * (`?push=true`) it would have done. Tools send neither header.
 */
function isOfOtherSite({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  return origin !== undefined && origin !== `http://${host ?? ''}`;
}

function isLocalHost(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return name === 'localhost' || isLoopback(name);
}

/** `:15014`, `127.0.0.1:15014`, `[::1]:15014`. */
function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host: host === '' ? '0.0.0.0' : host, port: Number(address.slice(colon + 1)) };
}
