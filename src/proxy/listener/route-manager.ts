// The RDS subscription: one slot for each route configuration that a listener names. A slot is exchanged as a
// whole; requests read the current one.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { create } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { typeUrlOf } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type {
  AdsClient,
  AdsSubscription,
  ReceivedResource,
  ResourceConsumer,
} from '../../xds/client/ads-client.ts';
import type { RouteProvider, RouteSlot } from '../network/filter.ts';
import type { CompiledRoutes } from '../router/compiled.ts';
import type { StatsScope, StatsStore } from '../stats/stats.ts';

export interface RouteManagerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsStore;
  /** Makes what reads the successive versions of one route configuration; its `read` throws ConfigError. */
  readonly createReader: () => { read(bytes: Uint8Array): CompiledRoutes };
}

/** A route configuration in force, for /config_dump. */
export interface RouteEntry {
  readonly name: string;
  readonly resource: Any;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

interface Slot extends RouteSlot {
  current: CompiledRoutes | undefined;
  holders: number;
  entry: RouteEntry | undefined;
  readonly reader: { read(bytes: Uint8Array): CompiledRoutes };
  /** Scopes `http.<prefix>.rds.<name>.` of those that hold it. */
  readonly scopes: Map<string, StatsScope>;
  readonly waiting: Set<() => void>;
}

/** The holder's view of one slot: how a listener learns that its routes are there. */
export interface RouteWarming {
  /** Calls `done` once the first configuration is there or `timeoutMs` (0: never) has passed; perhaps at once. */
  whenReady(name: string, timeoutMs: number, done: () => void): Timer;
}

export class RouteManager implements RouteProvider, ResourceConsumer, RouteWarming {
  readonly #options: RouteManagerOptions;
  readonly #slots = new Map<string, Slot>();
  #subscription: AdsSubscription | undefined;

  constructor(options: RouteManagerOptions) {
    this.#options = options;
  }

  /** Subscribes at `client`; names that are held already are asked for. */
  attach(client: AdsClient): void {
    this.#subscription = client.subscribe(typeUrlOf(RouteConfigurationSchema), false, this);
    this.#announce();
  }

  /** While LDS is applied. */
  pause(): void {
    this.#subscription?.pause();
  }

  resume(): void {
    this.#subscription?.resume();
  }

  acquire(name: string): RouteSlot {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = {
        name,
        current: undefined,
        holders: 0,
        entry: undefined,
        reader: this.#options.createReader(),
        scopes: new Map(),
        waiting: new Set(),
      };
      this.#slots.set(name, slot);
    }
    slot.holders++;
    if (slot.holders === 1) this.#announce();
    return slot;
  }

  release(held: RouteSlot): void {
    const slot = this.#slots.get(held.name);
    if (slot === undefined || slot !== held) return;
    slot.holders--;
    if (slot.holders > 0) return;
    this.#slots.delete(slot.name);
    this.#announce();
  }

  /** Counts this name's updates under the connection manager's prefix too, as Envoy does. */
  countUnder(name: string, statPrefix: string): void {
    const slot = this.#slots.get(name);
    if (slot === undefined || slot.scopes.has(statPrefix)) return;
    const scope = this.#options.stats
      .scope('http')
      .scope(statPrefix, 'envoy_http_conn_manager_prefix')
      .scope('rds')
      .scope(name, 'envoy_rds_route_config');
    scope.counter('update_attempt').inc();
    slot.scopes.set(statPrefix, scope);
  }

  whenReady(name: string, timeoutMs: number, done: () => void): Timer {
    const slot = this.#slots.get(name);
    if (slot === undefined || slot.current !== undefined) {
      done();
      return { cancel: () => {} };
    }
    let timer: Timer | undefined;
    const finish = (): void => {
      slot.waiting.delete(finish);
      timer?.cancel();
      done();
    };
    slot.waiting.add(finish);
    if (timeoutMs > 0) {
      timer = this.#options.clock.after(timeoutMs, () => {
        for (const scope of slot.scopes.values()) scope.counter('init_fetch_timeout').inc();
        finish();
      });
    }
    return {
      cancel: () => {
        slot.waiting.delete(finish);
        timer?.cancel();
      },
    };
  }

  onResponse(resources: readonly ReceivedResource[], versionInfo: string): readonly string[] {
    const errors: string[] = [];
    for (const resource of resources) {
      let name = resource.name ?? '';
      try {
        name = nameOf(resource.bytes);
        const slot = this.#slots.get(name);
        if (slot !== undefined) this.#accept(slot, resource.bytes, versionInfo);
      } catch (error) {
        for (const scope of this.#slots.get(name)?.scopes.values() ?? [])
          scope.counter('update_rejected').inc();
        errors.push(`RouteConfiguration ${name}: ${(error as Error).message}`);
      }
    }
    return errors;
  }

  /** What is in force. */
  entries(): RouteEntry[] {
    return [...this.#slots.values()].flatMap(({ entry }) => (entry === undefined ? [] : [entry]));
  }

  #accept(slot: Slot, bytes: Uint8Array, versionInfo: string): void {
    const { clock, logger } = this.#options;
    const unchanged = slot.entry !== undefined && Buffer.compare(slot.entry.resource.value, bytes) === 0;
    if (!unchanged) slot.current = slot.reader.read(bytes);
    for (const scope of slot.scopes.values()) scope.counter('update_success').inc();
    if (unchanged) return;
    slot.entry = {
      name: slot.name,
      resource: create(AnySchema, { typeUrl: typeUrlOf(RouteConfigurationSchema), value: bytes }),
      versionInfo,
      lastUpdatedMs: clock.now(),
    };
    for (const scope of slot.scopes.values()) scope.counter('config_reload').inc();
    logger.debug(`rds: ${slot.name} ${versionInfo} is in force`);
    for (const done of slot.waiting) done();
  }

  #announce(): void {
    this.#subscription?.setNames(new Set(this.#slots.keys()));
  }
}

const nameField = RouteConfigurationSchema.field.name.number;

/** The configuration's name, without decoding the rest; the last one counts, as protobuf has it. */
function nameOf(bytes: Uint8Array): string {
  const reader = new BinaryReader(bytes);
  let name = '';
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === nameField && wireType === WireType.LengthDelimited) name = reader.string();
    else reader.skip(wireType, field);
  }
  return name;
}
