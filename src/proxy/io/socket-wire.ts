// A wire over the public net.Socket with `onread`: one read buffer for all sockets of the process.
//
// A shared buffer and `onread` save an allocation and an event for each read; the measurements are in
// docs/decisions. `net.Socket` takes `onread` only in its constructor, so an accepted socket's handle is
// moved into a new Socket (see `adoptAccepted`).
import { Socket } from 'node:net';
import type { SocketAddress } from './socket-address.ts';
import { socketAddress, unknownAddress } from './socket-address.ts';
import type { ConnectOptions, Wire, WireHandler } from './wire.ts';
import { defaultBufferBytesMax } from './wire.ts';

const readBufferBytes = 64 * 1024;
const sharedReadBuffer = Buffer.allocUnsafeSlow(readBufferBytes);

/** Joined writes go through this buffer; it is replaced when the kernel could not take all of it at once. */
let scratch = Buffer.allocUnsafeSlow(128 * 1024);

/** Bodies up to this size are written as part of the head's latin1 string: cheaper than a copy through scratch. */
const joinAsTextBytes = 1024;

/** The parts of a libuv handle that are used here; there is no public name for them. */
export interface SocketHandle {
  readonly fd?: number;
}

interface SocketWithHandle {
  _handle: SocketHandle | null;
}

/** Takes the place of the accepted, paused `accepted`, which must not be used any more. */
export function adoptAccepted(accepted: Socket, bufferBytesMax: number | undefined): SocketWire {
  const holder = accepted as unknown as SocketWithHandle;
  const handle = holder._handle;
  holder._handle = null;
  const wire = new SocketWire(bufferBytesMax, handle);
  return wire;
}

/** Starts to connect. `onConnected` is called once unless `onClose` of the wire's handler comes first. */
export function connectSocket(options: ConnectOptions, handler: WireHandler, onConnected: () => void): Wire {
  const wire = new SocketWire(options.bufferBytesMax, null);
  wire.setHandler(handler);
  wire.connect(options, onConnected);
  return wire;
}

export class SocketWire implements Wire {
  readonly #socket: Socket;
  #handler: WireHandler = deafHandler;
  #localAddress: SocketAddress | undefined;
  #remoteAddress: SocketAddress | undefined;
  #errorCode: string | undefined;
  #closed = false;
  #started = false;
  #ended = false;

  constructor(bufferBytesMax: number | undefined, handle: SocketHandle | null) {
    const options = {
      allowHalfOpen: true,
      writableHighWaterMark: bufferBytesMax ?? defaultBufferBytesMax,
      // Reading starts with resume(); Socket would start at once when given a handle.
      manualStart: true,
      pauseOnCreate: handle !== null,
      onread: {
        buffer: sharedReadBuffer,
        callback: (length: number, buffer: Buffer): boolean => {
          this.#handler.onBytes(buffer, length);
          return true;
        },
      },
      ...(handle === null ? {} : { handle }),
    };
    const socket = new Socket(options);
    this.#socket = socket;
    if (handle !== null) socket.setNoDelay(true);
    socket.on('end', () => this.#handler.onEnd());
    socket.on('drain', () => this.#handler.onDrain());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code ?? 'EIO';
    });
    socket.on('close', () => {
      if (this.#closed) return;
      this.#closed = true;
      const handler = this.#handler;
      this.#handler = deafHandler;
      handler.onClose(this.#errorCode);
    });
  }

  get localAddress(): SocketAddress {
    this.#localAddress ??= addressOf(this.#socket.localAddress, this.#socket.localPort);
    return this.#localAddress ?? unknownAddress;
  }

  get remoteAddress(): SocketAddress {
    this.#remoteAddress ??= addressOf(this.#socket.remoteAddress, this.#socket.remotePort);
    return this.#remoteAddress ?? unknownAddress;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  get descriptor(): number {
    return (this.#socket as unknown as SocketWithHandle)._handle?.fd ?? -1;
  }

  setHandler(handler: WireHandler): void {
    if (!this.#closed) this.#handler = handler;
  }

  connect(options: ConnectOptions, onConnected: () => void): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    if (options.keepAliveMs !== undefined) socket.setKeepAlive(true, options.keepAliveMs);
    socket.connect(
      {
        host: options.address,
        port: options.port,
        ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
      },
      onConnected,
    );
  }

  writeText(text: string): boolean {
    if (this.#ended || this.#socket.destroyed) return true;
    return this.#socket.write(text, 'latin1');
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.writeTextAndBytes('', bytes);
  }

  writeTextAndBytes(text: string, bytes: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#ended || socket.destroyed) return true;
    const length = bytes.length;
    if (length <= joinAsTextBytes) {
      return socket.write(text + latin1Of(bytes), 'latin1');
    }
    const total = text.length + length;
    if (total > scratch.length) {
      const joined = Buffer.allocUnsafeSlow(total);
      joined.write(text, 0, 'latin1');
      joined.set(bytes, text.length);
      return socket.write(joined);
    }
    const target = scratch;
    if (text.length > 0) target.write(text, 0, 'latin1');
    target.set(bytes, text.length);
    const more = socket.write(target.subarray(0, total));
    // What the kernel did not take at once is still read from this memory: leave it to the socket.
    if (socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(target.length);
    return more;
  }

  writeAtOnce(bytes: Uint8Array): boolean {
    if (this.#ended || this.#socket.destroyed) return true;
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.resume();
    if (this.#started) return;
    this.#started = true;
    // With onread nothing reads until the first read(); while connecting, `connect` starts it.
    if (!socket.connecting) socket.read(0);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  reset(): void {
    if (this.#socket.connecting) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  setKeepAlive(enabled: boolean, initialDelayMs: number): void {
    this.#socket.setKeepAlive(enabled, initialDelayMs);
  }
}

const deafHandler: WireHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

function latin1Of(bytes: Uint8Array): string {
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.toString('latin1');
}

function addressOf(address: string | undefined, port: number | undefined): SocketAddress | undefined {
  return address === undefined || port === undefined ? undefined : socketAddress(address, port);
}
