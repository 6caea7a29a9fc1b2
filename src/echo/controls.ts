// What a caller may ask of the echo server: `?name=value` in the query, or a header `x-echo-name: value`.
import type { IncomingMessage } from 'node:http';

/** Where the server cuts the connection: before the response, after its headers, or halfway through its body. */
export const closePoints = ['before', 'headers', 'body'] as const;
export type ClosePoint = (typeof closePoints)[number];

export interface Controls {
  readonly status: number;
  /** Milliseconds between the end of the request and the response's headers. */
  readonly delayMs: number;
  readonly close: ClosePoint | undefined;
  /** Length of the body in bytes; undefined: the report. */
  readonly sizeBytes: number | undefined;
  /** The body is the request's body. */
  readonly body: boolean;
  /** The body is sent in chunks, without content-length. */
  readonly chunked: boolean;
  readonly format: 'json' | 'text';
  /** Response headers, in the order asked. */
  readonly headers: readonly (readonly [string, string])[];
  /** Answer `status` to the first so many requests with the same x-request-id, then 200. 0: always. */
  readonly failFirst: number;
}

export const delayMsMax = 600_000;
export const sizeBytesMax = 1 << 30;

/** Every control, with what it takes: the help text and the answer to a wrong one are made of this. */
export const controlHelp: readonly (readonly [string, string])[] = [
  ['status', 'status code of the answer, 200 to 599'],
  ['delay', `wait before the answer: 300ms, 2s, or plain milliseconds; at most ${delayMsMax / 1000}s`],
  [
    'close',
    `reset the connection: ${closePoints.join(', ')} (before the answer, after its headers, within its body)`,
  ],
  ['size', `answer with so many bytes, at most ${sizeBytesMax}`],
  ['body', 'echo: answer with the bytes of the request'],
  ['chunked', 'true: send the body in chunks, without content-length'],
  ['format', 'json or text'],
  ['header', 'name:value, a header of the answer; may be repeated'],
  ['fail-first', 'with status: only the first N requests with the same x-request-id get it, later ones 200'],
];

/** Throws an Error that says which control was wrong and what it takes. */
export function readControls(request: Pick<IncomingMessage, 'url' | 'rawHeaders' | 'headers'>): Controls {
  const asked = new Map<string, string[]>();
  const add = (name: string, value: string): void => {
    const values = asked.get(name);
    if (values === undefined) asked.set(name, [value]);
    else values.push(value);
  };
  const url = request.url ?? '/';
  const question = url.indexOf('?');
  if (question >= 0)
    for (const [name, value] of new URLSearchParams(url.slice(question + 1))) add(name, value);
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = (request.rawHeaders[index] ?? '').toLowerCase();
    if (name.startsWith('x-echo-')) add(name.slice('x-echo-'.length), request.rawHeaders[index + 1] ?? '');
  }
  const last = (name: string): string | undefined => asked.get(name)?.at(-1);
  const wantsText = (request.headers.accept ?? '').startsWith('text/plain');
  return {
    status: wholeNumber('status', last('status'), 200, 599) ?? 200,
    delayMs: durationMs(last('delay')),
    close: oneOf('close', last('close'), closePoints),
    sizeBytes: wholeNumber('size', last('size'), 0, sizeBytesMax),
    body: oneOf('body', last('body'), ['echo']) === 'echo',
    chunked: oneOf('chunked', last('chunked'), ['true', 'false']) === 'true',
    format: oneOf('format', last('format'), ['json', 'text']) ?? (wantsText ? 'text' : 'json'),
    headers: (asked.get('header') ?? []).map(responseHeader),
    failFirst: wholeNumber('fail-first', last('fail-first'), 0, 1000) ?? 0,
  };
}

/** Reads `name: value`; throws where the name is no token or the value has control characters. */
export function responseHeader(text: string): readonly [string, string] {
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(colon, 0)).trim();
  const value = text.slice(colon + 1).trim();
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name) || /(?!\t)\p{Cc}/u.test(value))
    throw new Error(`header: ${JSON.stringify(text)} is not name:value`);
  return [name, value];
}

function wholeNumber(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : -1;
  if (value < least || value > most)
    throw new Error(`${name}: ${JSON.stringify(text)} is not a whole number from ${least} to ${most}`);
  return value;
}

function durationMs(text: string | undefined): number {
  if (text === undefined) return 0;
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s)?$/.exec(text);
  const value = Number(match?.[1] ?? Number.NaN) * (match?.[2] === 's' ? 1000 : 1);
  if (!(value <= delayMsMax))
    throw new Error(
      `delay: ${JSON.stringify(text)} is not a time such as 300ms or 2s, at most ${delayMsMax} ms`,
    );
  return value;
}

function oneOf<const Value extends string>(
  name: string,
  text: string | undefined,
  values: readonly Value[],
): Value | undefined {
  if (text === undefined) return undefined;
  const found = values.find((value) => value === text);
  if (found === undefined)
    throw new Error(`${name}: ${JSON.stringify(text)} is none of ${values.join(', ')}`);
  return found;
}
