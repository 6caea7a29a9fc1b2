// Runs echo servers on one address and several ports until told to stop.
import type { Server } from 'node:net';
import { UserError } from '../base/user-error.ts';
import type { EchoOptions } from './http-server.ts';
import { createEchoServer } from './http-server.ts';
import { createTcpEchoServer } from './tcp-server.ts';

export interface EchoRunOptions extends EchoOptions {
  readonly host: string;
  /** Ports that speak HTTP; 0 takes any free one. */
  readonly httpPorts: readonly number[];
  /** Ports that send bytes back. */
  readonly tcpPorts: readonly number[];
  readonly tcpPrefix: string;
  readonly tcpGreeting: string;
}

export interface RunningEcho {
  /** The ports that were bound: first the HTTP ones, in the order asked. */
  readonly ports: readonly number[];
  /** Stops taking connections, lets running answers end for `graceMs`, then cuts what is left. */
  stop(graceMs: number): Promise<void>;
}

/** Rejects with a UserError where a port cannot be had; then none stays open. */
export async function runEcho(options: EchoRunOptions): Promise<RunningEcho> {
  const connections = new Set<{ destroy(): void }>();
  const servers: Server[] = [];
  const ports: number[] = [];
  const add = async (server: Server, port: number, protocol: string): Promise<void> => {
    server.on('connection', (socket) => {
      connections.add(socket);
      socket.on('close', () => connections.delete(socket));
    });
    servers.push(server);
    const bound = await listen(server, options.host, port);
    ports.push(bound);
    options.log(`${protocol} echo on ${options.host}:${bound}`);
  };
  try {
    for (const port of options.httpPorts) await add(createEchoServer(options), port, 'HTTP');
    const tcp = { ...options, prefix: options.tcpPrefix, greeting: options.tcpGreeting };
    for (const port of options.tcpPorts) await add(createTcpEchoServer(tcp), port, 'TCP');
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return {
    ports,
    async stop(graceMs) {
      const closed = servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            if ('closeIdleConnections' in server)
              (server as { closeIdleConnections(): void }).closeIdleConnections();
          }),
      );
      const timer = options.clock.after(graceMs, () => {
        for (const connection of connections) connection.destroy();
      });
      await Promise.all(closed);
      timer.cancel();
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'another process has it'
          : error.code === 'EACCES'
            ? 'ports below 1024 need root'
            : error.code === 'EADDRNOTAVAIL'
              ? 'this machine has no such address'
              : error.message;
      reject(new UserError(`cannot listen on ${host}:${port}: ${why}; give another --host or --port`));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}
