// A wire directly over libuv's TCP handle, without net.Socket and its stream state machine in between.
//
// Node has no public name for these handles; `process.binding` gives them on every version that we support.
// A connection costs about half, a request about a tenth less (docs/decisions). Where the binding is missing
// or looks different, `loadHandleBinding` says so and the public implementation serves.
import { getSystemErrorName } from 'node:util';
import type { SocketAddress } from './socket-address.ts';
import { socketAddress, unknownAddress } from './socket-address.ts';
import type { ConnectOptions, Wire, WireHandler } from './wire.ts';
import { defaultBufferBytesMax } from './wire.ts';

export interface Request {
  oncomplete: (status: number) => void;
  /** Keeps the memory of an unfinished write alive. */
  buffer?: Uint8Array;
}

/** The part of libuv's TCP wrapper that is used. Calls return 0 or a negative error number. */
export interface TcpHandle {
  readonly fd: number;
  /** Must always be a function: anything else aborts the process. */
  onread: () => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeLatin1String(request: Request, text: string): number;
  writeBuffer(request: Request, bytes: Uint8Array): number;
  shutdown(request: Request): number;
  close(done: () => void): void;
  reset(done: () => void): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, initialDelaySeconds: number): number;
  getsockname(out: object): number;
  getpeername(out: object): number;
  bind(address: string, port: number): number;
  bind6(address: string, port: number, flags: number): number;
  connect(request: Request, address: string, port: number): number;
  connect6(request: Request, address: string, port: number): number;
}

export interface HandleBinding {
  readonly TCP: new (kind: number) => TcpHandle;
  readonly socketKind: number;
  readonly TCPConnectWrap: new () => Request;
  readonly WriteWrap: new () => Request;
  readonly ShutdownWrap: new () => Request;
  readonly state: Int32Array;
  readonly readResult: number;
  readonly lastWriteWasAsync: number;
}

export const endOfFile = -4095;
/** What all handles are read into. */
export const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
let scratch = Buffer.allocUnsafeSlow(128 * 1024);
const joinAsTextBytes = 1024;

/** Undefined where Node's internals are not as expected. */
export function loadHandleBinding(): HandleBinding | undefined {
  try {
    const internals = process as unknown as { binding(name: string): Record<string, unknown> };
    const tcp = internals.binding('tcp_wrap');
    const stream = internals.binding('stream_wrap');
    const loaded = {
      TCP: tcp['TCP'],
      socketKind: (tcp['constants'] as { SOCKET?: unknown } | undefined)?.SOCKET,
      TCPConnectWrap: tcp['TCPConnectWrap'],
      WriteWrap: stream['WriteWrap'],
      ShutdownWrap: stream['ShutdownWrap'],
      state: stream['streamBaseState'],
      readResult: stream['kReadBytesOrError'],
      lastWriteWasAsync: stream['kLastWriteWasAsync'],
    };
    const functions = [loaded.TCP, loaded.TCPConnectWrap, loaded.WriteWrap, loaded.ShutdownWrap];
    const numbers = [loaded.socketKind, loaded.readResult, loaded.lastWriteWasAsync];
    if (!functions.every((each) => typeof each === 'function')) return undefined;
    if (!numbers.every((each) => typeof each === 'number') || !(loaded.state instanceof Int32Array))
      return undefined;
    return loaded as HandleBinding;
  } catch {
    return undefined;
  }
}

/** Whether an accepted handle has what a HandleWire calls. */
export function isTcpHandle(handle: object): handle is TcpHandle {
  const names = [
    'useUserBuffer',
    'readStart',
    'writeLatin1String',
    'writeBuffer',
    'shutdown',
    'close',
    'getsockname',
  ];
  return names.every((name) => typeof (handle as Record<string, unknown>)[name] === 'function');
}

/** As `connect` of listen.ts, over a handle. Addresses are IP addresses. */
export function connectHandle(
  binding: HandleBinding,
  options: ConnectOptions,
  handler: WireHandler,
  onConnected: () => void,
): Wire {
  const handle = new binding.TCP(binding.socketKind);
  const wire = new HandleWire(binding, handle, options.bufferBytesMax);
  wire.setHandler(handler);
  wire.connect(options, onConnected);
  return wire;
}

export class HandleWire implements Wire {
  readonly #binding: HandleBinding;
  readonly #handle: TcpHandle;
  readonly #bufferBytesMax: number;
  #handler: WireHandler = deafHandler;
  #write: Request;
  #localAddress: SocketAddress | undefined;
  #remoteAddress: SocketAddress | undefined;
  /** Text of this turn that has not been handed to the kernel; part of pendingBytes. */
  #gathered = '';
  #pendingBytes = 0;
  #needsDrain = false;
  #connecting = false;
  #wantsReading = false;
  #readEnded = false;
  #ended = false;
  #destroyed = false;
  #closed = false;
  #errorCode: string | undefined;

  constructor(binding: HandleBinding, handle: TcpHandle, bufferBytesMax: number | undefined) {
    this.#binding = binding;
    this.#handle = handle;
    this.#bufferBytesMax = bufferBytesMax ?? defaultBufferBytesMax;
    this.#write = new binding.WriteWrap();
    handle.setNoDelay(true);
    handle.useUserBuffer(readBuffer);
    handle.onread = () => this.#onRead();
  }

  get localAddress(): SocketAddress {
    this.#localAddress ??= addressFrom((out) => this.#handle.getsockname(out), this.#destroyed);
    return this.#localAddress ?? unknownAddress;
  }

  get remoteAddress(): SocketAddress {
    this.#remoteAddress ??= addressFrom((out) => this.#handle.getpeername(out), this.#destroyed);
    return this.#remoteAddress ?? unknownAddress;
  }

  get bufferedBytes(): number {
    return this.#pendingBytes;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  get descriptor(): number {
    return this.#destroyed ? -1 : this.#handle.fd;
  }

  setHandler(handler: WireHandler): void {
    if (!this.#closed) this.#handler = handler;
  }

  /**
   * Gives its handle away, for TLS over it: the wire is dead from now on, without an `onClose`. Undefined if it is so
   * already. Nothing may have been written that has not left.
   */
  detach(): { readonly handle: TcpHandle; readonly bufferBytesMax: number } | undefined {
    if (this.#destroyed) return undefined;
    this.#keepAddresses();
    this.#handle.readStop();
    this.#handle.onread = ignoreRead;
    this.#destroyed = true;
    this.#closed = true;
    this.#handler = deafHandler;
    return { handle: this.#handle, bufferBytesMax: this.#bufferBytesMax };
  }

  /** Drops the wire for what is wrong above TCP: `onClose` is given `code`. */
  failWith(code: string): void {
    this.#errorCode ??= code;
    this.destroy();
  }

  connect(options: ConnectOptions, onConnected: () => void): void {
    const handle = this.#handle;
    const { address, port, localAddress } = options;
    const six = address.includes(':');
    if (options.keepAliveMs !== undefined) this.setKeepAlive(true, options.keepAliveMs);
    if (localAddress !== undefined) {
      const status = localAddress.includes(':')
        ? handle.bind6(localAddress, 0, 0)
        : handle.bind(localAddress, 0);
      if (status !== 0) return this.#fail(status);
    }
    const request = new this.#binding.TCPConnectWrap();
    this.#connecting = true;
    request.oncomplete = (status) => {
      this.#connecting = false;
      if (this.#destroyed) return;
      if (status !== 0) {
        this.#fail(status);
        return;
      }
      if (this.#wantsReading) this.#startReading();
      onConnected();
    };
    const status = six ? handle.connect6(request, address, port) : handle.connect(request, address, port);
    if (status !== 0) this.#fail(status);
  }

  writeText(text: string): boolean {
    if (this.#ended || this.#destroyed) return true;
    if (this.#gathered === '') gathering(this);
    this.#gathered += text;
    this.#pendingBytes += text.length;
    return this.#mayGoOn();
  }

  /** The turn ends. */
  flush(): void {
    this.#send();
    this.#drained();
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.writeTextAndBytes('', bytes);
  }

  writeTextAndBytes(text: string, bytes: Uint8Array): boolean {
    if (this.#ended || this.#destroyed) return true;
    const total = text.length + bytes.length;
    if (bytes.length <= joinAsTextBytes) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return this.writeText(text + view.toString('latin1'));
    }
    this.#send();
    if (this.#destroyed) return true;
    const shared = total <= scratch.length;
    const target = shared ? scratch : Buffer.allocUnsafeSlow(total);
    if (text.length > 0) target.write(text, 0, 'latin1');
    target.set(bytes, text.length);
    const joined = target.subarray(0, total);
    const request = this.#write;
    const status = this.#handle.writeBuffer(request, joined);
    if (status === 0 && this.#binding.state[this.#binding.lastWriteWasAsync] !== 0) {
      request.buffer = joined;
      // libuv still reads from this memory.
      if (shared) scratch = Buffer.allocUnsafeSlow(scratch.length);
    }
    return this.#wrote(status, total);
  }

  writeAtOnce(bytes: Uint8Array): boolean {
    if (this.#ended || this.#destroyed) return true;
    this.#send();
    if (this.#destroyed) return true;
    const request = this.#write;
    const status = this.#handle.writeBuffer(request, bytes);
    if (status === 0 && this.#binding.state[this.#binding.lastWriteWasAsync] !== 0) request.buffer = bytes;
    return this.#wrote(status, bytes.length);
  }

  pause(): void {
    this.#wantsReading = false;
    if (!this.#destroyed && !this.#connecting) this.#handle.readStop();
  }

  resume(): void {
    if (this.#wantsReading) return;
    this.#wantsReading = true;
    if (!this.#destroyed && !this.#connecting && !this.#readEnded) this.#startReading();
  }

  end(): void {
    if (this.#ended || this.#destroyed) return;
    this.#send();
    if (this.#destroyed) return;
    this.#ended = true;
    const request = new this.#binding.ShutdownWrap();
    request.oncomplete = () => {
      // Both sides are done: as a socket that does not stay half open.
      if (this.#readEnded) this.destroy();
    };
    if (this.#handle.shutdown(request) !== 0) this.destroy();
  }

  destroy(): void {
    if (this.#destroyed) return;
    // Text written before counts as sent, as if there were no gathering.
    this.#send();
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#keepAddresses();
    this.#handle.onread = ignoreRead;
    this.#handle.close(() => this.#onClosed());
  }

  reset(): void {
    if (this.#destroyed) return;
    this.#send();
    if (this.#destroyed) return;
    this.#keepAddresses();
    if (this.#connecting || this.#handle.reset(() => this.#onClosed()) !== 0) {
      this.destroy();
      return;
    }
    this.#destroyed = true;
    this.#handle.onread = ignoreRead;
  }

  setKeepAlive(enabled: boolean, initialDelayMs: number): void {
    if (!this.#destroyed) this.#handle.setKeepAlive(enabled, Math.max(1, Math.round(initialDelayMs / 1000)));
  }

  #onRead(): void {
    const { state, readResult } = this.#binding;
    const result = state[readResult]!;
    if (result > 0) {
      this.#handler.onBytes(readBuffer, result);
      return;
    }
    if (result === 0 || this.#destroyed) return;
    if (result !== endOfFile) {
      this.#fail(result);
      return;
    }
    this.#readEnded = true;
    this.#handle.readStop();
    this.#handler.onEnd();
    // Written out and ended by both sides: nothing is left to do.
    if (this.#ended && this.#pendingBytes === 0) this.destroy();
  }

  /** After a write call: 0 or an error, done at once or later. */
  #wrote(status: number, bytes: number): boolean {
    if (status !== 0) {
      this.#fail(status);
      return true;
    }
    const { state, lastWriteWasAsync } = this.#binding;
    if (state[lastWriteWasAsync] === 0) return true;
    const request = this.#write;
    this.#write = new this.#binding.WriteWrap();
    this.#pendingBytes += bytes;
    request.oncomplete = (result) => this.#onWritten(result, bytes);
    return this.#mayGoOn();
  }

  /** Hands over what writeText has gathered. Calls no handler: that waits for the end of the turn. */
  #send(): void {
    const text = this.#gathered;
    if (text === '') return;
    this.#gathered = '';
    this.#pendingBytes -= text.length;
    if (!this.#destroyed) this.#wrote(this.#handle.writeLatin1String(this.#write, text), text.length);
  }

  #mayGoOn(): boolean {
    if (this.#pendingBytes <= this.#bufferBytesMax) return true;
    this.#needsDrain = true;
    return false;
  }

  #onWritten(status: number, bytes: number): void {
    this.#pendingBytes -= bytes;
    if (this.#destroyed) return;
    if (status !== 0) {
      this.#fail(status);
      return;
    }
    this.#drained();
  }

  #drained(): void {
    if (this.#destroyed || !this.#needsDrain || this.#pendingBytes > 0) return;
    this.#needsDrain = false;
    this.#handler.onDrain();
  }

  #startReading(): void {
    const status = this.#handle.readStart();
    if (status !== 0) this.#fail(status);
  }

  #fail(status: number): void {
    this.#errorCode ??= getSystemErrorName(status);
    this.destroy();
  }

  /** They are asked for by logs after the close, too. */
  #keepAddresses(): void {
    this.#localAddress ??= addressFrom((out) => this.#handle.getsockname(out), false);
    this.#remoteAddress ??= addressFrom((out) => this.#handle.getpeername(out), false);
  }

  #onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    const handler = this.#handler;
    this.#handler = deafHandler;
    handler.onClose(this.#errorCode);
  }
}

let gatheringWires: HandleWire[] = [];

/**
 * Texts leave together at the end of the event loop's turn: a write wakes whoever waits for it, and a burst of
 * writes wakes an idle core once.
 */
function gathering(wire: HandleWire): void {
  if (gatheringWires.length === 0) setImmediate(flushAll);
  gatheringWires.push(wire);
}

function flushAll(): void {
  const wires = gatheringWires;
  gatheringWires = [];
  for (const wire of wires) wire.flush();
}

const ignoreRead = (): void => {};
const deafHandler: WireHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

function addressFrom(read: (out: object) => number, destroyed: boolean): SocketAddress | undefined {
  if (destroyed) return undefined;
  const out: { address?: string; port?: number } = {};
  if (read(out) !== 0 || out.address === undefined || out.port === undefined) return undefined;
  return socketAddress(out.address, out.port);
}
