// A chain with TLS: reads the ClientHello, shakes hands, judges the client's certificate, and hands what is decrypted to
// the chain's own filter.
import type { Clock, Timer } from '../../base/clock.ts';
import { readClientHello } from '../listener/client-hello.ts';
import type { HandshakeFacts } from '../io/tls-handle.ts';
import { secure } from '../io/tls.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import type { DownstreamConnection, NetworkFilter } from '../network/filter.ts';
import { TlsConnectionInfo } from './connection-info.ts';
import type { DownstreamTls } from './downstream-tls.ts';
import type { Certificate } from './peer-certificate.ts';
import type { ServerContext } from './server-context.ts';
import type { SslStats } from './stats.ts';
import type { ValidationFailure } from './validation.ts';

export interface TlsFilterOptions {
  readonly tls: DownstreamTls;
  readonly inner: NetworkFilter;
  readonly stats: SslStats;
  /** A connection whose TLS came to nothing: why, in Envoy's words. */
  readonly onFailed: (connection: DownstreamConnection, reason: string) => void;
  readonly clock: Clock;
  /** 0: no limit. */
  readonly handshakeTimeoutMs: number;
}

/** Envoy has no limit unless `transport_socket_connect_timeout` says one: whoever never ends a handshake stays. */
export const defaultHandshakeTimeoutMs = 15_000;
const clientHelloBytesMax = 64 * 1024;

export class TlsFilter implements NetworkFilter {
  readonly options: TlsFilterOptions;
  readonly #handshakes = new Set<Handshake>();

  constructor(options: TlsFilterOptions) {
    this.options = options;
  }

  get activeConnections(): number {
    return this.#handshakes.size + this.options.inner.activeConnections;
  }

  accept(connection: DownstreamConnection): void {
    const { current } = this.options.tls;
    if (current === undefined) {
      // Its secrets have not come.
      this.options.stats.secretsNotReady.inc();
      connection.wire.destroy();
      return;
    }
    const handshake = new Handshake(this.options, current, connection, () =>
      this.#handshakes.delete(handshake),
    );
    this.#handshakes.add(handshake);
    handshake.start();
  }

  drain(): void {
    this.options.inner.drain();
  }

  close(): void {
    for (const handshake of this.#handshakes) handshake.drop();
    this.options.inner.close();
  }
}

class Handshake implements WireHandler {
  readonly #options: TlsFilterOptions;
  readonly #context: ServerContext;
  readonly #connection: DownstreamConnection;
  readonly #onOver: () => void;
  #first: Buffer;
  #abort: (() => void) | undefined;
  #timer: Timer | undefined;
  #over = false;

  constructor(
    options: TlsFilterOptions,
    context: ServerContext,
    connection: DownstreamConnection,
    onOver: () => void,
  ) {
    this.#options = options;
    this.#context = context;
    this.#connection = connection;
    this.#onOver = onOver;
    this.#first = connection.peeked ?? Buffer.alloc(0);
  }

  start(): void {
    const { clock, handshakeTimeoutMs } = this.#options;
    if (handshakeTimeoutMs > 0) {
      this.#timer = clock.after(handshakeTimeoutMs, () => this.#fail('TLS handshake timeout'));
    }
    const { wire } = this.#connection;
    wire.setHandler(this);
    if (!this.#begin()) wire.resume();
  }

  drop(): void {
    if (this.#over) return;
    this.#finish();
    if (this.#abort === undefined) this.#connection.wire.destroy();
    else this.#abort();
  }

  onBytes(buffer: Buffer, length: number): void {
    this.#first = Buffer.concat([this.#first, buffer.subarray(0, length)]);
    this.#begin();
  }

  onEnd(): void {
    this.#fail('');
  }

  onDrain(): void {}

  onClose(): void {
    this.#fail('');
  }

  /** Once the ClientHello is whole: which certificate and protocols are ours depends on it. */
  #begin(): boolean {
    if (this.#first.length === 0) return false;
    const hello = readClientHello(this.#first);
    if (hello.kind === 'more') {
      if (this.#first.length < clientHelloBytesMax) return false;
      this.#fail('ClientHello too big');
      return true;
    }
    const { requireSni, validation, protocols, requireClientCertificate } = this.#context.options;
    const serverName = hello.kind === 'hello' ? hello.serverName : undefined;
    if (requireSni && serverName === undefined) {
      this.#fail('TLS server name is required');
      return true;
    }
    const offered = hello.kind === 'hello' ? hello.applicationProtocols : [];
    const { context, local } = this.#context.choose(serverName);
    const { wire } = this.#connection;
    this.#abort = secure(
      wire,
      {
        context,
        isServer: true,
        requestCertificate: requireClientCertificate || validation !== undefined,
        requireCertificate: requireClientCertificate,
        // Envoy goes on without a protocol where none is common; OpenSSL through Node would end the handshake.
        protocols: protocols.some((name) => offered.includes(name)) ? protocols : [],
        first: this.#first,
      },
      {
        onSecure: (secured, facts) => {
          this.#onSecure(secured, facts, new TlsConnectionInfo(facts, serverName, local));
        },
        onFailed: (reason) => this.#fail(reason),
      },
    );
    this.#first = Buffer.alloc(0);
    return true;
  }

  #onSecure(wire: Wire, facts: HandshakeFacts, info: TlsConnectionInfo): void {
    const { stats, inner } = this.#options;
    const refused = this.#judge(facts, info);
    if (refused !== undefined) {
      stats[refused].inc();
      stats.connection_error.inc();
      this.#finish();
      wire.destroy();
      this.#options.onFailed(this.#connection, `TLS_error:|verification of the peer failed: ${refused}`);
      return;
    }
    stats.count(facts);
    this.#finish();
    inner.accept({
      ...this.#connection,
      wire,
      peeked: undefined,
      serverName: this.#connection.serverName ?? info.serverName,
      tls: info,
    });
  }

  /** Every connection is judged by the configuration of now, also one that resumes an earlier session. */
  #judge(
    facts: HandshakeFacts,
    info: TlsConnectionInfo,
  ): ValidationFailure | 'fail_verify_no_cert' | undefined {
    const { validation, requireClientCertificate } = this.#context.options;
    if (facts.peerChain.length === 0) return requireClientCertificate ? 'fail_verify_no_cert' : undefined;
    let certificate: Certificate | undefined;
    try {
      certificate = info.peer;
    } catch {
      return 'fail_verify_error';
    }
    if (certificate === undefined || validation === undefined) return undefined;
    if (facts.resumed && !validation.expiredAllowed && !certificate.isValidAt(this.#options.clock.now()))
      return 'fail_verify_error';
    return validation.check(certificate, facts.verifyError?.code);
  }

  #fail(reason: string): void {
    if (this.#over) return;
    const { stats, onFailed } = this.#options;
    if (/peer did not return a certificate/i.test(reason)) stats.fail_verify_no_cert.inc();
    stats.connection_error.inc();
    this.drop();
    onFailed(this.#connection, reason === '' ? '' : `TLS_error:|${reason}`);
  }

  #finish(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#onOver();
  }
}
