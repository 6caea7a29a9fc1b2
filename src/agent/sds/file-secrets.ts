// Secrets made of files, by name: read when somebody asks, and again when the files change.
import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import { SecretSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { WatchedFiles } from '../../base/watched-files.ts';
import type { OutgoingResource } from '../../xds/server/dialect.ts';
import { encodeResourceField } from '../../xds/server/response.ts';
import type { SecretContent, SecretFiles, WorkloadFiles } from './secret-files.ts';
import { pathsOf, readSecretFiles, secretFilesOf } from './secret-files.ts';

export interface FileSecretsOptions {
  readonly workload: WorkloadFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the name when what stands behind it has become another, or has become good. */
  readonly onChange: (name: string) => void;
}

/** Names that are watched at a time; a proxy has a handful. */
const namesMax = 1000;

interface Watched {
  readonly files: WatchedFiles;
  /** The last good one. */
  resource: OutgoingResource | undefined;
}

export class FileSecrets {
  readonly #options: FileSecretsOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: FileSecretsOptions) {
    this.#options = options;
  }

  /** Undefined: there is nothing good behind the name yet, or it is none of ours. From now on it is watched. */
  get(name: string): OutgoingResource | undefined {
    const known = this.#watched.get(name);
    if (known !== undefined) return known.resource;
    const files = secretFilesOf(name, this.#options.workload);
    if (files === undefined || this.#watched.size >= namesMax) {
      this.#options.logger.warn(
        `SDS: ${JSON.stringify(name.slice(0, 200))} is not served: ${files === undefined ? 'accepted are default, ROOTCA, file-cert:CERTIFICATE~KEY and file-root:PATH' : `${namesMax} names are watched already`}`,
      );
      return undefined;
    }
    const watched: Watched = {
      files: new WatchedFiles({
        paths: pathsOf(files),
        clock: this.#options.clock,
        onChange: () => {
          if (this.#read(name, files, watched)) this.#options.onChange(name);
        },
      }),
      resource: undefined,
    };
    this.#watched.set(name, watched);
    this.#read(name, files, watched);
    return watched.resource;
  }

  /** All that are watched. */
  get names(): readonly string[] {
    return [...this.#watched.keys()];
  }

  /** Nobody wants it any more. */
  forget(name: string): void {
    this.#watched.get(name)?.files.close();
    this.#watched.delete(name);
  }

  close(): void {
    for (const name of this.#watched.keys()) this.forget(name);
  }

  /** Whether there is something new. Files that do not fit (half of them replaced) leave what was before. */
  #read(name: string, files: SecretFiles, watched: Watched): boolean {
    const content = readSecretFiles(files, watched.files.contents);
    if (content instanceof Error) {
      const next = watched.resource === undefined ? 'nothing is served' : 'what was read before is served';
      this.#options.logger.warn(`SDS: ${name}: ${content.message}; ${next} until that changes`);
      return false;
    }
    const resource = encode(name, content);
    if (resource.version === watched.resource?.version) return false;
    this.#options.logger.info(`SDS: ${name}: read from ${pathsOf(files).join(', ')}`);
    watched.resource = resource;
    return true;
  }
}

function encode(name: string, content: SecretContent): OutgoingResource {
  const inline = (text: string) =>
    ({ specifier: { case: 'inlineBytes', value: new TextEncoder().encode(text) } }) as const;
  const message = create(SecretSchema, {
    name,
    type:
      content.kind === 'root'
        ? { case: 'validationContext', value: { trustedCa: inline(content.certificates) } }
        : {
            case: 'tlsCertificate',
            value: {
              certificateChain: inline(content.certificateChain),
              privateKey: inline(content.privateKey),
            },
          },
  });
  const field = encodeResourceField(typeUrlOf(SecretSchema), toBinary(SecretSchema, message));
  return { name, field, version: createHash('sha256').update(field).digest('hex').slice(0, 16) };
}
