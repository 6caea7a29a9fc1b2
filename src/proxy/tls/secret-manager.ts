// The secrets that TLS contexts name (SDS): one slot for each, exchanged for all who hold it; or fixed in the bootstrap.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type {
  SdsSecretConfig,
  Secret,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SecretSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { ResourceConsumer } from '../../xds/client/resource.ts';
import { ConfigError } from '../config-error.ts';
import type { ConfigSource, SourceContext } from '../config-source/config-source.ts';
import { readConfigSource } from '../config-source/config-source.ts';
import type { NamedResource } from '../config-source/named-subscriptions.ts';
import { NamedSubscriptions, resourceKey } from '../config-source/named-subscriptions.ts';
import type { SubscriptionFactory } from '../config-source/subscription-factory.ts';
import { SubscriptionStats } from '../config-source/subscription-stats.ts';
import type { StatsScope, StatsStore } from '../stats/stats.ts';

export interface SecretManagerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: StatsStore;
  readonly sources: SourceContext;
  /** static_resources.secrets. */
  readonly fixed: readonly Secret[];
}

/** One holder's hold of one secret. */
export interface HeldSecret {
  readonly name: string;
  /** Undefined until it has come. */
  readonly current: Secret | undefined;
  /** Calls `done`, perhaps at once: when it is there, or when nobody waits for it any longer. */
  whenReady(done: () => void): Timer;
  release(): void;
}

export class SecretManager {
  readonly #options: SecretManagerOptions;
  readonly #subscriptions = new NamedSubscriptions(typeUrlOf(SecretSchema));
  readonly #slots = new Map<string, Slot>();
  readonly #fixed: ReadonlyMap<string, Secret>;

  constructor(options: SecretManagerOptions) {
    this.#options = options;
    this.#fixed = new Map(options.fixed.map((secret) => [secret.name, secret]));
  }

  /** Subscribes; what is held already is asked for. */
  start(factory: SubscriptionFactory): void {
    this.#subscriptions.start(factory);
  }

  /** Takes what comes over ADS; for tests that play the server. */
  get adsConsumer(): ResourceConsumer {
    return this.#subscriptions.adsConsumer;
  }

  /**
   * Holds the secret that `config` names. `onChange` is told of each new version; what it throws refuses the version.
   * Throws ConfigError.
   */
  acquire(config: SdsSecretConfig, path: string, onChange: () => void): HeldSecret {
    const { name, sdsConfig } = config;
    if (sdsConfig === undefined) return this.#fixedSecret(name, path);
    const source = readConfigSource(sdsConfig, `${path}.sds_config`, this.#options.sources);
    const key = resourceKey(source, name);
    let slot = this.#slots.get(key);
    const isNew = slot === undefined;
    slot ??= new Slot(source, name, this.#options);
    slot.holders.add(onChange);
    if (isNew) {
      this.#slots.set(key, slot);
      this.#subscriptions.add(source, name, slot);
    }
    const held = slot;
    return {
      name,
      get current() {
        return held.current;
      },
      whenReady: (done) => held.whenReady(done),
      release: () => {
        if (!held.holders.delete(onChange) || held.holders.size > 0) return;
        this.#slots.delete(key);
        this.#subscriptions.remove(source, name);
      },
    };
  }

  #fixedSecret(name: string, path: string): HeldSecret {
    const current = this.#fixed.get(name);
    if (current === undefined) throw new ConfigError(path, `Unknown static secret: ${name}`);
    return {
      name,
      current,
      whenReady: (done) => {
        done();
        return { cancel: () => {} };
      },
      release: () => {},
    };
  }
}

class Slot implements NamedResource {
  readonly source: ConfigSource;
  readonly name: string;
  readonly stats: StatsScope;
  readonly holders = new Set<() => void>();
  current: Secret | undefined;
  readonly #options: SecretManagerOptions;
  readonly #counted: SubscriptionStats;
  readonly #waiting = new Set<() => void>();

  constructor(source: ConfigSource, name: string, options: SecretManagerOptions) {
    this.source = source;
    this.name = name;
    this.stats = options.stats.scope('sds').scope(name);
    this.#options = options;
    this.#counted = new SubscriptionStats(this.stats, source, options.clock);
  }

  whenReady(done: () => void): Timer {
    if (this.current !== undefined) {
      done();
      return { cancel: () => {} };
    }
    const { initialFetchTimeoutMs } = this.source;
    let timer: Timer | undefined;
    const finish = (): void => {
      this.#waiting.delete(finish);
      timer?.cancel();
      done();
    };
    this.#waiting.add(finish);
    if (initialFetchTimeoutMs > 0) {
      timer = this.#options.clock.after(initialFetchTimeoutMs, () => {
        this.#counted.timedOut();
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
    const startedMs = this.#options.clock.monotonicMs();
    const before = this.current;
    this.current = fromBinary(SecretSchema, bytes);
    try {
      for (const onChange of this.holders) onChange();
    } catch (error) {
      this.current = before;
      // Some may have taken it already.
      if (before !== undefined) for (const onChange of this.holders) onChange();
      throw error;
    }
    this.#counted.succeeded(versionInfo, startedMs);
    this.#options.logger.debug(`sds: ${this.name} ${version} is in force`);
    this.#goOn();
  }

  onUnchanged(versionInfo: string): void {
    this.#counted.succeeded(versionInfo, this.#options.clock.monotonicMs());
  }

  /** Envoy keeps what it has. */
  onRemoved(versionInfo: string): void {
    this.#options.logger.warn(`sds: the control plane removes ${this.name}, which is in use: ignored`);
    this.onUnchanged(versionInfo);
  }

  onRejected(): void {
    this.#counted.rejected(this.#options.clock.monotonicMs());
    this.#goOn();
  }

  onUnreadable(): void {
    this.#counted.failed();
    this.#goOn();
  }

  onConnectionFailure(): void {
    this.#counted.failed();
  }

  /** Whoever warms until it is there goes on, with or without. */
  #goOn(): void {
    for (const done of this.#waiting) done();
  }
}
