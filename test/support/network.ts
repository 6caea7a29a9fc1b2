// A way to a port that a test may bend: to another target, slowly cut, or cut so that nobody is told.
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class Network {
  /** Of 127.0.0.1; connections to it go to the target. */
  port = 0;
  /** A port of 127.0.0.1. Counts for connections that come from now on. */
  target: number;
  /** Connections that were made so far. */
  connections = 0;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #answers: { bytesMax: number; full: () => void } | undefined;

  constructor(target: number) {
    this.target = target;
    this.#server = createServer((near) => this.#connected(near));
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    const address = this.#server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    return this;
  }

  /** From now on bytes vanish in both directions, without a FIN or a RST. */
  cut(): void {
    for (const { near, far } of this.#pairs) {
      for (const socket of [near, far]) {
        socket.removeAllListeners('data');
        socket.on('data', () => {});
      }
    }
  }

  /** Lets that many bytes of each connection's answers through, and none after them; resolves when the first has had its share. */
  stopAnswersAfter(bytesMax: number): Promise<void> {
    return new Promise((full) => {
      this.#answers = { bytesMax, full };
    });
  }

  /** Ends all connections; later ones are free of what was asked for before. */
  disconnect(): void {
    this.#answers = undefined;
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    this.#pairs.clear();
  }

  close(): void {
    this.disconnect();
    this.#server.close();
  }

  #connected(near: Socket): void {
    this.connections++;
    const far = connect(this.target, '127.0.0.1');
    const pair = { near, far };
    this.#pairs.add(pair);
    let answered = 0;
    let limit = this.#answers;
    near.on('data', (bytes: Buffer) => void far.write(bytes));
    far.on('data', (bytes: Buffer) => {
      if (limit !== this.#answers) {
        limit = this.#answers;
        answered = 0;
      }
      const rest = (limit?.bytesMax ?? Number.POSITIVE_INFINITY) - answered;
      answered += bytes.length;
      if (rest > 0) near.write(bytes.subarray(0, Math.min(rest, bytes.length)));
      if (answered >= (limit?.bytesMax ?? Number.POSITIVE_INFINITY)) limit?.full();
    });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => {});
      socket.on('close', () => {
        other.destroy();
        this.#pairs.delete(pair);
      });
    }
  }
}
