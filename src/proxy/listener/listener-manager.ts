// The listeners of this proxy: static ones from the bootstrap, dynamic ones from LDS. A new version warms until
// its routes are there while the old one serves; then it takes over the sockets and the old one drains.
import type { Timer } from '../../base/clock.ts';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { typeUrlOf } from '../../api/any.ts';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ReceivedResource, ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';
import { ownBytes, peekName } from '../../xds/client/resource.ts';
import type { FailedUpdate } from '../cluster-manager/cluster-manager.ts';
import { ConfigError } from '../config-error.ts';
import type { StatsScope } from '../stats/stats.ts';
import { BoundSockets } from './bound-sockets.ts';
import type { BoundSocket } from './bound-sockets.ts';
import { findByDestination } from './by-destination.ts';
import type { RunningChain } from './filter-chain.ts';
import type { ListenerContext, ListenerResource, RunningListener } from './listener.ts';
import { allChains, createListener } from './listener.ts';

export interface ListenerManagerOptions extends Omit<ListenerContext, 'findByDestination'> {
  /** How long connections of a replaced or removed listener may live on. */
  readonly drainTimeMs: number;
}

/** What drains: chains that no version in service uses any more. */
export interface DrainingListener {
  readonly listener: RunningListener;
  readonly chains: readonly RunningChain[];
}

const managerCounters = [
  'listener_added',
  'listener_modified',
  'listener_removed',
  'listener_stopped',
  'listener_create_success',
  'listener_create_failure',
  'listener_in_place_updated',
] as const;

export class ListenerManager implements ResourceConsumer {
  readonly #options: ListenerManagerOptions;
  readonly #context: ListenerContext;
  readonly #sockets = new BoundSockets();
  readonly #active = new Map<string, RunningListener>();
  readonly #warming = new Map<string, RunningListener>();
  readonly #draining = new Map<DrainingListener, Timer>();
  readonly #failed = new Map<string, FailedUpdate>();
  readonly #stats: StatsScope;
  #waiting: (() => void)[] = [];
  #versionInfo = '';
  #started = false;
  #stopped = false;

  constructor(options: ListenerManagerOptions) {
    this.#options = options;
    this.#stats = options.stats.scope('listener_manager');
    for (const name of managerCounters) this.#stats.counter(name);
    this.#stats.gauge('workers_started').set(0);
    this.#context = {
      ...options,
      findByDestination: (destination) => findByDestination(this.#active.values(), destination),
    };
  }

  /** Adds the bootstrap's listeners. Rejects with ConfigError for the first that cannot be. */
  async addStatic(configs: readonly Listener[]): Promise<void> {
    for (const [index, config] of configs.entries()) {
      try {
        await this.#add(config, {
          resource: toAny(config),
          versionInfo: undefined,
          lastUpdatedMs: this.#options.clock.now(),
        });
      } catch (error) {
        throw staticError(error, index, config);
      }
    }
    this.#countListeners();
  }

  /** Throws ConfigError as `addStatic` would; nothing is bound or kept. */
  check(configs: readonly Listener[]): void {
    for (const [index, config] of configs.entries()) {
      try {
        const resource = { resource: toAny(config), versionInfo: undefined, lastUpdatedMs: 0 };
        const listener = createListener(config, resource, undefined, this.#context);
        for (const chain of allChains(listener)) chain.dispose();
      } catch (error) {
        throw staticError(error, index, config);
      }
    }
  }

  /** From now on warmed listeners go into service (Envoy: the workers are started). */
  startWorkers(): void {
    this.#started = true;
    for (const listener of this.#active.values()) this.#serve(listener);
  }

  /** Calls `done` once no listener is warming. */
  whenWarm(done: () => void): void {
    if (this.#warming.size === 0) done();
    else this.#waiting.push(done);
  }

  /** Of the last response that changed something. */
  get versionInfo(): string {
    return this.#versionInfo;
  }

  /** LDS. What is good of it is applied; what is bad is named in the result. */
  async onUpdate(update: ResourceUpdate): Promise<readonly string[]> {
    const { resources, versionInfo } = update;
    const { routes, logger } = this.#options;
    const errors: string[] = [];
    const named = new Set<string>();
    let changed = 0;
    let removed = 0;
    routes.pause();
    try {
      for (const resource of resources) {
        if (await this.#applyOne(resource, named, errors)) changed++;
      }
      const gone = update.removed ?? this.#names().filter((name) => !named.has(name));
      for (const name of gone) if (this.#remove(name)) removed++;
    } finally {
      routes.resume();
    }
    if (changed > 0 || removed > 0) this.#versionInfo = versionInfo;
    this.#countListeners();
    logger.info(
      `lds: ${resources.length} listeners, ${changed} added or changed, ${removed} removed, ${errors.length} rejected`,
    );
    return errors;
  }

  active(): readonly RunningListener[] {
    return [...this.#active.values()];
  }

  warming(): readonly RunningListener[] {
    return [...this.#warming.values()];
  }

  draining(): readonly DrainingListener[] {
    return [...this.#draining.keys()];
  }

  failed(): readonly FailedUpdate[] {
    return [...this.#failed.values()];
  }

  /** Route configurations that stand in listeners. */
  inlineRoutes(): readonly RouteConfiguration[] {
    return this.active().flatMap((listener) => allChains(listener).flatMap((chain) => chain.inlineRoutes));
  }

  /** Connections that are served now. */
  activeConnections(): number {
    return this.#chainsInUse().reduce((sum, chain) => sum + (chain.filter?.activeConnections ?? 0), 0);
  }

  /** Brings gauges that are computed rather than counted up to date, for a reader of the stats. */
  refreshGauges(): void {
    for (const listener of this.#active.values()) {
      const active = allChains(listener).reduce(
        (sum, chain) => sum + (chain.filter?.activeConnections ?? 0),
        0,
      );
      const pending = listener.acceptor.pendingConnections;
      listener.stats.gauge('downstream_cx_active').set(active);
      listener.stats.gauge('downstream_pre_cx_active').set(pending);
      const total = listener.stats.counter('downstream_cx_total').value;
      const destroyed = listener.stats.counter('downstream_cx_destroy');
      destroyed.add(Math.max(0, total - active - pending - destroyed.value));
    }
    this.#countListeners();
  }

  /** Accepts nothing new and asks every connection to end; `inboundOnly` leaves the other listeners alone. */
  stopAccepting(inboundOnly: boolean): void {
    for (const listener of this.#active.values()) {
      if (inboundOnly && listener.direction !== 'INBOUND') continue;
      this.#releaseSockets(listener);
      for (const chain of allChains(listener)) chain.filter?.drain();
      this.#stats.counter('listener_stopped').inc();
    }
  }

  /** Asks every connection to end, and goes on accepting. */
  drainConnections(inboundOnly: boolean): void {
    for (const listener of this.#active.values()) {
      if (inboundOnly && listener.direction !== 'INBOUND') continue;
      for (const chain of allChains(listener)) chain.filter?.drain();
    }
  }

  /** Ends everything now. */
  close(): void {
    this.#stopped = true;
    for (const listener of [...this.#active.values(), ...this.#warming.values()]) {
      this.#releaseSockets(listener);
      listener.acceptor.close();
      this.#cancelWarming(listener);
    }
    for (const timer of this.#draining.values()) timer.cancel();
    for (const chain of this.#chainsInUse()) chain.dispose();
    this.#active.clear();
    this.#warming.clear();
    this.#draining.clear();
  }

  async #applyOne(resource: ReceivedResource, named: Set<string>, errors: string[]): Promise<boolean> {
    let name = peekName(resource.bytes) ?? resource.name ?? '';
    let { bytes } = resource;
    const { version: versionInfo } = resource;
    if (!named.has(name) && this.#isUnchanged(name, resource.bytes)) {
      named.add(name);
      this.#failed.delete(name);
      return false;
    }
    try {
      bytes = ownBytes(resource.bytes);
      const config = fromBinary(ListenerSchema, bytes);
      name = config.name;
      if (name === '') throw new ConfigError('name', 'is required');
      if (named.has(name)) throw new ConfigError('name', `duplicate listener ${name} found`);
      named.add(name);
      const latest = this.#warming.get(name) ?? this.#active.get(name);
      if (this.#isUnchanged(name, resource.bytes)) {
        this.#failed.delete(name);
        return false;
      }
      if (latest !== undefined && latest.versionInfo === undefined) {
        throw new ConfigError('name', `${name} is a static listener of the bootstrap and cannot be replaced`);
      }
      await this.#add(config, {
        resource: create(AnySchema, { typeUrl: typeUrlOf(ListenerSchema), value: bytes }),
        versionInfo,
        lastUpdatedMs: this.#options.clock.now(),
      });
      this.#failed.delete(name);
      return true;
    } catch (error) {
      const details = (error as Error).message;
      // What was there under this name stays.
      named.add(name);
      errors.push(`Listener ${name}: ${details}`);
      this.#stats.counter('listener_create_failure').inc();
      this.#failed.set(name, {
        name,
        resource: create(AnySchema, { typeUrl: typeUrlOf(ListenerSchema), value: bytes }),
        versionInfo,
        lastAttemptMs: this.#options.clock.now(),
        details,
      });
      return false;
    }
  }

  /** Most of an LDS response is what it was before: this spares decoding it. */
  #isUnchanged(name: string, bytes: Uint8Array): boolean {
    const latest = this.#warming.get(name) ?? this.#active.get(name);
    return latest?.versionInfo !== undefined && Buffer.compare(latest.resource.value, bytes) === 0;
  }

  /** Compiles, binds and warms a new version. Rejects with ConfigError, leaving all as it was. */
  async #add(config: Listener, resource: ListenerResource): Promise<void> {
    const listenerName = config.name;
    const before = this.#active.get(listenerName);
    const listener = createListener(config, resource, before, this.#context);
    try {
      this.#refuseTakenAddresses(listener);
      listener.sockets = await this.#bind(listener);
    } catch (error) {
      this.#disposeUnused(listener);
      throw error;
    }
    if (this.#stopped) {
      this.#discard(listener);
      return;
    }
    const warming = this.#warming.get(listener.name);
    if (warming !== undefined) this.#discard(warming);
    this.#warming.set(listener.name, listener);
    const latest = before ?? warming;
    this.#stats.counter(latest === undefined ? 'listener_added' : 'listener_modified').inc();
    if (before !== undefined && allChains(listener).some((chain) => allChains(before).includes(chain))) {
      this.#stats.counter('listener_in_place_updated').inc();
    }
    this.#warm(listener);
  }

  /** Two listeners cannot have one address: which would get the connection? */
  #refuseTakenAddresses(listener: RunningListener): void {
    for (const other of [...this.#active.values(), ...this.#warming.values()]) {
      if (other.name === listener.name) continue;
      const taken = listener.addresses.find(
        (address) => address.port !== 0 && other.addresses.some((theirs) => theirs.text === address.text),
      );
      if (taken !== undefined) {
        throw new ConfigError(
          'address',
          `has duplicate address '${taken.text}' as existing listener ${other.name}`,
        );
      }
    }
  }

  async #bind(listener: RunningListener): Promise<readonly BoundSocket[]> {
    if (!listener.bound) return [];
    const held: BoundSocket[] = [];
    try {
      for (const address of listener.addresses)
        held.push(await this.#sockets.hold(address, listener.name, listener.backlog));
      return held;
    } catch (error) {
      for (const socket of held) this.#sockets.release(socket);
      throw error;
    }
  }

  #warm(listener: RunningListener): void {
    const awaited = allChains(listener).flatMap((chain) => chain.awaitedRoutes);
    const secrets = allChains(listener).flatMap((chain) => chain.awaitedSecrets);
    let missing = awaited.length + secrets.length;
    const ready = (): void => {
      if (missing === 0 && this.#warming.get(listener.name) === listener) this.#activate(listener);
    };
    const one = (): void => {
      missing--;
      ready();
    };
    for (const secret of secrets) listener.warmingTimers.push(secret.whenReady(one));
    for (const { source, name } of awaited) {
      listener.warmingTimers.push(this.#options.routes.whenReady(source, name, one));
    }
    ready();
  }

  #activate(listener: RunningListener): void {
    const before = this.#active.get(listener.name);
    this.#cancelWarming(listener);
    this.#warming.delete(listener.name);
    this.#active.set(listener.name, listener);
    if (this.#started) this.#serve(listener);
    if (before !== undefined) this.#retire(before, new Set(allChains(listener)));
    this.#countListeners();
    if (this.#warming.size > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }

  #serve(listener: RunningListener): void {
    for (const socket of listener.sockets)
      this.#sockets.give(socket, listener.acceptor, listener.bufferBytesMax);
    this.#stats.counter('listener_create_success').inc();
  }

  /** Out of service: its sockets go, and the chains that are not `kept` drain. */
  #retire(listener: RunningListener, kept: ReadonlySet<RunningChain>): void {
    this.#releaseSockets(listener);
    const chains = allChains(listener).filter((chain) => !kept.has(chain));
    for (const chain of chains) chain.filter?.drain();
    const draining: DrainingListener = { listener, chains };
    const finish = (): void => {
      this.#draining.delete(draining);
      listener.acceptor.close();
      for (const chain of chains) chain.dispose();
      this.#countListeners();
    };
    this.#draining.set(draining, this.#options.clock.after(this.#options.drainTimeMs, finish));
  }

  /** All that LDS has ever said of a name: what is in force, what warms, what was refused. */
  #names(): readonly string[] {
    return [...new Set([...this.#active.keys(), ...this.#warming.keys(), ...this.#failed.keys()])];
  }

  #remove(name: string): boolean {
    this.#failed.delete(name);
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    if ((active ?? warming)?.versionInfo === undefined) return false;
    this.#warming.delete(name);
    this.#active.delete(name);
    if (warming !== undefined) this.#discard(warming);
    if (active !== undefined) this.#retire(active, new Set());
    this.#stats.counter('listener_removed').inc();
    return true;
  }

  /** Of a version that never served. */
  #discard(listener: RunningListener): void {
    this.#cancelWarming(listener);
    this.#releaseSockets(listener);
    listener.acceptor.close();
    this.#disposeUnused(listener);
  }

  #disposeUnused(listener: RunningListener): void {
    const shared = new Set(this.active().flatMap(allChains));
    for (const chain of allChains(listener)) if (!shared.has(chain)) chain.dispose();
  }

  #cancelWarming(listener: RunningListener): void {
    for (const timer of listener.warmingTimers) timer.cancel();
    listener.warmingTimers = [];
  }

  #releaseSockets(listener: RunningListener): void {
    const { sockets } = listener;
    listener.sockets = [];
    for (const socket of sockets) this.#sockets.release(socket);
  }

  #chainsInUse(): RunningChain[] {
    const chains = new Set<RunningChain>();
    for (const listener of [...this.#active.values(), ...this.#warming.values()]) {
      for (const chain of allChains(listener)) chains.add(chain);
    }
    for (const draining of this.#draining.keys()) for (const chain of draining.chains) chains.add(chain);
    return [...chains];
  }

  #countListeners(): void {
    this.#stats.gauge('total_listeners_active').set(this.#active.size);
    this.#stats.gauge('total_listeners_warming').set(this.#warming.size);
    this.#stats.gauge('total_listeners_draining').set(this.#draining.size);
    this.#stats
      .gauge('total_filter_chains_draining')
      .set([...this.#draining.keys()].reduce((sum, draining) => sum + draining.chains.length, 0));
  }
}

function staticError(error: unknown, index: number, config: Listener): unknown {
  if (!(error instanceof ConfigError)) return error;
  return new ConfigError(`static_resources.listeners[${index}] (${config.name})`, error.message);
}

function toAny(config: Listener): Any {
  return create(AnySchema, { typeUrl: typeUrlOf(ListenerSchema), value: toBinary(ListenerSchema, config) });
}
