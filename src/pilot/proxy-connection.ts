// One connected proxy: its scope, its subscriptions as snapshots, and the delivery of them.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Hold } from '../collections/index.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { ProxyScope } from '../translate/resource.ts';
import { identityScope } from '../translate/secret/identity-scope.ts';
import type { OutgoingResource } from '../xds/server/dialect.ts';
import type { XdsStream } from '../xds/server/stream.ts';
import { rejectionIn } from '../xds/server/subscription.ts';
import type { SubscriptionEvent } from '../xds/server/subscription.ts';
import { typeUrls } from '../xds/types.ts';
import type { HeldResource, RejectedResources, StandingRefusal } from './delivery/delivery.ts';
import { Delivery } from './delivery/delivery.ts';
import type { ProxyView } from './distribution/proxy-state.ts';
import { ProxyDistribution } from './distribution/proxy-distribution.ts';
import type { PushLog } from './distribution/push-log.ts';
import type { RevisionLedger } from './distribution/revisions.ts';
import type { PilotMetrics } from './metrics/pilot-metrics.ts';
import type { PushRequest } from './push/push-request.ts';
import type { NameSet } from './resources/name-sets.ts';
import type { Resources, SeenResources, SnapshotKey } from './resources/resources.ts';
import type { Snapshot } from './resources/snapshot.ts';

export interface ConnectionOptions {
  readonly stream: XdsStream;
  readonly node: ProxyNode;
  readonly resources: Resources;
  readonly metrics: PilotMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly ledger: RevisionLedger;
  readonly pushLog: PushLog;
  /** The version that responses carry now. */
  readonly versionInfo: () => string;
  readonly rejected: (connection: ProxyConnection, rejected: RejectedResources) => void;
  /** Told of an error of ours in a timer. */
  readonly failed: (connection: ProxyConnection, error: unknown) => void;
  /** Clusters that are new or changed were accepted; these are the names of their endpoints. */
  readonly clustersAccepted?: (connection: ProxyConnection, endpointsNames: readonly string[]) => void;
  readonly closed: (connection: ProxyConnection) => void;
  /** Told of every request for secrets that is not just an answer. */
  readonly askedForSecrets?: (connection: ProxyConnection) => void;
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
  /** What the revisions changed for it. */
  readonly distribution: ProxyDistribution;
  readonly #options: ConnectionOptions;
  readonly #delivery: Delivery;
  readonly #holds = new Map<string, Held>();
  readonly #scopeHold: Hold;
  readonly #nameSets = new WeakMap<ReadonlySet<string>, NameSet>();
  /** What the delivery has looked at. */
  #seen: SeenResources | undefined;
  #drainWaiters: (() => void)[] = [];
  /** Type URL -> time spent on making its resources since the last response. */
  readonly #makingMs = new Map<string, number>();
  /** Start of the oldest change that this proxy has not acknowledged altogether. */
  #convergingSinceMs: number | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.node = options.node;
    this.stream = options.stream;
    this.#scopeHold = options.resources.holdScope(options.node);
    this.distribution = new ProxyDistribution({
      clock: options.clock,
      ledger: options.ledger,
      view: this.#view(),
    });
    this.#delivery = new Delivery({
      clock: options.clock,
      port: {
        dialect: options.stream.dialect,
        subscriptions: options.stream.subscriptions,
        get busy() {
          return options.stream.busy;
        },
        send: (typeUrl, resources, removed) => this.#send(typeUrl, resources, removed),
      },
      target: (typeUrl) => this.target(typeUrl),
      rejected: (rejected) => options.rejected(this, rejected),
      clustersAccepted: (names) => options.clustersAccepted?.(this, names),
      failed: (error) => options.failed(this, error),
    });
  }

  received(typeUrl: string, event: SubscriptionEvent): void {
    if (event.kind === 'stale') {
      this.#options.metrics.expiredNonces.add(1, { type: this.#shortName(typeUrl) });
    }
    const rejection = rejectionIn(event);
    if (rejection !== undefined) {
      const short = this.#options.resources.shortName(typeUrl);
      this.#options.metrics.rejected(short, this.node.id, rejection.code);
    }
    if (!this.stream.subscriptions.has(typeUrl)) this.#letGo(typeUrl);
    if (event.kind === 'ack') this.distribution.acked(typeUrl, this.#delivery.inFlight(typeUrl));
    if (event.kind === 'nack') this.distribution.nacked(typeUrl);
    this.#delivery.received(typeUrl, event);
    this.#pump();
    this.distribution.received(typeUrl);
    const isAnswer = event.kind === 'ack' && event.added.length === 0;
    if (typeUrl === typeUrls.secret && !isAnswer) this.#options.askedForSecrets?.(this);
    if (this.#delivery.idle) this.#options.pushLog.answered(this.stream.id);
    if (this.#convergingSinceMs !== undefined && this.#delivery.idle) {
      const tookMs = this.#options.clock.monotonicMs() - this.#convergingSinceMs;
      this.#options.metrics.convergenceTime.observe(tookMs / 1000);
      this.#convergingSinceMs = undefined;
    }
  }

  /** Whether a push could send anything: false where nothing that this proxy depends on was touched. */
  isTouched(): boolean {
    return this.#seen === undefined || !this.#options.resources.isCurrent(this.node, this.#seen);
  }

  /** A push that is not for it: nothing that it depends on was touched. */
  passOver(request: PushRequest): void {
    this.distribution.lookedAt(false);
    this.#options.pushLog.passed(this.stream.id, request.pushId);
  }

  /** Whether it has answered everything that it should have by what is known now. */
  isSettled(): boolean {
    return !this.isTouched() && this.#delivery.idle;
  }

  /** Clusters that came on another stream of this proxy wait for endpoints. */
  warmEndpoints(names: readonly string[]): void {
    this.#delivery.warmEndpoints(names);
    this.#pump();
  }

  /** Resolves when the proxy has read what was written, or after a while. */
  push(request: PushRequest): Promise<void> | void {
    const { pushLog } = this.#options;
    pushLog.reached(this.stream.id, request.pushId);
    this.#pump();
    this.distribution.lookedAt(true);
    pushLog.passed(this.stream.id, request.pushId);
    if (!this.#delivery.idle) this.#convergingSinceMs ??= request.startMs;
    if (!this.stream.busy) return;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(drainMs, () => {
        this.#options.metrics.writeTimeouts.add();
        resolve();
      });
      this.#drainWaiters.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  drained(): void {
    this.#pump();
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
    this.distribution.noteTarget();
    const scope = this.#scope(typeUrl);
    const subscription = this.stream.subscriptions.get(typeUrl);
    if (scope === undefined || subscription === undefined) return undefined;
    const names = subscription.wildcard ? undefined : this.#nameSet(subscription.names);
    const key: SnapshotKey = { typeUrl, scope, names };
    this.#hold(key);
    const { clock, resources } = this.#options;
    const startMs = clock.monotonicMs();
    const outcome = resources.snapshot(key);
    this.#makingMs.set(typeUrl, (this.#makingMs.get(typeUrl) ?? 0) + clock.monotonicMs() - startMs);
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

  #scope(typeUrl: string): ProxyScope | undefined {
    try {
      const scope = this.#options.resources.scope(this.node);
      return typeUrl === typeUrls.secret ? identityScope(scope, this.node) : scope;
    } catch {
      // Reported by the engine.
      return undefined;
    }
  }

  #pump(): void {
    this.#delivery.pump();
    const keys = [...this.#holds.values()].map(({ key }) => key);
    this.#seen = this.#options.resources.see(this.node, keys);
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

  #send(typeUrl: string, resources: readonly OutgoingResource[], removed: readonly string[]): string {
    const { clock, metrics, versionInfo } = this.#options;
    const startMs = clock.monotonicMs();
    const nonce = this.stream.send({
      typeUrl,
      versionInfo: versionInfo(),
      resources,
      removed,
    });
    const labels = { type: this.#shortName(typeUrl) };
    metrics.pushes.add(1, labels);
    const sendMs = clock.monotonicMs() - startMs;
    metrics.sendTime.observe(sendMs / 1000);
    metrics.pushTime.observe(((this.#makingMs.get(typeUrl) ?? 0) + sendMs) / 1000, labels);
    this.#makingMs.delete(typeUrl);
    let bytes = 0;
    for (const { field } of resources) bytes += field.length;
    metrics.configBytes.observe(bytes, labels);
    this.distribution.sent(typeUrl);
    const type = this.#options.resources.shortName(typeUrl);
    const sent = { type, resources: resources.length, removed: removed.length, bytes };
    this.#options.pushLog.sent(this.stream.id, sent);
    return nonce;
  }

  #view(): ProxyView {
    const { stream } = this;
    const delivery = (): Delivery => this.#delivery;
    return {
      get busy() {
        return stream.busy;
      },
      get idle() {
        return delivery().idle;
      },
      subscriptions: stream.subscriptions,
      target: (typeUrl) => this.target(typeUrl),
      inUseOf: (typeUrl, name) => delivery().inUseOf(typeUrl, name),
      inFlight: (typeUrl) => delivery().inFlight(typeUrl),
      isIsolating: (typeUrl, name) => delivery().isIsolating(typeUrl, name),
      held: () => delivery().held(),
      refusals: () => delivery().refusals(),
    };
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
