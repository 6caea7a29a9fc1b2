// Resources from a file (path_config_source): a DiscoveryResponse in YAML, JSON or binary, read again whenever a file
// is moved to its place. There is nobody to acknowledge to: what is wrong is logged and counted, and the last good
// version stays in force.
import type { FSWatcher } from 'node:fs';
import { existsSync, readFileSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { fromBinary } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { messageFromJson } from '../../api/any.ts';
import type { DiscoveryResponse } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryResponseSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { ReceivedResource, ResourceConsumer } from '../../xds/client/resource.ts';
import { peekName, unwrapResource } from '../../xds/client/resource.ts';
import { locateJsonError } from '../bootstrap/read-bootstrap.ts';
import type { PathSource } from './config-source.ts';

export interface FileSubscriptionOptions {
  readonly source: PathSource;
  /** All resources must be of this type. */
  readonly typeUrl: string;
  /** The one resource that must be in it; undefined: whatever is in it. */
  readonly name: string | undefined;
  readonly consumer: ResourceConsumer;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Whoever replaces several files, or a file by several steps, is given this long. */
const settleMs = 20;
const fileBytesMax = 256 * 1024 * 1024;

export class FileSubscription {
  readonly #options: FileSubscriptionOptions;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #stopped = false;
  #bytes: Buffer | undefined;
  /** Reads follow each other: a listener may take a while to be bound. */
  #reading: Promise<void> = Promise.resolve();

  constructor(options: FileSubscriptionOptions) {
    this.#options = options;
  }

  /** Reads the file and watches its folder, or the one that the source names. */
  start(): void {
    const { source, clock, logger } = this.#options;
    try {
      // A file that is written where it stands would be read half: only moves count, as in Envoy. They are moves to
      // its own name, or of anything in the folder that the source names: mounted volumes lead a symlink elsewhere.
      const directory = source.watchedDirectory ?? dirname(source.path);
      const own = source.watchedDirectory === undefined ? basename(source.path) : undefined;
      this.#watcher = watch(directory, { persistent: false }, (event, moved) => {
        if (event !== 'rename' || (own !== undefined && moved !== null && moved !== own)) return;
        this.#timer?.cancel();
        this.#timer = clock.after(settleMs, () => this.#refresh());
      });
      this.#watcher.on('error', (error) =>
        logger.warn(`${directory}: not watched any more: ${error.message}`),
      );
    } catch (error) {
      logger.warn(`${source.path}: cannot be watched: ${(error as Error).message}`);
    }
    this.#enqueue();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#watcher?.close();
  }

  /** Something was moved in the folder; that the file went away changes nothing. */
  #refresh(): void {
    if (existsSync(this.#options.source.path)) this.#enqueue();
  }

  #enqueue(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    const { source, consumer, logger } = this.#options;
    if (this.#stopped) return;
    let read: ReadFile;
    try {
      const bytes = readBytes(source.path);
      if (this.#bytes?.equals(bytes) === true) return;
      this.#bytes = bytes;
      read = decode(source.path, bytes);
    } catch (error) {
      logger.warn(`${source.path}: nothing of it is applied: ${(error as Error).message}`);
      if (error instanceof RejectedFile) consumer.onRejected?.(error.message);
      else consumer.onUnreadable?.((error as Error).message);
      return;
    }
    const problem = this.#problemOf(read.resources);
    if (problem !== undefined) {
      logger.warn(`${source.path}: nothing of it is applied: ${problem}`);
      consumer.onRejected?.(problem);
      return;
    }
    try {
      const errors = await consumer.onUpdate({ ...read, removed: undefined });
      for (const error of errors) logger.warn(`${source.path}: ${error}`);
    } catch (error) {
      logger.error(`${source.path}: ${(error as Error).message}`);
    }
  }

  #problemOf(resources: readonly ReceivedResource[]): string | undefined {
    const { typeUrl, name } = this.#options;
    const foreign = resources.find((resource) => resource.typeUrl !== typeUrl);
    if (foreign !== undefined)
      return `a resource has type ${foreign.typeUrl}; only ${typeUrl} may stand here`;
    if (name === undefined) return undefined;
    const first = resources[0];
    if (first === undefined || resources.length > 1)
      return `there are ${resources.length} resources; there must be one, ${name}`;
    const found = peekName(first.bytes) ?? first.name;
    return found === undefined || found === name ? undefined : `the resource is ${found} instead of ${name}`;
  }
}

interface ReadFile {
  readonly resources: readonly ReceivedResource[];
  readonly versionInfo: string;
}

/** What can be read, but is no DiscoveryResponse: Envoy counts it as rejected, and what it cannot parse as a failure. */
class RejectedFile extends Error {}

function readBytes(path: string): Buffer {
  const { size } = statSync(path);
  if (size > fileBytesMax) throw new Error(`${size} bytes are more than ${fileBytesMax}`);
  // An empty file is one that is about to be written, not the wish to have nothing.
  if (size === 0) throw new Error('the file is empty');
  return readFileSync(path);
}

/** Envoy's endings: `.pb` is binary, `.json` JSON, which YAML includes. */
function decode(path: string, bytes: Buffer): ReadFile {
  const response = path.endsWith('.pb')
    ? fromBinary(DiscoveryResponseSchema, bytes)
    : fromText(bytes.toString('utf8'));
  try {
    return {
      versionInfo: response.versionInfo,
      resources: response.resources.map((any) => unwrapResource(any, response.versionInfo)),
    };
  } catch (error) {
    throw new RejectedFile((error as Error).message);
  }
}

/** Throws with line or field path for what is no DiscoveryResponse. */
function fromText(text: string): DiscoveryResponse {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const at = lines.linePos(problem.pos[0]);
    throw new Error(`line ${at.line}, column ${at.col}: ${problem.message}`);
  }
  const json = (document.toJS({ maxAliasCount: 100 }) ?? {}) as JsonValue;
  try {
    return messageFromJson(DiscoveryResponseSchema, json);
  } catch (error) {
    const found = locateJsonError(DiscoveryResponseSchema, json, []);
    throw new RejectedFile(
      found === undefined ? (error as Error).message : `${found.path.join('.')}: ${found.message}`,
    );
  }
}
