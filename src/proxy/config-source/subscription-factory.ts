// Makes subscriptions from config sources: over ADS, over a stream of their own, or from a file.
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { delta } from '../../xds/client/delta.ts';
import type { GrpcTransportOptions } from '../../xds/client/grpc-transport.ts';
import type { ResourceConsumer } from '../../xds/client/resource.ts';
import { sotw } from '../../xds/client/sotw.ts';
import type { XdsTransport } from '../../xds/client/transport.ts';
import { XdsClient } from '../../xds/client/xds-client.ts';
import type { XdsSubscription } from '../../xds/client/xds-client.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { ConfigSource, GrpcServer } from './config-source.ts';
import { FileSubscription } from './file-subscription.ts';

export interface SubscriptionFactoryOptions {
  readonly ads: GrpcServer | undefined;
  readonly node: Node | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The root scope. */
  readonly stats: StatsScope;
  readonly createTransport: (options: GrpcTransportOptions) => XdsTransport;
  /** `address:port` of a host of that cluster; undefined while it has none. */
  readonly pickAddress: (cluster: string) => string | undefined;
}

export interface SubscriptionRequest {
  readonly typeUrl: string;
  /** The one resource that is wanted; undefined: all of the type. */
  readonly name: string | undefined;
  readonly consumer: ResourceConsumer;
  /** Where the statistics of a stream of its own belong. */
  readonly stats: StatsScope;
}

export class SubscriptionFactory {
  readonly #options: SubscriptionFactoryOptions;
  readonly #ads: XdsClient | undefined;
  readonly #running = new Set<{ stop(): void }>();

  constructor(options: SubscriptionFactoryOptions) {
    this.#options = options;
    this.#ads =
      options.ads === undefined ? undefined : this.#createClient(options.ads, undefined, options.stats);
  }

  /** Opens the ADS stream, where there is one. */
  start(): void {
    this.#ads?.start();
  }

  /** Ends every stream, and watches no file any more. */
  stop(): void {
    this.#ads?.stop();
    for (const running of this.#running) running.stop();
    this.#running.clear();
  }

  /** The one subscription over ADS to a type; undefined where there is no ADS. */
  subscribeAds(typeUrl: string, wildcard: boolean, consumer: ResourceConsumer): XdsSubscription | undefined {
    return this.#ads?.subscribe(typeUrl, wildcard, consumer);
  }

  /** A subscription to a source that is not shared. Returns what ends it. */
  subscribe(source: ConfigSource, request: SubscriptionRequest): () => void {
    const { typeUrl, name, consumer, stats } = request;
    if (source.kind === 'ads') {
      this.subscribeAds(typeUrl, name === undefined, consumer);
      return () => {};
    }
    if (source.kind === 'path') {
      const { clock, logger } = this.#options;
      return this.#run(new FileSubscription({ source, typeUrl, name, consumer, clock, logger }));
    }
    const client = this.#createClient(source.server, typeUrl, stats);
    const subscription = client.subscribe(typeUrl, name === undefined, consumer);
    if (name !== undefined) subscription.setNames(new Set([name]));
    return this.#run(client);
  }

  #run(running: { start(): void; stop(): void }): () => void {
    this.#running.add(running);
    running.start();
    return () => {
      this.#running.delete(running);
      running.stop();
    };
  }

  #createClient(server: GrpcServer, typeUrl: string | undefined, stats: StatsScope): XdsClient {
    const { node, clock, random, logger, createTransport, pickAddress } = this.#options;
    const scope = stats.scope('control_plane');
    const connected = scope.gauge('connected_state');
    const identifier = scope.textReadout('identifier');
    connected.set(0);
    scope.gauge('pending_requests').set(0);
    scope.counter('rate_limit_enforced');
    return new XdsClient({
      dialect: server.dialect === 'delta' ? delta : sotw,
      transport: createTransport({
        target: () => pickAddress(server.cluster),
        dialect: server.dialect,
        metadata: server.metadata,
        ...(typeUrl === undefined ? {} : { typeUrl }),
        ...(server.authority === undefined ? {} : { authority: server.authority }),
      }),
      node,
      clock,
      random,
      logger,
      backOff: server.backOff,
      onConnected: (isConnected) => connected.set(isConnected ? 1 : 0),
      onControlPlane: (text) => {
        identifier.value = text;
      },
    });
  }
}
