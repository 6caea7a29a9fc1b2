// The port with TLS (Istio's 15012): certificates from files, connections to the xDS server.
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { SecureListener } from '../../xds/server/secure-listener.ts';
import type { TlsFilePaths } from './tls-files.ts';
import { TlsFiles } from './tls-files.ts';

export interface SecurePortOptions {
  /** `host:port`; port 0 takes a free one. */
  readonly address: string;
  readonly files: TlsFilePaths;
  /** See SecureListenerOptions. */
  readonly cipherSuites?: readonly string[] | undefined;
}

export interface SecurePortContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly connected: (socket: TLSSocket) => void;
}

export class SecurePort {
  readonly #address: string;
  readonly #files: TlsFiles;
  readonly #listener: SecureListener;

  /** Throws UserError where the files cannot be used. */
  constructor({ address, files, cipherSuites }: SecurePortOptions, context: SecurePortContext) {
    const { clock, logger, connected } = context;
    this.#address = address;
    this.#files = new TlsFiles({
      paths: files,
      clock,
      logger,
      onChange: (material) => this.#listener.update(material),
    });
    const { material } = this.#files;
    this.#listener = new SecureListener({ clock, logger, material, cipherSuites, connected });
  }

  /** Resolves to the port. */
  listen(): Promise<number> {
    return this.#listener.listen(this.#address);
  }

  close(): void {
    this.#files.close();
    this.#listener.close();
  }
}
