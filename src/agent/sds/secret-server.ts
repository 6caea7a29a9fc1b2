// SDS for the proxy beside the agent, over a Unix socket: its workload certificate, the mesh's roots, files.
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { OutgoingResource } from '../../xds/server/dialect.ts';
import { XdsServer } from '../../xds/server/server.ts';
import type { XdsStream, XdsStreamHandler } from '../../xds/server/stream.ts';
import type { SubscriptionEvent } from '../../xds/server/subscription.ts';
import { typeUrls } from '../../xds/types.ts';
import { FileSecrets } from './file-secrets.ts';
import type { WorkloadFiles } from './secret-files.ts';

/** Where Istio's agent listens, from its working directory; Envoy's cluster `sds-grpc` points there (B5.13). */
export const defaultSdsSocket = './var/run/secrets/workload-spiffe-uds/socket';

export interface SecretServerOptions {
  readonly workload: WorkloadFiles;
  /** Path of the socket. */
  readonly socket: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A proxy opens a stream for each secret; after a restart all at once. */
const streamsPerSecond = 1000;

export class SecretServer {
  readonly #options: SecretServerOptions;
  readonly #server: XdsServer;
  readonly #secrets: FileSecrets;
  readonly #streams = new Set<SecretStream>();

  constructor(options: SecretServerOptions) {
    this.#options = options;
    const { clock, logger, workload } = options;
    this.#secrets = new FileSecrets({
      workload,
      clock,
      logger,
      onChange: (name) => {
        for (const stream of this.#streams) stream.changed(name);
      },
    });
    this.#server = new XdsServer({
      clock,
      logger,
      controlPlane: 'fairlead agent',
      ready: () => true,
      serves: (typeUrl) => typeUrl === typeUrls.secret,
      streamsPerSecond,
      connect: (stream) => {
        const handler = new SecretStream(stream, {
          get: (name) => this.#secrets.get(name),
          logger,
          asked: () => this.#forgetUnasked(),
          closed: () => {
            this.#streams.delete(handler);
            this.#forgetUnasked();
          },
        });
        this.#streams.add(handler);
        return handler;
      },
    });
  }

  /** A socket that an earlier agent left behind is replaced; nobody but this user may connect. */
  async listen(): Promise<void> {
    const socket = resolve(this.#options.socket);
    mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
    rmSync(socket, { force: true });
    await this.#server.listen(`unix:${socket}`);
    chmodSync(socket, 0o600);
  }

  async close(): Promise<void> {
    this.#secrets.close();
    await this.#server.close();
    rmSync(resolve(this.#options.socket), { force: true });
  }

  #forgetUnasked(): void {
    const asked = new Set([...this.#streams].flatMap(({ names }) => [...names]));
    for (const name of this.#secrets.names) if (!asked.has(name)) this.#secrets.forget(name);
  }
}

interface SecretStreamOptions {
  readonly get: (name: string) => OutgoingResource | undefined;
  readonly logger: Logger;
  /** What it is subscribed to may have changed. */
  readonly asked: () => void;
  readonly closed: () => void;
}

/** What one stream is subscribed to: sent when asked for, when it changes, and when it comes to be. */
class SecretStream implements XdsStreamHandler {
  readonly #stream: XdsStream;
  readonly #options: SecretStreamOptions;
  /** Names whose last version waits until the client has read what it was sent. */
  readonly #due = new Set<string>();

  constructor(stream: XdsStream, options: SecretStreamOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  get names(): ReadonlySet<string> {
    return this.#stream.subscriptions.get(typeUrls.secret)?.names ?? new Set();
  }

  received(_typeUrl: string, event: SubscriptionEvent): void {
    this.#answer(event);
    this.#options.asked();
  }

  #answer(event: SubscriptionEvent): void {
    switch (event.kind) {
      case 'subscribe':
        this.#send(this.names);
        return;
      case 'nack':
        // Not sent again until the files change.
        this.#options.logger.warn(`SDS: ${this.#stream.id} refused: ${event.rejection.message}`);
        this.#send(event.added);
        return;
      case 'change':
      case 'ack':
        this.#send(event.all ? this.names : event.added);
        return;
      case 'unsubscribe':
      case 'stale':
        return;
      default:
        event satisfies never;
    }
  }

  changed(name: string): void {
    if (this.names.has(name)) this.#send([name]);
  }

  drained(): void {
    const due = [...this.#due];
    this.#due.clear();
    this.#send(due);
  }

  closed(): void {
    this.#options.closed();
  }

  /** What there is of them: the rest is sent when its files are there. */
  #send(names: Iterable<string>): void {
    const wanted = [...names];
    if (this.#stream.busy) {
      for (const name of wanted) this.#due.add(name);
      return;
    }
    const resources = wanted.flatMap((name) => this.#options.get(name) ?? []);
    if (resources.length === 0) return;
    const versionInfo = resources
      .map(({ version }) => version)
      .join('-')
      .slice(0, 64);
    this.#stream.send({ typeUrl: typeUrls.secret, versionInfo, resources, removed: [] });
  }
}
