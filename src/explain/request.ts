// The request of the command line as plain data.
import { isIP } from 'node:net';
import { UserError } from '../base/user-error.ts';

export type Scheme = 'http' | 'https' | 'tcp' | 'tls';

export interface ExplainedRequest {
  readonly method: string;
  readonly url: string;
  readonly scheme: Scheme;
  /** Of the URL, lower case, without port and brackets. */
  readonly host: string;
  readonly port: number;
  /** The Host header. */
  readonly authority: string;
  /** With its query, as written. */
  readonly path: string;
  /** Lower-case names; without `host`. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the client's own TLS says. */
  readonly tls: { readonly sni: string; readonly alpn: readonly string[] } | undefined;
}

export interface RequestOptions {
  readonly method?: string | undefined;
  readonly url: string;
  /** `name:value` */
  readonly headers?: readonly string[] | undefined;
  readonly sni?: string | undefined;
  readonly alpn?: readonly string[] | undefined;
  /** Instead of the URL's. */
  readonly port?: number | undefined;
}

const defaultPorts: Readonly<Record<Scheme, number>> = { http: 80, https: 443, tcp: 0, tls: 443 };
/** What browsers and curl offer. */
const httpsAlpn = ['h2', 'http/1.1'];

/** Throws a UserError (exit code 2) that says what would be accepted. */
export function parseRequest(options: RequestOptions): ExplainedRequest {
  const written = options.url.includes('://') ? options.url : `http://${options.url}`;
  // The raw text after the host: `URL` would fold `//x` and `..`, which the proxy has to see.
  const match = /^([a-z]+):\/\/([^/?#]*)([^#]*)/i.exec(written);
  const scheme = match?.[1]?.toLowerCase();
  const rest = match?.[3] ?? '';
  if (scheme === undefined || !(scheme in defaultPorts)) {
    throw usage(
      `${JSON.stringify(options.url)} is not a URL: give http://host[:port]/path, https://, tcp:// or tls://`,
    );
  }
  const { host, port } = splitAuthority(match?.[2] ?? '', options.url);
  const known = scheme as Scheme;
  const wanted = options.port ?? port ?? defaultPorts[known];
  if (wanted === 0) throw usage(`${options.url} has no port: write tcp://${host}:PORT, or give --port`);
  const headers = readHeaders(options.headers ?? []);
  const { host: hostHeader, ...others } = headers;
  const bare = host.includes(':') ? `[${host}]` : host;
  const isTls = known === 'https' || known === 'tls' || options.sni !== undefined;
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return {
    method: (options.method ?? 'GET').toUpperCase(),
    url: written,
    scheme: known,
    host,
    port: wanted,
    authority: (hostHeader ?? (port === undefined ? bare : `${bare}:${port}`)).toLowerCase(),
    path,
    headers: others,
    tls: isTls
      ? {
          sni: (options.sni ?? (isIP(host) === 0 ? host : '')).toLowerCase(),
          alpn: options.alpn ?? (known === 'https' ? httpsAlpn : []),
        }
      : undefined,
  };
}

export function isHttpScheme(scheme: Scheme): boolean {
  return scheme === 'http' || scheme === 'https';
}

function splitAuthority(text: string, url: string): { host: string; port: number | undefined } {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]@]+))(?::(\d{1,5}))?$/i.exec(text);
  const host = (match?.[1] ?? match?.[2])?.toLowerCase();
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535)))
    throw usage(`${JSON.stringify(url)}: ${JSON.stringify(text)} is not host or host:port`);
  return { host, port };
}

/** Several of one name are joined by commas, as proxies read them. */
function readHeaders(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const match = /^([!#$%&'*+\-.^_`|~0-9a-zA-Z]+)\s*[:=]\s*(.*)$/.exec(line);
    const name = match?.[1]?.toLowerCase();
    if (name === undefined) throw usage(`-H ${JSON.stringify(line)}: give it as name:value`);
    const value = (match?.[2] ?? '').trim();
    headers[name] = headers[name] === undefined || name === 'host' ? value : `${headers[name]},${value}`;
  }
  return headers;
}

export function usage(message: string): UserError {
  return new UserError(message, 2);
}
