// A port with TLS: connections whose client shows no certificate, or a good one, are handed on. Certificates are
// replaced without a connection being lost.
import { constants } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions, Server, TLSSocket } from 'node:tls';
import { createServer } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RecentlyTold } from '../../base/recently-told.ts';
import { refusalSilenceMs } from './limits.ts';
import { hostOf } from './stream.ts';

/** All PEM. */
export interface TlsMaterial {
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Clients' certificates must be of these. */
  readonly trustedCa: string;
  readonly revocationList?: string | undefined;
}

export interface SecureListenerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly material: TlsMaterial;
  /** OpenSSL's names, for TLS 1.2. Default: forward secrecy with authenticated encryption alone. */
  readonly cipherSuites?: readonly string[] | undefined;
  /** Gets each connection, its handshake done. */
  readonly connected: (socket: TLSSocket) => void;
}

const handshakeTimeoutMs = 10_000;
/** Connections that have not ended their handshake: each holds a socket, and costs a signature. */
const handshakesMax = 1000;

const defaultCipherSuites = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
/** They cannot be chosen in Go, where the name of the flag comes from. */
const tls13CipherSuites = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
];

export class SecureListener {
  readonly #options: SecureListenerOptions;
  readonly #server: Server;
  readonly #told = new RecentlyTold(refusalSilenceMs);
  /** Whose handshake goes on. */
  readonly #shaking = new Set<Socket>();
  readonly #sockets = new Set<TLSSocket>();

  constructor(options: SecureListenerOptions) {
    this.#options = options;
    this.#server = createServer({
      ...this.#context(options.material),
      ALPNProtocols: ['h2'],
      requestCert: true,
      // Who shows none may still have a token. Who shows a bad one is refused below.
      rejectUnauthorized: false,
      handshakeTimeout: handshakeTimeoutMs,
    });
    this.#server.on('connection', (socket: Socket) => this.#connecting(socket));
    this.#server.on('secureConnection', (socket) => this.#secured(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      this.#tell(peerOf(socket), `TLS handshake: ${error.message}`);
      socket.destroy();
    });
  }

  /** `host:port`; port 0 takes a free one. Resolves to the port. Rejects if it is in use. */
  listen(address: string): Promise<number> {
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(Number(address.slice(colon + 1)), host, () => {
        this.#server.removeListener('error', reject);
        // Such as too many open files: the port stays open.
        this.#server.on('error', (error) => this.#options.logger.error(`TLS port: ${error.message}`));
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** For connections from now on. Throws where the parts do not fit: then what was in force stays. */
  update(material: TlsMaterial): void {
    this.#server.setSecureContext(this.#context(material));
  }

  /** Stops listening; connections are ended by whoever they were handed to, or cut here. */
  close(): void {
    this.#server.close();
    for (const socket of [...this.#shaking, ...this.#sockets]) socket.destroy();
  }

  #context(material: TlsMaterial): SecureContextOptions {
    const { certificateChain, privateKey, trustedCa, revocationList } = material;
    const { cipherSuites = defaultCipherSuites } = this.#options;
    return {
      cert: certificateChain,
      key: privateKey,
      ca: trustedCa,
      ...(revocationList === undefined ? {} : { crl: revocationList }),
      minVersion: 'TLSv1.2',
      ciphers: [...tls13CipherSuites, ...cipherSuites].join(':'),
      honorCipherOrder: true,
      // No session outlives its connection: what was verified by an authority of yesterday is verified anew.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  #connecting(socket: Socket): void {
    if (this.#shaking.size >= handshakesMax) {
      this.#tell(peerOf(socket), `more than ${handshakesMax} TLS handshakes at a time`);
      socket.destroy();
      return;
    }
    this.#shaking.add(socket);
    socket.once('close', () => this.#shaking.delete(socket));
  }

  #secured(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // Until somebody else listens, an error must not end the process.
    socket.on('error', () => {});
    const raw = [...this.#shaking].find(
      (each) => each.remotePort === socket.remotePort && each.remoteAddress === socket.remoteAddress,
    );
    if (raw !== undefined) this.#shaking.delete(raw);
    const hasCertificate = socket.getPeerX509Certificate() !== undefined;
    if (hasCertificate && !socket.authorized) {
      // Node's types say Error; it is its code.
      const reason = String(socket.authorizationError);
      this.#tell(peerOf(socket), `client certificate refused: ${reason}`);
      socket.destroy();
      return;
    }
    this.#options.connected(socket);
  }

  /** Clients try again, on another port each time: their address and the reason are told once in a while. */
  #tell(peer: string, what: string): void {
    const { clock, logger } = this.#options;
    const line = `xDS: ${peer}: ${what}`;
    if (this.#told.isNews(`${hostOf(peer)} ${what}`, clock.monotonicMs())) logger.warn(line);
    else logger.debug(line);
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? 'unknown'}:${remotePort ?? 0}`;
}
