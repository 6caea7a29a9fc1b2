// Resources of one type that are asked for by name (EDS, RDS), each from the source that whoever needs it names. Over
// ADS they share one subscription; from any other source each has its own stream or file, as in Envoy.
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { ReceivedResource, ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';
import { ownBytes } from '../../xds/client/resource.ts';
import type { XdsSubscription } from '../../xds/client/xds-client.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { ConfigSource } from './config-source.ts';
import type { SubscriptionFactory } from './subscription-factory.ts';

/** What becomes of one resource. */
export interface NamedResource {
  /** Where the statistics of a stream of its own belong. */
  readonly stats: StatsScope;
  /**
   * New content. Throws to refuse it: what was there stays. `version` is that of the resource, `versionInfo`, which is
   * counted, that of the response.
   */
  onResource(bytes: Uint8Array, version: string, versionInfo: string): void;
  /** The same bytes came again. */
  onUnchanged(versionInfo: string): void;
  /** The server says that there is none (delta). */
  onRemoved(versionInfo: string): void;
  /** It, or the whole response, was refused. */
  onRejected(): void;
  onUnreadable(): void;
  onConnectionFailure(): void;
}

interface Held {
  readonly name: string;
  readonly resource: NamedResource;
  /** The last bytes that were accepted. */
  bytes: Uint8Array | undefined;
  /** Ends a subscription of its own. */
  stop: (() => void) | undefined;
}

export class NamedSubscriptions {
  readonly #typeUrl: string;
  readonly #adsHeld = new Map<string, Held>();
  /** By the key of the source, by name. */
  readonly #ownHeld = new Map<string, Held>();
  /** Of `#ownHeld`, what waits for `start`. */
  readonly #waiting = new Map<string, { readonly source: ConfigSource; readonly held: Held }>();
  #factory: SubscriptionFactory | undefined;
  #ads: XdsSubscription | undefined;

  constructor(typeUrl: string) {
    this.#typeUrl = typeUrl;
  }

  /** Subscribes; what was added already is asked for. */
  start(factory: SubscriptionFactory): void {
    this.#factory = factory;
    this.#ads = factory.subscribeAds(this.#typeUrl, false, this.#consumerOf(this.#adsHeld));
    this.#announce();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { source, held } of waiting) this.#open(source, held);
  }

  /** Asks for `name` at `source`; once for each. */
  add(source: ConfigSource, name: string, resource: NamedResource): void {
    const held: Held = { name, resource, bytes: undefined, stop: undefined };
    if (source.kind === 'ads') {
      this.#adsHeld.set(name, held);
      this.#announce();
      return;
    }
    const key = resourceKey(source, name);
    this.#ownHeld.set(key, held);
    if (this.#factory === undefined) this.#waiting.set(key, { source, held });
    else this.#open(source, held);
  }

  remove(source: ConfigSource, name: string): void {
    if (source.kind === 'ads') {
      if (this.#adsHeld.delete(name)) this.#announce();
      return;
    }
    const key = resourceKey(source, name);
    this.#waiting.delete(key);
    this.#ownHeld.get(key)?.stop?.();
    this.#ownHeld.delete(key);
  }

  /** While another type is applied that changes the names: the server hears of them once. */
  pause(): void {
    this.#ads?.pause();
  }

  resume(): void {
    this.#ads?.resume();
  }

  /** Takes what comes over ADS; for tests that play the server. */
  get adsConsumer(): ResourceConsumer {
    return this.#consumerOf(this.#adsHeld);
  }

  #open(source: ConfigSource, held: Held): void {
    const { name, resource } = held;
    const consumer = this.#consumerOf(new Map([[name, held]]));
    held.stop = this.#factory?.subscribe(source, {
      typeUrl: this.#typeUrl,
      name,
      consumer,
      stats: resource.stats,
    });
  }

  #consumerOf(held: ReadonlyMap<string, Held>): ResourceConsumer {
    const all = (tell: (resource: NamedResource) => void): void => {
      for (const { resource } of held.values()) tell(resource);
    };
    return {
      onUpdate: (update) => this.#apply(held, update),
      onRejected: () => all((resource) => resource.onRejected()),
      onUnreadable: () => all((resource) => resource.onUnreadable()),
      onConnectionFailure: () => all((resource) => resource.onConnectionFailure()),
    };
  }

  #apply(all: ReadonlyMap<string, Held>, update: ResourceUpdate): readonly string[] {
    const errors: string[] = [];
    const seen = new Set<string>();
    for (const received of update.resources) {
      let name = received.name ?? '';
      try {
        name = nameOf(received.bytes);
        // Of two with one name the first counts, as in Envoy.
        if (seen.has(name)) continue;
        seen.add(name);
        const held = all.get(name);
        if (held !== undefined) accept(held, received, update.versionInfo);
      } catch (error) {
        all.get(name)?.resource.onRejected();
        errors.push(`${shortName(this.#typeUrl)} ${name}: ${(error as Error).message}`);
      }
    }
    for (const name of update.removed ?? []) all.get(name)?.resource.onRemoved(update.versionInfo);
    return errors;
  }

  #announce(): void {
    this.#ads?.setNames(new Set(this.#adsHeld.keys()));
  }
}

/** Equal keys: the same resource of the same source. */
export function resourceKey(source: ConfigSource, name: string): string {
  return source.kind === 'ads' ? name : `${source.key} ${name}`;
}

function accept(held: Held, { bytes, version }: ReceivedResource, versionInfo: string): void {
  if (held.bytes !== undefined && Buffer.compare(held.bytes, bytes) === 0) {
    held.resource.onUnchanged(versionInfo);
    return;
  }
  const own = ownBytes(bytes);
  held.resource.onResource(own, version, versionInfo);
  held.bytes = own;
}

function shortName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

/** RouteConfiguration.name, ClusterLoadAssignment.cluster_name. */
const nameField = 1;

/** The resource's name, without decoding the rest; the last one counts, as protobuf has it. */
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
