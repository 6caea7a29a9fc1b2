// The RDS subscriptions: one slot for each route configuration that a listener names, and the source that it names
// for it. A slot is exchanged as a whole; requests read the current one.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { typeUrlOf } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ResourceConsumer } from '../../xds/client/resource.ts';
import type { ConfigSource } from '../config-source/config-source.ts';
import type { NamedResource } from '../config-source/named-subscriptions.ts';
import { NamedSubscriptions, resourceKey } from '../config-source/named-subscriptions.ts';
import type { SubscriptionFactory } from '../config-source/subscription-factory.ts';
import { SubscriptionStats } from '../config-source/subscription-stats.ts';
import type { RouteSlot } from '../network/filter.ts';
import type { CompiledRoutes } from '../router/compiled.ts';
import type { StatsScope, StatsStore } from '../stats/stats.ts';

export interface RouteManagerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsStore;
  /** Makes what reads the successive versions of one route configuration; its `read` throws ConfigError. */
  readonly createReader: () => RouteReader;
}

interface RouteReader {
  read(bytes: Uint8Array): CompiledRoutes;
}

/** A route configuration in force, for /config_dump. */
export interface RouteEntry {
  readonly name: string;
  readonly resource: Any;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

export class RouteManager {
  readonly #options: RouteManagerOptions;
  readonly #subscriptions = new NamedSubscriptions(typeUrlOf(RouteConfigurationSchema));
  readonly #slots = new Map<string, Slot>();

  constructor(options: RouteManagerOptions) {
    this.#options = options;
  }

  /** Subscribes; what is held already is asked for. */
  start(factory: SubscriptionFactory): void {
    this.#subscriptions.start(factory);
  }

  /** While LDS is applied. */
  pause(): void {
    this.#subscriptions.pause();
  }

  resume(): void {
    this.#subscriptions.resume();
  }

  /** Takes what comes over ADS; for tests that play the server. */
  get adsConsumer(): ResourceConsumer {
    return this.#subscriptions.adsConsumer;
  }

  /**
   * The slot of `name` at `source`, subscribing to it if it is new. The holder calls `release` when it is done.
   * Its updates are counted under `http.<statPrefix>.rds.<name>.`, as in Envoy.
   */
  acquire(source: ConfigSource, name: string, statPrefix: string): RouteSlot {
    const key = resourceKey(source, name);
    let slot = this.#slots.get(key);
    const isNew = slot === undefined;
    slot ??= new Slot(source, name, this.#scopeOf(name, statPrefix), this.#options);
    slot.holders++;
    slot.countIn(this.#scopeOf(name, statPrefix));
    if (isNew) {
      this.#slots.set(key, slot);
      this.#subscriptions.add(source, name, slot);
    }
    return slot;
  }

  release(held: RouteSlot): void {
    if (!(held instanceof Slot)) return;
    const key = resourceKey(held.source, held.name);
    if (this.#slots.get(key) !== held) return;
    held.holders--;
    if (held.holders > 0) return;
    this.#slots.delete(key);
    this.#subscriptions.remove(held.source, held.name);
  }

  /**
   * Calls `done`, perhaps at once: when the first configuration is there, when it is known that none will come, or
   * when the source's initial_fetch_timeout has passed.
   */
  whenReady(source: ConfigSource, name: string, done: () => void): Timer {
    const slot = this.#slots.get(resourceKey(source, name));
    if (slot === undefined || slot.current !== undefined) {
      done();
      return { cancel: () => {} };
    }
    return slot.await(source.initialFetchTimeoutMs, done);
  }

  /** What is in force. */
  entries(): RouteEntry[] {
    return [...this.#slots.values()].flatMap(({ entry }) => (entry === undefined ? [] : [entry]));
  }

  #scopeOf(name: string, statPrefix: string): StatsScope {
    return this.#options.stats
      .scope('http')
      .scope(statPrefix, 'envoy_http_conn_manager_prefix')
      .scope('rds')
      .scope(name, 'envoy_rds_route_config');
  }
}

class Slot implements RouteSlot, NamedResource {
  readonly source: ConfigSource;
  readonly name: string;
  readonly stats: StatsScope;
  current: CompiledRoutes | undefined;
  entry: RouteEntry | undefined;
  holders = 0;
  readonly #options: RouteManagerOptions;
  readonly #reader: RouteReader;
  /** Of those that hold it. */
  readonly #counted = new Map<string, { readonly scope: StatsScope; readonly stats: SubscriptionStats }>();
  readonly #waiting = new Set<() => void>();

  constructor(source: ConfigSource, name: string, stats: StatsScope, options: RouteManagerOptions) {
    this.source = source;
    this.name = name;
    this.stats = stats;
    this.#options = options;
    this.#reader = options.createReader();
  }

  countIn(scope: StatsScope): void {
    if (this.#counted.has(scope.prefix)) return;
    for (const counter of ['config_reload', 'update_empty']) scope.counter(counter);
    scope.gauge('config_reload_time_ms');
    const stats = new SubscriptionStats(scope, this.source, this.#options.clock);
    this.#counted.set(scope.prefix, { scope, stats });
  }

  await(timeoutMs: number, done: () => void): Timer {
    let timer: Timer | undefined;
    const finish = (): void => {
      this.#waiting.delete(finish);
      timer?.cancel();
      done();
    };
    this.#waiting.add(finish);
    if (timeoutMs > 0) {
      timer = this.#options.clock.after(timeoutMs, () => {
        for (const { stats } of this.#counted.values()) stats.timedOut();
        finish();
      });
    }
    return {
      cancel: () => {
        this.#waiting.delete(finish);
        timer?.cancel();
      },
    };
  }

  onResource(bytes: Uint8Array, version: string, versionInfo: string): void {
    const { clock, logger } = this.#options;
    const startedMs = clock.monotonicMs();
    this.current = this.#reader.read(bytes);
    this.entry = {
      name: this.name,
      resource: create(AnySchema, { typeUrl: typeUrlOf(RouteConfigurationSchema), value: bytes }),
      versionInfo: version,
      lastUpdatedMs: clock.now(),
    };
    for (const { scope, stats } of this.#counted.values()) {
      stats.succeeded(versionInfo, startedMs);
      scope.counter('config_reload').inc();
      scope.gauge('config_reload_time_ms').set(clock.now());
    }
    logger.debug(`rds: ${this.name} ${version} is in force`);
    this.#goOn();
  }

  onUnchanged(versionInfo: string): void {
    const startedMs = this.#options.clock.monotonicMs();
    for (const { stats } of this.#counted.values()) stats.succeeded(versionInfo, startedMs);
  }

  /** Envoy keeps what it has: a route configuration goes with the listener that names it. */
  onRemoved(versionInfo: string): void {
    this.#options.logger.warn(`rds: the control plane removes ${this.name}, which is in use: ignored`);
    this.onUnchanged(versionInfo);
  }

  onRejected(): void {
    const startedMs = this.#options.clock.monotonicMs();
    for (const { stats } of this.#counted.values()) stats.rejected(startedMs);
    this.#goOn();
  }

  onUnreadable(): void {
    for (const { stats } of this.#counted.values()) stats.failed();
    this.#goOn();
  }

  onConnectionFailure(): void {
    for (const { stats } of this.#counted.values()) stats.failed();
  }

  /** Whoever warms until there are routes goes on, with or without. */
  #goOn(): void {
    for (const done of this.#waiting) done();
  }
}
