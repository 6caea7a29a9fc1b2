// The listening sockets of this proxy, one for each address. A socket outlives the versions of the listener that
// owns it, so that an update never refuses a connection.
import { listen } from '../io/listen.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Wire, WireServer } from '../io/wire.ts';
import { ConfigError } from '../config-error.ts';
import { ownerOfPort } from './port-owner.ts';

/** Who gets the connections of a socket. */
export interface SocketOwner {
  accept(wire: Wire): void;
}

export interface BoundSocket {
  /** As configured. */
  readonly key: string;
  /** As bound: the port that was given by the kernel if 0 was asked for. */
  readonly address: SocketAddress;
}

interface Bound extends BoundSocket {
  readonly server: WireServer;
  /** Undefined: not in service yet, connections are reset. */
  owner: SocketOwner | undefined;
  /** How many versions of listeners hold it. */
  holders: number;
  readonly options: { bufferBytesMax: number | undefined };
}

export class BoundSockets {
  readonly #sockets = new Map<string, Promise<Bound>>();
  readonly #bound = new Map<string, Bound>();

  /** Holds the socket at `address` for `listener`, binding it if it is new. Rejects with ConfigError, naming the port's owner. */
  async hold(address: SocketAddress, listener: string, backlog: number | undefined): Promise<BoundSocket> {
    // Port 0 is another port for each listener.
    const key = address.port === 0 ? `${address.text} ${listener}` : address.text;
    let binding = this.#sockets.get(key);
    if (binding === undefined) {
      binding = this.#bind(key, address, backlog);
      this.#sockets.set(key, binding);
      binding.catch(() => this.#sockets.delete(key));
    }
    const socket = await binding;
    socket.holders++;
    return socket;
  }

  /** From now on its connections go to `owner`. */
  give(socket: BoundSocket, owner: SocketOwner, bufferBytesMax: number | undefined): void {
    const bound = this.#bound.get(socket.key);
    if (bound === undefined) return;
    bound.owner = owner;
    bound.options.bufferBytesMax = bufferBytesMax;
  }

  /** Closed when nobody holds it any more. */
  release(socket: BoundSocket): void {
    const bound = this.#bound.get(socket.key);
    if (bound === undefined || --bound.holders > 0) return;
    bound.owner = undefined;
    bound.server.close();
    this.#bound.delete(socket.key);
    this.#sockets.delete(socket.key);
  }

  async #bind(key: string, address: SocketAddress, backlog: number | undefined): Promise<Bound> {
    const options = { address: address.address, port: address.port, backlog, bufferBytesMax: undefined };
    let bound: Bound | undefined;
    try {
      const server = await listen(options, (wire) => {
        if (bound?.owner === undefined) wire.reset();
        else bound.owner.accept(wire);
      });
      bound = { key, address: server.address, server, owner: undefined, holders: 0, options };
      this.#bound.set(bound.key, bound);
      return bound;
    } catch (error) {
      throw new ConfigError('address', describeBindError(error as NodeJS.ErrnoException, address));
    }
  }
}

/** What went wrong at `address` and what to do, such as which process has the port. */
export function describeBindError(error: NodeJS.ErrnoException, address: SocketAddress): string {
  const what = `cannot bind '${address.text}'`;
  if (error.code === 'EADDRINUSE') {
    const owner = ownerOfPort(address.port);
    return `${what}: address already in use${owner === undefined ? '' : ` by ${owner}`}; stop it or choose another port`;
  }
  if (error.code === 'EADDRNOTAVAIL') return `${what}: this machine has no such address`;
  if (error.code === 'EACCES') {
    return `${what}: permission denied; ports below 1024 need a privilege, choose a higher one`;
  }
  return `${what}: ${error.message}`;
}
