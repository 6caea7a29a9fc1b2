// One connected proxy: its scope, its subscriptions as snapshots, and the delivery of them.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Hold } from '../collections/index.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { ProxyScope } from '../translate/resource.ts';
import type { XdsStream } from '../xds/server/stream.ts';
import type { SubscriptionEvent } from '../xds/server/subscription.ts';
import type { HeldResource, RejectedResources, StandingRefusal } from './delivery.ts';
import { Delivery } from './delivery.ts';
import type { PilotMetrics } from './pilot-metrics.ts';
import type { PushRequest } from './push-request.ts';
import type { Encoded, NameSet, Resources, Snapshot, SnapshotKey } from './resources.ts';

export interface ConnectionOptions {
  readonly stream: XdsStream;
  readonly node: ProxyNode;
  readonly resources: Resources;
  readonly metrics: PilotMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The version that responses carry now. */
  readonly versionInfo: () => string;
  readonly rejected: (connection: ProxyConnection, rejected: RejectedResources) => void;
  /** Told of an error of ours in a timer. */
  readonly failed: (connection: ProxyConnection, error: unknown) => void;
  readonly closed: (connection: ProxyConnection) => void;
}

interface Held {
  readonly key: SnapshotKey;
  readonly hold: Hold;
}

/** A client that does not read keeps its place in the push queue no longer than this. */
const drainMs = 1000;

export class ProxyConnection {
  readonly node: ProxyNode;
  readonly stream: XdsStream;
  readonly #options: ConnectionOptions;
  readonly #delivery: Delivery;
  readonly #holds = new Map<string, Held>();
  readonly #scopeHold: Hold;
  readonly #nameSets = new WeakMap<ReadonlySet<string>, NameSet>();
  #drainWaiters: (() => void)[] = [];
  /** Start of the oldest change that this proxy has not acknowledged altogether. */
  #convergingSinceMs: number | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.node = options.node;
    this.stream = options.stream;
    this.#scopeHold = options.resources.holdScope(options.node);
    this.#delivery = new Delivery({
      clock: options.clock,
      port: {
        subscriptions: options.stream.subscriptions,
        get busy() {
          return options.stream.busy;
        },
        send: (typeUrl, resources) => this.#send(typeUrl, resources),
      },
      target: (typeUrl) => this.target(typeUrl),
      rejected: (rejected) => options.rejected(this, rejected),
      failed: (error) => options.failed(this, error),
    });
  }

  received(typeUrl: string, event: SubscriptionEvent): void {
    if (event.kind === 'stale') {
      this.#options.metrics.expiredNonces.add(1, { type: this.#shortName(typeUrl) });
    }
    if (event.kind === 'nack') {
      const short = this.#options.resources.shortName(typeUrl);
      this.#options.metrics.rejected(short, this.node.id, event.rejection.code);
    }
    if (!this.stream.subscriptions.has(typeUrl)) this.#letGo(typeUrl);
    this.#delivery.received(typeUrl, event);
    this.#delivery.pump();
    if (this.#convergingSinceMs !== undefined && this.#delivery.idle) {
      const tookMs = this.#options.clock.monotonicMs() - this.#convergingSinceMs;
      this.#options.metrics.convergenceTime.observe(tookMs / 1000);
      this.#convergingSinceMs = undefined;
    }
  }

  /** Whether a push could send anything: false where nothing that this proxy depends on was touched. */
  isTouched(): boolean {
    const keys = [...this.#holds.values()].map(({ key }) => key);
    return !this.#options.resources.isFresh(this.node, keys);
  }

  /** Whether it has answered everything that it should have by what is known now. */
  isSettled(): boolean {
    return !this.isTouched() && this.#delivery.idle;
  }

  /** Resolves when the proxy has read what was written, or after a while. */
  push(request: PushRequest): Promise<void> | void {
    this.#delivery.pump();
    if (!this.#delivery.idle) this.#convergingSinceMs ??= request.startMs;
    if (!this.stream.busy) return;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(drainMs, resolve);
      this.#drainWaiters.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  drained(): void {
    this.#delivery.pump();
    this.#wakeWaiters();
  }

  closed(): void {
    this.#delivery.close();
    this.#scopeHold.release();
    for (const { hold } of this.#holds.values()) hold.release();
    this.#holds.clear();
    this.#wakeWaiters();
    this.#options.closed(this);
  }

  /** What the proxy should have of a type that it is subscribed to. */
  target(typeUrl: string): Snapshot | undefined {
    const scope = this.#scope();
    const subscription = this.stream.subscriptions.get(typeUrl);
    if (scope === undefined || subscription === undefined) return undefined;
    const names = subscription.wildcard ? undefined : this.#nameSet(subscription.names);
    const key: SnapshotKey = { typeUrl, scope, names };
    this.#hold(key);
    const outcome = this.#options.resources.snapshot(key);
    // Reported by the engine; what the proxy has stays in force.
    return outcome.ok ? outcome.value : undefined;
  }

  /** What it has accepted of a type on this stream. */
  inUse(typeUrl: string): Snapshot {
    return this.#delivery.inUse(typeUrl);
  }

  held(): readonly HeldResource[] {
    return this.#delivery.held();
  }

  /** Resources that it refused and that are still what they were. */
  refusals(): readonly StandingRefusal[] {
    return this.#delivery.refusals();
  }

  #scope(): ProxyScope | undefined {
    try {
      return this.#options.resources.scope(this.node);
    } catch {
      // Reported by the engine.
      return undefined;
    }
  }

  #nameSet(names: ReadonlySet<string>): NameSet {
    let set = this.#nameSets.get(names);
    if (set === undefined) {
      set = this.#options.resources.nameSet(names);
      this.#nameSets.set(names, set);
    }
    return set;
  }

  /** Of a type that is not wanted any more no change is awaited. */
  #letGo(typeUrl: string): void {
    this.#holds.get(typeUrl)?.hold.release();
    this.#holds.delete(typeUrl);
  }

  #hold(key: SnapshotKey): void {
    const held = this.#holds.get(key.typeUrl);
    if (held?.key.scope.key === key.scope.key && held.key.names === key.names) return;
    this.#holds.set(key.typeUrl, { key, hold: this.#options.resources.hold(key) });
    held?.hold.release();
  }

  #send(typeUrl: string, resources: readonly Encoded[]): string {
    const { clock, metrics, versionInfo } = this.#options;
    const startMs = clock.monotonicMs();
    const nonce = this.stream.send({
      typeUrl,
      versionInfo: versionInfo(),
      resources,
      removed: [],
    });
    const labels = { type: this.#shortName(typeUrl) };
    metrics.pushes.add(1, labels);
    metrics.pushTime.observe((clock.monotonicMs() - startMs) / 1000, labels);
    let bytes = 0;
    for (const { field } of resources) bytes += field.length;
    metrics.configBytes.observe(bytes, labels);
    return nonce;
  }

  #shortName(typeUrl: string): string {
    return this.#options.resources.shortName(typeUrl).toLowerCase();
  }

  #wakeWaiters(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const wake of waiters) wake();
  }
}
