// Keeps a folder of files equal to what a control plane tells one proxy, for an Envoy that cannot reach it.
import { resolve } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { messageFromJson } from '../../api/any.ts';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { UserError } from '../../base/user-error.ts';
import { delta } from '../../xds/client/delta.ts';
import type { DialectName } from '../../xds/client/dialect.ts';
import { sotw } from '../../xds/client/sotw.ts';
import type { XdsTransport } from '../../xds/client/transport.ts';
import { XdsClient } from '../../xds/client/xds-client.ts';
import type { FileSet } from './file-set.ts';
import { clustersFile, fileSource, listenersFile, renderFiles } from './file-set.ts';
import { ConfigurationFollower } from './follower.ts';
import { FileWriter } from './write-files.ts';

export const bootstrapFile = 'bootstrap.json';

export interface XdsFilesOptions {
  /** The node that the control plane is asked for, as JSON of envoy.config.core.v3.Node. */
  readonly node: JsonObject;
  /** The rest of the bootstrap that is written: whatever it says of dynamic resources is replaced. */
  readonly bootstrap: JsonObject;
  readonly output: string;
  /** Where Envoy finds the folder, if that is elsewhere. */
  readonly seenAt: string | undefined;
  readonly dialect: DialectName;
  readonly transport: XdsTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** One line for each time that files were written, and for each thing that was left out. */
  readonly write: (line: string) => void;
}

/** Changes that come together are written together. */
const quietMs = 50;
/** How long routes that were replaced may be in use: Envoy says nothing to whoever writes its files. */
const breakAfterMs = 1000;

export class XdsFiles {
  readonly #options: XdsFilesOptions;
  readonly #client: XdsClient;
  readonly #follower: ConfigurationFollower;
  readonly #writer: FileWriter;
  readonly #directory: string;
  #quiet: Timer | undefined;
  #break: Timer | undefined;
  #problems = '';
  #onWhole: (() => void) | undefined;

  /** Throws UserError for a node that is none. */
  constructor(options: XdsFilesOptions) {
    this.#options = options;
    const { clock, random, logger, transport, output } = options;
    this.#client = new XdsClient({
      dialect: options.dialect === 'delta' ? delta : sotw,
      transport,
      node: readNode(options.node),
      clock,
      random,
      logger,
    });
    this.#directory = resolve(options.seenAt ?? output);
    this.#writer = new FileWriter(output);
    this.#follower = new ConfigurationFollower(this.#client, () => this.#changed());
  }

  /** Writes whenever something changes, until `stop`. */
  follow(): void {
    this.#writeBootstrap();
    this.#client.start();
  }

  /** Writes when all is there, then ends. Rejects with UserError if that takes longer than `timeoutMs`. */
  async once(timeoutMs: number): Promise<void> {
    const { clock } = this.#options;
    const whole = new Promise<boolean>((settle) => {
      const timer = clock.after(timeoutMs, () => settle(false));
      this.#onWhole = () => {
        timer.cancel();
        settle(true);
      };
    });
    this.#client.start();
    const isWhole = await whole;
    this.stop();
    if (!isWhole) throw new UserError(this.#describeMissing(timeoutMs));
    const files = this.#render();
    this.#writer.make(files);
    this.#writer.finish(files);
    this.#report(files);
    this.#writeBootstrap();
  }

  stop(): void {
    this.#client.stop();
    this.#quiet?.cancel();
    this.#break?.cancel();
    this.#onWhole = undefined;
  }

  #changed(): void {
    if (this.#onWhole !== undefined) {
      if (this.#follower.missing().length === 0) this.#onWhole();
      return;
    }
    this.#quiet?.cancel();
    this.#quiet = this.#options.clock.after(quietMs, () => this.#writeChanges());
  }

  #writeChanges(): void {
    const missing = this.#follower.missing();
    // Before the first answers there is nothing to say: an Envoy that runs from the files keeps what it has.
    if (missing.includes('clusters') || missing.includes('listeners')) return;
    try {
      const files = this.#render();
      const { changed, leftovers } = this.#writer.make(files);
      if (changed) this.#report(files);
      this.#break?.cancel();
      if (leftovers) this.#break = this.#options.clock.after(breakAfterMs, () => this.#finish(files));
    } catch (error) {
      this.#options.logger.error(`${this.#options.output}: cannot be written: ${(error as Error).message}`);
    }
  }

  #finish(files: FileSet): void {
    try {
      this.#writer.finish(files);
    } catch (error) {
      this.#options.logger.error(`${this.#options.output}: cannot be written: ${(error as Error).message}`);
    }
  }

  #render(): FileSet {
    return renderFiles(this.#follower, this.#directory);
  }

  #report(files: FileSet): void {
    const { parts, clusters, listeners, problems } = files;
    const count = (folder: string): number =>
      [...parts.keys()].filter((path) => path.startsWith(folder)).length;
    this.#options.write(
      `${this.#options.output}: ${clusters.length} clusters, ${count('eds/')} assignments, ${listeners.length} listeners, ${count('rds/')} route configurations`,
    );
    const text = problems.join('\n');
    if (text !== this.#problems) for (const problem of problems) this.#options.write(`left out: ${problem}`);
    this.#problems = text;
  }

  #describeMissing(timeoutMs: number): string {
    const missing = this.#follower.missing();
    const shown = missing.slice(0, 5).join(', ');
    const more = missing.length > 5 ? ` and ${missing.length - 5} more` : '';
    return `after ${timeoutMs / 1000} s the control plane has not sent: ${shown}${more}; nothing was written`;
  }

  #writeBootstrap(): void {
    const { bootstrap, node } = this.#options;
    const dynamic = {
      cds_config: fileSource(this.#directory, clustersFile),
      lds_config: fileSource(this.#directory, listenersFile),
    };
    this.#writer.ensure(clustersFile);
    this.#writer.ensure(listenersFile);
    this.#writer.write(
      bootstrapFile,
      `${JSON.stringify({ ...bootstrap, node, dynamic_resources: dynamic }, null, 2)}\n`,
    );
  }
}

function readNode(json: JsonObject): Node {
  try {
    return messageFromJson(NodeSchema, json);
  } catch (error) {
    throw new UserError(`the node cannot be read: ${(error as Error).message}`);
  }
}
