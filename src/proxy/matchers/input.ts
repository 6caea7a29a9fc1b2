// What matchers see of a request: enough to decide without a socket, so that `explain` and tests use the same code.
import type { HeaderReader } from '../stream-info.ts';

export interface MatchInput {
  readonly method: string;
  /** Host of the request as sent, with its port if it has one. */
  readonly authority: string;
  /** With its query. */
  readonly path: string;
  /** Without query and fragment. */
  readonly pathOnly: string;
  readonly scheme: string;
  readonly headers: HeaderReader;
  /** The connection to the client is TLS. */
  readonly tls: boolean;
  /** A number in [0, 1), drawn anew at each call: for fractions and weights. */
  random(): number;
}

/** A decision about one request. */
export type RequestPredicate = (input: MatchInput) => boolean;

/** A decision about one text. */
export type TextPredicate = (text: string) => boolean;

/** A request as plain data, for decisions without a connection. Header names are in any case. */
export interface RequestFields {
  readonly method?: string;
  readonly authority: string;
  readonly path: string;
  readonly scheme?: 'http' | 'https';
  /** Several values are several lines of that name. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly random?: () => number;
}

/** GET over plain HTTP, and 0 for every random number, where `fields` say nothing. */
export function matchInput(fields: RequestFields): MatchInput {
  const headers = new Map(
    Object.entries(fields.headers ?? {}).map(([name, value]) => [
      name.toLowerCase(),
      typeof value === 'string' ? [value] : value,
    ]),
  );
  const scheme = fields.scheme ?? 'http';
  return {
    method: fields.method ?? 'GET',
    authority: fields.authority,
    path: fields.path,
    pathOnly: withoutQuery(fields.path),
    scheme,
    headers: {
      get: (name) => headers.get(name)?.join(),
      some: (name, test) => headers.get(name)?.some((value) => test(value)),
    },
    tls: scheme === 'https',
    random: fields.random ?? (() => 0),
  };
}

/** `path` up to its query or fragment. */
export function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query < 0 && fragment < 0) return path;
  return path.substring(0, query < 0 ? fragment : fragment < 0 ? query : Math.min(query, fragment));
}
