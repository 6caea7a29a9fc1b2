// Resources of proxies, built once for each scope and name, encoded once, shared by all who get them.
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../api/any.ts';
import { ClusterLoadAssignmentSchema } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { RouteConfigurationSchema } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { Logger } from '../base/logger.ts';
import type { Derived, Graph, Hold, Outcome } from '../collections/index.ts';
import { bytesEqual, structurallyEqual } from '../collections/index.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Provenance, ProxyScope, ResourceKind } from '../translate/resource.ts';
import { encodeResourceField, resourceValue } from '../xds/server/response.ts';
import { contentVersion } from './content-version.ts';
import { encodeMessage } from './encode-parts.ts';
import type { ResourceFacts } from './resource-facts.ts';
import { factsOf } from './resource-facts.ts';
import type { PilotWorld } from './world.ts';

/** A kind whose input nobody here looks into. */
export type AnyResourceKind = ResourceKind<unknown, DescMessage>;

/** One resource as it goes to proxies. */
export interface Encoded {
  readonly name: string;
  /** See encodeResourceField. The same object means the same content. */
  readonly field: Uint8Array;
  /** See contentVersion. Equal versions mean the same content. */
  readonly version: string;
  readonly facts: ResourceFacts;
  readonly provenance: readonly Provenance[];
}

/** What one subscription gets, by name. The same object until something in it changes. */
export type Snapshot = ReadonlyMap<string, Encoded>;

/** Names asked for; the same object for equal sets. */
export interface NameSet {
  readonly id: number;
  readonly names: readonly string[];
}

export interface SnapshotKey {
  readonly typeUrl: string;
  readonly scope: ProxyScope;
  /** Undefined: every resource of the type. */
  readonly names: NameSet | undefined;
}

interface ResourceKey {
  readonly typeUrl: string;
  readonly scope: ProxyScope;
  readonly name: string;
}

interface BuiltResource {
  /** Undefined: there is no such resource, and this is what is answered to who asks for it by name. */
  readonly input: unknown;
  readonly encoded: Encoded;
}

export interface ResourcesOptions {
  readonly graph: Graph;
  readonly world: PilotWorld;
  readonly kinds: readonly AnyResourceKind[];
  readonly scopeOf: (world: PilotWorld, node: ProxyNode) => ProxyScope;
  readonly logger: Logger;
}

export class Resources {
  readonly #options: ResourcesOptions;
  readonly #kinds: ReadonlyMap<string, AnyResourceKind>;
  readonly #scopes: Derived<ProxyNode, ProxyScope>;
  readonly #names: Derived<SnapshotKey, readonly string[]>;
  readonly #resources: Derived<ResourceKey, BuiltResource | undefined>;
  readonly #snapshots: Derived<SnapshotKey, Snapshot>;
  readonly #nameSets = new Map<string, NameSet>();
  #nameSetIds = 0;
  readonly #variants = new Map<string, WeakRef<BuiltResource>[]>();
  readonly #scopeIds = new Map<string, number>();
  #scopeIdCount = 0;
  #builds = 0;

  constructor(options: ResourcesOptions) {
    const { graph, world, kinds, scopeOf } = options;
    this.#options = options;
    this.#kinds = new Map(kinds.map((kind) => [typeUrlOf(kind.schema), kind]));
    this.#scopes = graph.derived({
      name: 'scope',
      key: (node: ProxyNode) => JSON.stringify(node),
      compute: (node: ProxyNode) => scopeOf(world, node),
      // Equal keys mean equal scopes; the object itself stays, so that what hangs on it is found again.
      equal: (a, b) => (a as ProxyScope).key === (b as ProxyScope).key,
    });
    this.#names = graph.derived({
      name: 'names',
      key: ({ typeUrl, scope }: SnapshotKey) => this.#place(typeUrl, scope),
      compute: ({ typeUrl, scope }: SnapshotKey, previous: readonly string[] | undefined) =>
        this.#orPrevious(`names of ${typeUrl}`, previous, () => this.#kind(typeUrl).names(world, scope)),
    });
    this.#resources = graph.derived<ResourceKey, BuiltResource | undefined>({
      name: 'resource',
      key: ({ typeUrl, scope, name }) => `${this.#place(typeUrl, scope)}|${name}`,
      compute: (key, previous) =>
        this.#orPrevious(`${key.typeUrl} ${key.name}`, previous, () => this.#build(key, previous)),
      equal: (a, b) => a === b,
    });
    this.#snapshots = graph.derived({
      name: 'snapshot',
      key: ({ typeUrl, scope, names }: SnapshotKey) => `${this.#place(typeUrl, scope)}|${names?.id ?? '*'}`,
      compute: (key: SnapshotKey) => this.#collect(key),
      equal: (a, b) => sameSnapshot(a as Snapshot, b as Snapshot),
    });
  }

  /** How often a resource was built and encoded: for tests and metrics. */
  get builds(): number {
    return this.#builds;
  }

  serves(typeUrl: string): boolean {
    return this.#kinds.has(typeUrl);
  }

  /** `CDS`, `EDS`...; the last part of the type's name where it is not served. */
  shortName(typeUrl: string): string {
    return this.#kinds.get(typeUrl)?.shortName ?? typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
  }

  /** What of a node counts. Throws DerivationError where translation failed. */
  scope(node: ProxyNode): ProxyScope {
    return this.#scopes.get(node);
  }

  /** Whether the scope and the snapshots of these keys are what they were when last asked for. */
  isFresh(node: ProxyNode, keys: Iterable<SnapshotKey>): boolean {
    if (!this.#scopes.isFresh(node)) return false;
    for (const key of keys) if (!this.#snapshots.isFresh(key)) return false;
    return true;
  }

  snapshot(key: SnapshotKey): Outcome<Snapshot> {
    return this.#snapshots.attempt(key);
  }

  /** Keeps a snapshot in memory for as long as somebody is subscribed to it. */
  hold(key: SnapshotKey): Hold {
    return this.#snapshots.hold(key);
  }

  holdScope(node: ProxyNode): Hold {
    return this.#scopes.hold(node);
  }

  /** Forgets what nobody has any more; derivations are the graph's to evict. */
  sweep(): void {
    for (const [key, variants] of this.#variants) {
      if (variants.every((variant) => variant.deref() === undefined)) this.#variants.delete(key);
    }
  }

  /** The one NameSet of these names. */
  nameSet(names: Iterable<string>): NameSet {
    const sorted = [...new Set(names)].sort();
    const text = sorted.join('\n');
    let set = this.#nameSets.get(text);
    if (set === undefined) {
      // Snapshots of sets that nobody asks for any more are evicted; the sets go with them, all at once: who
      // still has one keeps it, and at worst the same names get a second snapshot.
      if (this.#nameSets.size >= nameSetsMax) this.#nameSets.clear();
      set = { id: ++this.#nameSetIds, names: sorted };
      this.#nameSets.set(text, set);
    }
    return set;
  }

  /** The message behind an encoded resource. */
  decode(typeUrl: string, encoded: Encoded): Message {
    return fromBinary(this.#kind(typeUrl).schema, resourceValue(encoded.field));
  }

  schema(typeUrl: string): DescMessage {
    return this.#kind(typeUrl).schema;
  }

  /** Short, because it stands in the key of each resource. */
  #place(typeUrl: string, scope: ProxyScope): string {
    let id = this.#scopeIds.get(scope.key);
    if (id === undefined) {
      // Forgetting costs a second computation for scopes that are still in use, nothing else.
      if (this.#scopeIds.size >= scopesMax) this.#scopeIds.clear();
      id = ++this.#scopeIdCount;
      this.#scopeIds.set(scope.key, id);
    }
    return `${this.shortName(typeUrl)}|${id}`;
  }

  #kind(typeUrl: string): AnyResourceKind {
    const kind = this.#kinds.get(typeUrl);
    if (kind === undefined) throw new Error(`type ${typeUrl} is not served`);
    return kind;
  }

  /** A bug that one object lays open must not take away what proxies already have. */
  #orPrevious<T>(what: string, previous: T | undefined, compute: () => T): T {
    if (previous === undefined) return compute();
    try {
      return compute();
    } catch (error) {
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.logger.error(`${what} could not be built, the last one stays in force: ${detail}`);
      return previous;
    }
  }

  #build(
    { typeUrl, scope, name }: ResourceKey,
    previous: BuiltResource | undefined,
  ): BuiltResource | undefined {
    const kind = this.#kind(typeUrl);
    const input = kind.input(this.#options.world, scope, name);
    if (input === undefined) {
      if (previous?.input === undefined && previous !== undefined) return previous;
      const encoded = emptyResource(typeUrl, name);
      return encoded === undefined ? undefined : { input, encoded };
    }
    if (previous !== undefined && structurallyEqual(previous.input, input)) return previous;
    const variants = this.#variantsOf(`${kind.shortName}|${name}`);
    for (const variant of variants) {
      const known = variant.deref();
      if (known !== undefined && structurallyEqual(known.input, input)) return known;
    }
    const resource = this.#encode(typeUrl, kind, input, previous);
    variants.push(new WeakRef(resource));
    return resource;
  }

  #encode(
    typeUrl: string,
    kind: AnyResourceKind,
    input: unknown,
    previous: BuiltResource | undefined,
  ): BuiltResource {
    this.#builds++;
    const built = kind.build(input);
    const field = encodeResourceField(typeUrl, encodeMessage(kind.schema, built.message));
    const { name: builtName, provenance } = built;
    if (previous !== undefined && bytesEqual(previous.encoded.field, field)) {
      if (structurallyEqual(previous.encoded.provenance, provenance)) return previous;
      // Where it comes from has changed, not what it says: the same bytes, so that nobody is sent it again.
      return { input, encoded: { ...previous.encoded, provenance } };
    }
    const version = contentVersion(field);
    return { input, encoded: { name: builtName, field, version, facts: factsOf(built.message), provenance } };
  }

  /** What other scopes have under this name: they often differ in labels that do not count for it. */
  #variantsOf(key: string): WeakRef<BuiltResource>[] {
    const known = this.#variants.get(key)?.filter((variant) => variant.deref() !== undefined) ?? [];
    const variants = known.slice(-variantsMax);
    this.#variants.set(key, variants);
    return variants;
  }

  #collect(key: SnapshotKey): Snapshot {
    const { typeUrl, scope } = key;
    const wanted = key.names?.names;
    const snapshot = new Map<string, Encoded>();
    for (const name of wanted ?? this.#names.get(key)) {
      const outcome = this.#resources.attempt({ typeUrl, scope, name });
      const resource = outcome.ok ? outcome.value : undefined;
      if (resource === undefined || (resource.input === undefined && wanted === undefined)) continue;
      snapshot.set(name, resource.encoded);
    }
    return snapshot;
  }
}

/** Versions of one resource that are compared with a new one. */
const variantsMax = 16;
const nameSetsMax = 10_000;
const scopesMax = 100_000;

/**
 * What is answered for a name that does not exist. Envoy waits for routes and endpoints that it asked
 * for and would warm until its time-out; so Istio answers empty ones, and so do we (B2.11, B2.12).
 */
function emptyResource(typeUrl: string, name: string): Encoded | undefined {
  const message = emptyMessage(typeUrl, name);
  if (message === undefined) return undefined;
  const field = encodeResourceField(typeUrl, message);
  return { name, field, version: contentVersion(field), facts: { clusters: [] }, provenance: [] };
}

function emptyMessage(typeUrl: string, name: string): Uint8Array | undefined {
  switch (typeUrl) {
    case typeUrlOf(RouteConfigurationSchema):
      return toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, { name }));
    case typeUrlOf(ClusterLoadAssignmentSchema):
      return toBinary(
        ClusterLoadAssignmentSchema,
        create(ClusterLoadAssignmentSchema, { clusterName: name }),
      );
    default:
      return undefined;
  }
}

function sameSnapshot(a: Snapshot, b: Snapshot): boolean {
  if (a.size !== b.size) return false;
  for (const [name, encoded] of a) if (b.get(name) !== encoded) return false;
  return true;
}
