// A server of raw HTTP/1.1 messages for tests: it remembers what it read and answers as it is told.
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** Writes the answer to `request`, one whole message as latin1 text. */
export type Answer = (socket: Socket, request: string) => void;

export class RawBackend {
  /** Whole requests, in order. */
  readonly seen: string[] = [];
  /** Connections accepted so far. */
  accepted = 0;
  answer: Answer;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(answer: Answer = answerOk) {
    this.answer = answer;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  listen(port: number, address = '127.0.0.1'): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, resolve);
    });
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    this.accepted++;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.setEncoding('latin1');
    let text = '';
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = text.slice(0, end + 2);
      const length = Number(/^content-length: (\d+)/m.exec(head)?.[1] ?? 0);
      const complete = head.includes('transfer-encoding: chunked')
        ? /\r\n0\r\n(?:[^\r]+\r\n)*\r\n$/.test(text)
        : text.length >= end + 4 + length;
      // Someone who expects 100 and upgrades wants to be answered before the body.
      if (!complete && !head.includes('expect: 100-continue')) return;
      const request = text;
      text = '';
      this.seen.push(request);
      this.answer(socket, request);
    });
  }
}

export function answerOk(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
}

/** Path of a request without its query. */
export function pathOf(request: string): string {
  return (request.split(' ')[1] ?? '').split('?')[0]!;
}

/** One client connection that collects what it reads. */
export class RawClient {
  text = '';
  ended = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (chunk: string) => {
      this.text += chunk;
    });
    this.socket.on('close', () => {
      this.ended = true;
    });
    this.socket.on('error', () => {});
  }

  write(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Waits until `condition` holds for what was read; throws with the text after `waitMs`. */
  async until(condition: (text: string) => boolean, waitMs = 3000): Promise<string> {
    await eventually(
      () => condition(this.text),
      () => `read so far: ${JSON.stringify(this.text)}`,
      waitMs,
    );
    return this.text;
  }

  async untilEnd(): Promise<string> {
    await eventually(
      () => this.ended,
      () => `the connection is open; read so far: ${JSON.stringify(this.text)}`,
    );
    return this.text;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Waits, looking every few milliseconds. */
export async function eventually(
  condition: () => boolean,
  describe: () => string,
  waitMs = 3000,
): Promise<void> {
  const end = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`did not happen within ${waitMs} ms: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}
