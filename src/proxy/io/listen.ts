// Bound sockets that yield wires, and wires that connect: which implementation serves is decided here.
import { createServer, isIP } from 'node:net';
import type { Server, Socket } from 'node:net';
import { HandleWire, connectHandle, isTcpHandle, loadHandleBinding } from './handle-wire.ts';
import type { SocketHandle } from './socket-wire.ts';
import { SocketWire, adoptAccepted, connectSocket } from './socket-wire.ts';
import type { SocketAddress } from './socket-address.ts';
import { socketAddress } from './socket-address.ts';
import type { ConnectOptions, ListenOptions, Wire, WireHandler, WireServer } from './wire.ts';

let binding = loadHandleBinding();

/**
 * Chooses the implementation for the wires to come: 'handles' (the default) is faster and uses Node's
 * internals, 'sockets' is public API only. Returns what is in force: 'sockets' where this Node's internals are not as expected.
 */
export function chooseWires(wanted: 'handles' | 'sockets'): 'handles' | 'sockets' {
  binding = wanted === 'handles' ? loadHandleBinding() : undefined;
  return binding === undefined ? 'sockets' : 'handles';
}

function wireOf(handle: SocketHandle, bufferBytesMax: number | undefined): Wire {
  if (binding !== undefined && isTcpHandle(handle)) return new HandleWire(binding, handle, bufferBytesMax);
  return new SocketWire(bufferBytesMax, handle);
}

/** Binds and listens. Rejects with the system's error (EADDRINUSE, EACCES ...). Wires arrive paused. */
export function listen(options: ListenOptions, onAccept: (wire: Wire) => void): Promise<WireServer> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (accepted: Socket) => {
      onAccept(adoptAccepted(accepted, options.bufferBytesMax));
    });
    server.once('error', reject);
    server.listen(
      {
        host: options.address,
        port: options.port,
        exclusive: true,
        ...(options.backlog === undefined ? {} : { backlog: options.backlog }),
        ...(options.reusePort === true ? { reusePort: true } : {}),
      },
      () => {
        server.off('error', reject);
        // Running out of descriptors must not stop the process: the peer retries.
        server.on('error', () => {});
        acceptHandles(server, (handle) => onAccept(wireOf(handle, options.bufferBytesMax)));
        const bound = server.address();
        const address: SocketAddress =
          bound === null || typeof bound === 'string'
            ? socketAddress(options.address, options.port)
            : socketAddress(bound.address, bound.port);
        resolve({ address, close: () => void server.close() });
      },
    );
  });
}

/**
 * Starts to connect. `onConnected` is called once, unless the handler's `onClose` comes first (its code then
 * says why: ECONNREFUSED ...). The wire does not read until `resume`, which may be called at once.
 */
export function connect(options: ConnectOptions, handler: WireHandler, onConnected: () => void): Wire {
  if (binding !== undefined && isIP(options.address) !== 0)
    return connectHandle(binding, options, handler, onConnected);
  return connectSocket(options, handler, onConnected);
}

interface ServerWithHandle {
  readonly _handle?: { onconnection?: (status: number, handle: SocketHandle | undefined) => void } | null;
}

/**
 * Takes accepted handles before a Socket is made for them, which would only be thrown away: half the cost of
 * a connection. Where Node keeps its handles otherwise, nothing changes and the server's own event serves.
 */
function acceptHandles(server: Server, onHandle: (handle: SocketHandle) => void): void {
  const handle = (server as unknown as ServerWithHandle)._handle;
  if (handle === undefined || handle === null || typeof handle.onconnection !== 'function') return;
  handle.onconnection = (status, accepted) => {
    // An accept that failed (out of descriptors): the peer will try again.
    if (status === 0 && accepted !== undefined) onHandle(accepted);
  };
}
