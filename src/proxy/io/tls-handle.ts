// TLS over a TCP handle, itself a handle: a HandleWire reads and writes it as it would plain TCP.
//
// Node's TLSWrap stands directly over libuv's handle, without TLSSocket and its two stream state machines. It takes
// one write at a time (a second one aborts the process), and it gives what it has decrypted even after readStop:
// both are settled here.
import type { SecureContext } from 'node:tls';
// Gives TLSWrap the methods that its handle answers (getsockname, close ...).
import 'node:tls';
import type { HandleBinding, Request, TcpHandle } from './handle-wire.ts';
import { endOfFile, readBuffer } from './handle-wire.ts';

/** What of Node's TLSWrap is used. */
interface TlsWrap extends TcpHandle {
  _parent: TcpHandle;
  _secureContext: SecureContext;
  onhandshakestart: () => void;
  onhandshakedone: () => void;
  onerror: (error: Error & { code?: string }) => void;
  onnewsession?: (id: Buffer, session: Buffer) => void;
  setVerifyMode(request: boolean, require: boolean): void;
  setALPNProtocols(protocols: Buffer): void;
  setServername(name: string): void;
  setSession(session: Buffer): void;
  enableSessionCallbacks(): void;
  receive(bytes: Buffer): void;
  start(): void;
  destroySSL(): void;
  getProtocol(): string | null;
  getCipher(): { readonly name: string } | undefined;
  getALPNNegotiatedProtocol(): string | false;
  isSessionReused(): boolean;
  verifyError(): (Error & { code?: string }) | null;
  getPeerCertificate(withChain: boolean): PeerCertificateObject | undefined;
  getSession(): Buffer | undefined;
}

interface PeerCertificateObject {
  readonly raw?: Buffer;
  readonly issuerCertificate?: PeerCertificateObject;
}

type WrapTls = (handle: object, context: unknown, isServer: boolean, writing: boolean) => TlsWrap;

export interface TlsHandleOptions {
  readonly context: SecureContext;
  readonly isServer: boolean;
  /** A server asks clients for a certificate. */
  readonly requestCertificate: boolean;
  /** A client without a certificate is refused in the handshake. */
  readonly requireCertificate: boolean;
  /** Offered by a client, or chosen from by a server; none: no ALPN. */
  readonly protocols: readonly string[];
  /** The name that a client asks for. */
  readonly serverName?: string | undefined;
  /** A client's session of an earlier connection. */
  readonly session?: Buffer | undefined;
  /** A client's session that can be resumed has come. */
  readonly onSession?: ((session: Buffer) => void) | undefined;
  /** Bytes of the peer that were read already. */
  readonly first?: Buffer | undefined;
}

/** What a handshake has led to. */
export interface HandshakeFacts {
  readonly version: string;
  /** OpenSSL's name. */
  readonly cipher: string;
  readonly protocol: string | undefined;
  readonly resumed: boolean;
  /** OpenSSL's code for what is wrong with the peer's certificate, such as CERT_HAS_EXPIRED. */
  readonly verifyError: { readonly code: string; readonly message: string } | undefined;
  /** DER, the peer's own first. */
  readonly peerChain: readonly Buffer[];
}

/** Undefined where Node's internals are not as expected: then there is no TLS in the data path. */
export function loadTlsWrap(): WrapTls | undefined {
  try {
    const internals = process as unknown as { binding(name: string): Record<string, unknown> };
    const { wrap } = internals.binding('tls_wrap');
    return typeof wrap === 'function' ? (wrap as WrapTls) : undefined;
  } catch {
    return undefined;
  }
}

export class TlsHandle implements TcpHandle {
  onread: () => void = ignore;
  /** The handshake is done; not called within a callback of OpenSSL. */
  onSecure: () => void = ignore;
  /** OpenSSL's complaint, about the handshake or later. */
  onFatal: (reason: string) => void = ignore;
  readonly #binding: HandleBinding;
  readonly #parent: TcpHandle;
  readonly #wrap: TlsWrap;
  #reading = false;
  /** Whether the TCP handle reads: to ask it twice is an error. */
  #started = false;
  #delivering = false;
  /** What came while nobody read: bytes, or the number that ends reading. */
  readonly #held: (Buffer | number)[] = [];
  #writing = false;
  #queue: { readonly request: Request; readonly bytes: Uint8Array }[] = [];
  #shutdown: Request | undefined;
  #closed = false;
  /** The handshake's bytes may be read although nobody reads yet. */
  #secure = false;

  constructor(binding: HandleBinding, wrapTls: WrapTls, parent: TcpHandle, options: TlsHandleOptions) {
    this.#binding = binding;
    this.#parent = parent;
    const wrap = wrapTls(parent, options.context.context, options.isServer, false);
    this.#wrap = wrap;
    wrap._parent = parent;
    wrap._secureContext = options.context;
    // TLSWrap is held weakly by Node; the TCP handle, which lives until it is closed, holds it through this.
    parent.onread = () => void this;
    wrap.onhandshakestart = ignore;
    wrap.onhandshakedone = () => void setImmediate(() => this.#handshakeDone());
    wrap.onerror = (error) => void setImmediate(() => this.#failed(error));
    wrap.onread = () => this.#read();
    wrap.useUserBuffer(readBuffer);
    // Clients always verify; what it comes to is judged by whoever asked for the handshake.
    if (!options.isServer || options.requestCertificate) {
      wrap.setVerifyMode(true, options.isServer && options.requireCertificate);
    }
    if (options.protocols.length > 0) wrap.setALPNProtocols(alpnBytes(options.protocols));
    if (options.isServer) return;
    if (options.serverName !== undefined && options.serverName !== '') wrap.setServername(options.serverName);
    if (options.session !== undefined) wrap.setSession(options.session);
    const { onSession } = options;
    if (onSession !== undefined) {
      wrap.onnewsession = (_id, session) => onSession(session);
      wrap.enableSessionCallbacks();
    }
  }

  /** Begins the handshake. */
  start(first: Buffer | undefined, isServer: boolean): void {
    if (!isServer) this.#wrap.start();
    if (first !== undefined && first.length > 0) this.#wrap.receive(first);
    if (!this.#closed) this.#startReading();
  }

  facts(): HandshakeFacts {
    const wrap = this.#wrap;
    const error = wrap.verifyError();
    const peerChain: Buffer[] = [];
    let certificate = wrap.getPeerCertificate(true);
    // The last one is its own issuer.
    while (certificate?.raw !== undefined && peerChain.length < 16) {
      peerChain.push(certificate.raw);
      const issuer: PeerCertificateObject | undefined = certificate.issuerCertificate;
      certificate = issuer === certificate ? undefined : issuer;
    }
    return {
      version: wrap.getProtocol() ?? '',
      cipher: wrap.getCipher()?.name ?? '',
      protocol: wrap.getALPNNegotiatedProtocol() || undefined,
      resumed: wrap.isSessionReused(),
      verifyError: error === null ? undefined : { code: error.code ?? '', message: error.message },
      peerChain,
    };
  }

  get fd(): number {
    return this.#parent.fd;
  }

  /** It reads into HandleWire's buffer from the beginning. */
  useUserBuffer(): void {}

  readStart(): number {
    this.#reading = true;
    if (this.#held.length > 0) this.#deliverSoon();
    return this.#startReading();
  }

  readStop(): number {
    this.#reading = false;
    if (!this.#started) return 0;
    this.#started = false;
    return this.#wrap.readStop();
  }

  writeLatin1String(request: Request, text: string): number {
    if (this.#writing) return this.#enqueue(request, Buffer.from(text, 'latin1'));
    return this.#write([request], (own) => this.#wrap.writeLatin1String(own, text));
  }

  writeBuffer(request: Request, bytes: Uint8Array): number {
    if (this.#writing) return this.#enqueue(request, bytes);
    return this.#write([request], (own) => this.#wrap.writeBuffer(own, bytes));
  }

  shutdown(request: Request): number {
    if (!this.#writing) return this.#wrap.shutdown(request);
    this.#shutdown = request;
    return 0;
  }

  close(done: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    const close = (): void => {
      if (!this.#writing) this.#sendQueue();
      this.#parent.close(() => {
        this.#wrap.destroySSL();
        done();
      });
    };
    // What was written before must leave, as of plain TCP: the write under way is mostly done, and says so next turn.
    if (this.#queue.length > 0) setImmediate(() => setImmediate(close));
    else close();
  }

  reset(done: () => void): number {
    const status = this.#parent.reset(() => {
      this.#wrap.destroySSL();
      done();
    });
    if (status === 0) this.#closed = true;
    return status;
  }

  setNoDelay(on: boolean): number {
    return this.#parent.setNoDelay(on);
  }

  setKeepAlive(on: boolean, initialDelaySeconds: number): number {
    return this.#parent.setKeepAlive(on, initialDelaySeconds);
  }

  getsockname(out: object): number {
    return this.#parent.getsockname(out);
  }

  getpeername(out: object): number {
    return this.#parent.getpeername(out);
  }

  // It stands over a handle that is connected.
  bind(): number {
    return notSupported;
  }
  bind6(): number {
    return notSupported;
  }
  connect(): number {
    return notSupported;
  }
  connect6(): number {
    return notSupported;
  }

  #startReading(): number {
    if (this.#started) return 0;
    this.#started = true;
    return this.#wrap.readStart();
  }

  #handshakeDone(): void {
    if (this.#closed || this.#secure) return;
    this.#secure = true;
    // What the peer sends at once is held, but no more than that.
    this.readStop();
    this.onSecure();
  }

  #failed(error: Error): void {
    if (!this.#closed) this.onFatal(error.message);
  }

  #read(): void {
    const result = this.#binding.state[this.#binding.readResult]!;
    if (result === 0 || this.#closed) return;
    if (this.#reading && this.#held.length === 0) {
      this.onread();
      return;
    }
    this.#held.push(result > 0 ? Buffer.from(readBuffer.subarray(0, result)) : result);
    // The peer went away in the middle of the handshake.
    if (result < 0 && !this.#secure) {
      setImmediate(() => {
        if (!this.#closed && !this.#secure) this.onFatal(result === endOfFile ? '' : 'ECONNRESET');
      });
    }
  }

  #deliverSoon(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    setImmediate(() => {
      this.#delivering = false;
      while (this.#reading && !this.#closed) {
        const next = this.#held.shift();
        if (next === undefined) return;
        if (typeof next !== 'number') readBuffer.set(next);
        this.#binding.state[this.#binding.readResult] = typeof next === 'number' ? next : next.length;
        this.onread();
      }
    });
  }

  #enqueue(request: Request, bytes: Uint8Array): number {
    this.#queue.push({ request, bytes });
    this.#binding.state[this.#binding.lastWriteWasAsync] = 1;
    return 0;
  }

  #write(requests: readonly Request[], write: (own: Request) => number): number {
    const own = new this.#binding.WriteWrap();
    own.oncomplete = (status) => {
      this.#writing = false;
      for (const request of requests) request.oncomplete?.(status);
      this.#sendQueue();
    };
    this.#writing = true;
    const status = write(own);
    if (status !== 0 || this.#binding.state[this.#binding.lastWriteWasAsync] === 0) this.#writing = false;
    return status;
  }

  #sendQueue(): void {
    if (this.#writing || this.#closed) return this.#sendLast();
    const queue = this.#queue;
    if (queue.length > 0) {
      this.#queue = [];
      const requests = queue.map(({ request }) => request);
      const all = queue.length === 1 ? queue[0]!.bytes : Buffer.concat(queue.map(({ bytes }) => bytes));
      const status = this.#write(requests, (own) => this.#wrap.writeBuffer(own, all));
      if (status !== 0 || !this.#writing) for (const request of requests) request.oncomplete?.(status);
    }
    if (this.#writing) return;
    const shutdown = this.#shutdown;
    this.#shutdown = undefined;
    if (shutdown !== undefined) this.#wrap.shutdown(shutdown);
  }

  /** Before the close: nobody is told any more. */
  #sendLast(): void {
    const queue = this.#queue;
    if (this.#writing || queue.length === 0) return;
    this.#queue = [];
    const own = new this.#binding.WriteWrap();
    own.oncomplete = ignore;
    this.#writing = true;
    this.#wrap.writeBuffer(own, Buffer.concat(queue.map(({ bytes }) => bytes)));
  }
}

/** ENOTSUP. */
const notSupported = -95;
const ignore = (): void => {};

function alpnBytes(protocols: readonly string[]): Buffer {
  return Buffer.concat(
    protocols.map((protocol) => {
      const name = Buffer.from(protocol, 'latin1');
      return Buffer.concat([Buffer.from([name.length]), name]);
    }),
  );
}
