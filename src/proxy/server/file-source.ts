// Resources from a file (path_config_source): a DiscoveryResponse in YAML or JSON, read again whenever the file is
// replaced. There is nobody to acknowledge to: what is wrong is logged and counted, and the last good version
// stays in force.
import type { FSWatcher } from 'node:fs';
import { readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { messageFromJson } from '../../api/any.ts';
import { DiscoveryResponseSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { ReceivedResource } from '../../xds/client/ads-client.ts';
import { unwrapResource } from '../../xds/client/ads-client.ts';
import { locateJsonError } from '../bootstrap/read-bootstrap.ts';
import type { CountedConsumer } from './update-stats.ts';

export interface FileSourceOptions {
  readonly path: string;
  /** All resources must be of this type. */
  readonly typeUrl: string;
  readonly consumer: CountedConsumer;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Whoever replaces a file by several steps is given this long. */
const settleMs = 20;

export class FileSource {
  readonly #options: FileSourceOptions;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #text: string | undefined;
  /** Reads follow each other: a listener may take a while to be bound. */
  #reading: Promise<void> = Promise.resolve();

  constructor(options: FileSourceOptions) {
    this.#options = options;
  }

  /** Reads the file and watches its folder: a replaced file, and a symlink that leads elsewhere, are seen there. */
  start(): void {
    const { path, clock, logger } = this.#options;
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, () => {
        this.#timer?.cancel();
        this.#timer = clock.after(settleMs, () => this.#enqueue());
      });
      this.#watcher.on('error', (error) => logger.warn(`${path}: not watched any more: ${error.message}`));
    } catch (error) {
      logger.warn(`${path}: cannot be watched: ${(error as Error).message}`);
    }
    this.#enqueue();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#watcher?.close();
  }

  #enqueue(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    const { path, consumer, typeUrl, logger } = this.#options;
    let version: string;
    let resources: readonly ReceivedResource[];
    try {
      const text = readFileSync(path, 'utf8');
      if (text === this.#text) return;
      this.#text = text;
      const response = messageFromJson(DiscoveryResponseSchema, readJson(text));
      version = response.versionInfo;
      resources = response.resources.map(unwrapResource);
      const foreign = resources.find((resource) => resource.typeUrl !== typeUrl);
      if (foreign !== undefined) {
        throw new Error(`a resource has type ${foreign.typeUrl}; only ${typeUrl} may stand here`);
      }
    } catch (error) {
      consumer.reject();
      logger.warn(`${path}: nothing of it is applied: ${(error as Error).message}`);
      return;
    }
    for (const error of await consumer.onResponse(resources, version)) logger.warn(`${path}: ${error}`);
  }
}

/** Throws with line or field path for what is no DiscoveryResponse. */
function readJson(text: string): JsonValue {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const at = lines.linePos(problem.pos[0]);
    throw new Error(`line ${at.line}, column ${at.col}: ${problem.message}`);
  }
  const json = (document.toJS({ maxAliasCount: 100 }) ?? {}) as JsonValue;
  const found = locateJsonError(DiscoveryResponseSchema, json, []);
  if (found !== undefined) throw new Error(`${found.path.join('.')}: ${found.message}`);
  return json;
}
