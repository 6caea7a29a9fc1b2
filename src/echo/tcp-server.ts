// The TCP side of the test server: sends back every chunk with a prefix, as a peer that is plainly not HTTP.
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import type { Clock } from '../base/clock.ts';

export interface TcpEchoOptions {
  /** Stands before every chunk that is sent back; may be empty. */
  readonly prefix: string;
  /** Sent as soon as a connection is taken, for protocols in which the server speaks first; empty: nothing. */
  readonly greeting: string;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/** Not listening yet. A half-closed client still gets the rest of its bytes. */
export function createTcpEchoServer(options: TcpEchoOptions): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    const source = `${socket.remoteAddress}:${socket.remotePort}`;
    let bytes = 0;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      options.log(`${new Date(options.clock.now()).toISOString()} ${source} TCP ${bytes}B`);
    });
    if (options.greeting !== '') socket.write(options.greeting);
    socket.on('data', (part) => {
      bytes += part.length;
      socket.write(options.prefix);
      // Reads no faster than the peer takes.
      if (!socket.write(part)) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    });
    socket.on('end', () => socket.end());
  });
}
