// A client of raw HTTP/2 frames for tests: it sends what it is told, right or wrong, and remembers what came.
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { HeaderBlock } from '../../src/proxy/http/header-block.ts';
import { HpackDecoder } from '../../src/proxy/http2/hpack-decoder.ts';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** One frame as bytes. */
export function frame(type: number, flags: number, id: number, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export const settings = (...pairs: readonly (readonly [number, number])[]): Buffer =>
  frame(
    4,
    0,
    0,
    Buffer.concat(
      pairs.map(([id, value]) => {
        const setting = Buffer.alloc(6);
        setting.writeUInt16BE(id, 0);
        setting.writeUInt32BE(value, 2);
        return setting;
      }),
    ),
  );

const integer = (first: number, bits: number, value: number): Buffer => {
  const mask = (1 << bits) - 1;
  if (value < mask) return Buffer.from([first | value]);
  const bytes = [first | mask];
  let rest = value - mask;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
};

/** A header block of literals that are not indexed, whatever the names and values hold. */
export function literals(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.from([0]),
      integer(0, 7, name.length),
      Buffer.from(name, 'latin1'),
      integer(0, 7, value.length),
      Buffer.from(value, 'latin1'),
    ]),
  );
}

export const request = (
  path = '/',
  more: readonly (readonly [string, string])[] = [],
  method = 'GET',
): (readonly [string, string])[] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'test.example'],
  [':path', path],
  ...more,
];

/** HEADERS with END_HEADERS, and END_STREAM unless `open`. */
export const headers = (
  id: number,
  fields: readonly (readonly [string, string])[],
  options: { readonly open?: boolean } = {},
): Buffer => frame(1, options.open === true ? 4 : 5, id, literals(fields));

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  body: string;
  ended: boolean;
  trailers: Record<string, string> | undefined;
}

export class RawHttp2 {
  readonly frames: Frame[] = [];
  readonly answers = new Map<number, Answer>();
  /** Stream -> code of RST_STREAM. */
  readonly resets = new Map<number, number>();
  goaway: { readonly lastId: number; readonly code: number } | undefined;
  closed = false;
  readonly #socket: Socket;
  readonly #decoder = new HpackDecoder(4096);
  #pending: Buffer = Buffer.alloc(0);
  #changed: (() => void)[] = [];

  /** Connects; with `greet` preface and SETTINGS are sent, and the server's SETTINGS acknowledged. */
  constructor(host: string, port: number, greet = true) {
    this.#socket = connect(port, host);
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.closed = true;
      this.#notify();
    });
    if (greet) this.send(preface, settings(), frame(4, 1, 0));
  }

  send(...bytes: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(bytes));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Resolves once `done` holds; rejects after `timeoutMs`. */
  async until(done: () => boolean, timeoutMs = 3000): Promise<void> {
    if (done()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not within ${timeoutMs} ms: ${done.toString()}`)),
        timeoutMs,
      );
      const check = (): void => {
        if (!done()) {
          this.#changed.push(check);
          return;
        }
        clearTimeout(timer);
        resolve();
      };
      this.#changed.push(check);
    });
  }

  /** What became of a stream, as one line. */
  async outcome(id: number, timeoutMs?: number): Promise<string> {
    const isOver = (): boolean =>
      this.answers.get(id)?.ended === true || this.resets.has(id) || this.goaway !== undefined || this.closed;
    await this.until(isOver, timeoutMs);
    const answer = this.answers.get(id);
    if (answer?.ended === true) return `${answer.status}`;
    if (this.resets.has(id)) return `reset ${this.resets.get(id)}`;
    return this.goaway === undefined ? 'closed' : `goaway ${this.goaway.code}`;
  }

  #notify(): void {
    for (const check of this.#changed.splice(0)) check();
  }

  #read(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 9) {
      const length = this.#pending.readUIntBE(0, 3);
      if (this.#pending.length < 9 + length) break;
      const each: Frame = {
        type: this.#pending[3]!,
        flags: this.#pending[4]!,
        id: this.#pending.readUInt32BE(5) & 0x7fffffff,
        payload: this.#pending.subarray(9, 9 + length),
      };
      this.#pending = this.#pending.subarray(9 + length);
      this.frames.push(each);
      this.#take(each);
    }
    this.#notify();
  }

  #take({ type, flags, id, payload }: Frame): void {
    if (type === 3) this.resets.set(id, payload.readUInt32BE(0));
    else if (type === 7)
      this.goaway = { lastId: payload.readUInt32BE(0) & 0x7fffffff, code: payload.readUInt32BE(4) };
    else if (type === 1) this.#headers(id, payload, (flags & 1) !== 0);
    else if (type === 0) {
      const answer = this.answers.get(id);
      if (answer === undefined) return;
      answer.body += payload.toString('latin1');
      if ((flags & 1) !== 0) answer.ended = true;
    }
  }

  #headers(id: number, payload: Buffer, ended: boolean): void {
    const block = new HeaderBlock();
    const limits = { bytesMax: 60_000, linesMax: 100 };
    const existing = this.answers.get(id);
    const kind = existing === undefined ? 'response' : 'trailers';
    const result = this.#decoder.decode(payload, 0, payload.length, block, kind, limits);
    if (result !== 'ok') throw new Error(`the answer cannot be decoded: ${result}`);
    const fields: Record<string, string> = {};
    block.forEach((name, value) => (fields[name] = value));
    if (existing === undefined) {
      if (this.#decoder.status < 200) return;
      this.answers.set(id, {
        status: this.#decoder.status,
        headers: fields,
        body: '',
        ended,
        trailers: undefined,
      });
      return;
    }
    existing.trailers = fields;
    existing.ended = ended;
  }
}
