// The control plane's own certificate, its key, and the authorities of its clients: files that may be replaced.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { UserError } from '../../base/user-error.ts';
import type { FileContents } from '../../base/watched-files.ts';
import { WatchedFiles } from '../../base/watched-files.ts';
import { isProblem, readKeyPair, readTrustedCa } from '../../config/credentials.ts';
import type { TlsMaterial } from '../../xds/server/secure-listener.ts';

export interface TlsFilePaths {
  /** PEM, the certificate itself first. Istio: --tlsCertFile. */
  readonly certificate: string;
  /** Istio: --tlsKeyFile. */
  readonly key: string;
  /** Authorities that sign the certificates of clients. Istio: --caCertFile. */
  readonly ca: string;
}

export interface TlsFilesOptions {
  readonly paths: TlsFilePaths;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with each good set; a bad one is logged, and the one before stays. */
  readonly onChange: (material: TlsMaterial) => void;
}

export class TlsFiles {
  readonly material: TlsMaterial;
  readonly #files: WatchedFiles;

  /** Throws UserError that names the file where they cannot be used. */
  constructor({ paths, clock, logger, onChange }: TlsFilesOptions) {
    this.#files = new WatchedFiles({
      paths: [paths.certificate, paths.key, paths.ca],
      clock,
      onChange: (contents) => {
        const material = readMaterial(paths, contents, clock.now());
        if (typeof material === 'string') {
          // Files are replaced one after the other: the next look may find them whole.
          logger.warn(`TLS: ${material}; the certificates that were read before stay in force`);
          return;
        }
        onChange(material);
        logger.info(`TLS: new certificates from ${paths.certificate}, ${paths.ca}`);
      },
    });
    const material = readMaterial(paths, this.#files.contents, clock.now());
    if (typeof material === 'string') {
      this.close();
      throw new UserError(material);
    }
    this.material = material;
  }

  close(): void {
    this.#files.close();
  }
}

/** The text says which file is wrong, and how. */
function readMaterial(paths: TlsFilePaths, contents: FileContents, nowMs: number): TlsMaterial | string {
  const bytes: Record<string, Buffer> = {};
  for (const [entry, path] of [
    ['tls.crt', paths.certificate],
    ['tls.key', paths.key],
    ['ca.crt', paths.ca],
  ] as const) {
    const content = contents.get(path);
    if (!(content instanceof Uint8Array)) return content?.message ?? `${path} is not read`;
    if (content.length === 0) return `${path} is empty`;
    bytes[entry] = content;
  }
  const pair = readKeyPair(bytes, nowMs);
  if (isProblem(pair)) return `${pair.entry === 'tls.key' ? paths.key : paths.certificate}: ${pair.message}`;
  const ca = readTrustedCa(bytes, nowMs);
  if (isProblem(ca)) return `${paths.ca}: ${ca.message}`;
  return {
    certificateChain: pair.certificateChain,
    privateKey: pair.privateKey,
    trustedCa: ca.certificates,
  };
}
