// Resources of proxies, built once for each scope and name, encoded once, shared by all who get them.
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { Logger } from '../../base/logger.ts';
import type { Derived, Graph, Handle, Hold, Outcome } from '../../collections/index.ts';
import { structurallyEqual } from '../../collections/index.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { ProxyScope, ResourceKind, ResourcePart } from '../../translate/resource.ts';
import { partsOf } from '../../translate/resource.ts';
import { encodeResourceField, resourceValue } from '../../xds/server/response.ts';
import { contentVersion } from './content-version.ts';
import { encodeMessage } from './encode-parts.ts';
import type { NameSet } from './name-sets.ts';
import { NameSets } from './name-sets.ts';
import { factsOf } from './resource-facts.ts';
import type { Encoded, Snapshot } from './snapshot.ts';
import { layerSnapshots } from './snapshot.ts';
import type { PilotWorld } from '../world/world.ts';

/** A kind whose input nobody here looks into. */
export type AnyResourceKind = ResourceKind<unknown, DescMessage>;

interface ScopeKey {
  readonly typeUrl: string;
  readonly scope: ProxyScope;
}

export interface SnapshotKey extends ScopeKey {
  /** Undefined: every resource of the type. */
  readonly names: NameSet | undefined;
}

/** What a connection has looked at; undefined for what it has not. */
export interface SeenResources {
  readonly scope: ProxyScope | undefined;
  readonly snapshots: ReadonlyMap<SnapshotKey, Snapshot | undefined>;
}

/** A part of a kind, and what of proxies it depends on: equal views share what is made. */
interface PartKey {
  readonly part: KindPart;
  readonly view: ProxyScope;
}

interface LayerKey extends PartKey {
  readonly names: NameSet | undefined;
}

interface ResourceKey extends PartKey {
  readonly name: string;
}

interface KindPart {
  readonly kind: AnyResourceKind;
  readonly typeUrl: string;
  readonly part: ResourcePart<unknown>;
  /** `CDS/out`: stands in the key of each resource. */
  readonly id: string;
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
  readonly #parts: ReadonlyMap<string, readonly KindPart[]>;
  readonly #scopes: Derived<ProxyNode, ProxyScope>;
  readonly #views: Derived<ScopeKey, readonly (ProxyScope | undefined)[]>;
  readonly #names: Derived<PartKey, readonly string[]>;
  readonly #resources: Derived<ResourceKey, BuiltResource | undefined>;
  readonly #layers: Derived<LayerKey, Layer>;
  readonly #snapshots: Derived<SnapshotKey, Snapshot>;
  readonly #nameSets = new NameSets();
  readonly #variants = new Map<string, WeakRef<BuiltResource>[]>();
  /** Found once for each connection: see isCurrent. */
  readonly #scopeHandles = new WeakMap<ProxyNode, Handle<ProxyScope>>();
  readonly #snapshotHandles = new WeakMap<SnapshotKey, Handle<Snapshot>>();
  #builds = 0;

  constructor(options: ResourcesOptions) {
    const { graph, world, kinds, scopeOf } = options;
    this.#options = options;
    // What a generator has of its own is not what others are told of the type.
    const general = kinds.filter(({ generator }) => generator === undefined);
    this.#kinds = new Map(general.map((kind) => [typeUrlOf(kind.schema), kind]));
    this.#parts = new Map(
      kinds.map((kind) => {
        const { generator = '', shortName } = kind;
        const typeUrl = typeUrlOf(kind.schema);
        const parts = partsOf(kind).map((part) => ({
          kind,
          typeUrl,
          part,
          id: `${generator}${shortName}/${part.name}`,
        }));
        return [`${generator}/${typeUrl}`, parts] as const;
      }),
    );
    this.#scopes = graph.derived({
      name: 'scope',
      key: (node: ProxyNode) => JSON.stringify(node),
      compute: (node: ProxyNode) => scopeOf(world, node),
      // Equal keys mean equal scopes; the object itself stays, so that what hangs on it is found again.
      equal: (a, b) => sameScope(a as ProxyScope, b as ProxyScope),
    });
    this.#views = graph.derived({
      name: 'views',
      key: ({ typeUrl, scope }: ScopeKey) => `${this.shortName(typeUrl)}|${scope.key}`,
      compute: ({ typeUrl, scope }: ScopeKey) =>
        this.#partsOf(typeUrl, scope).map(({ part }) => part.viewOf(world, scope)),
      equal: (a, b) => sameViews(a as readonly ProxyScope[], b as readonly ProxyScope[]),
    });
    this.#names = graph.derived({
      name: 'names',
      key: ({ part, view }: PartKey) => `${part.id}|${view.key}`,
      compute: ({ part, view }: PartKey, previous: readonly string[] | undefined) =>
        this.#orPrevious(`names of ${part.typeUrl}`, previous, () => part.part.names(world, view)),
    });
    this.#resources = graph.derived<ResourceKey, BuiltResource | undefined>({
      name: 'resource',
      key: ({ part, view, name }) => `${part.id}|${view.key}|${name}`,
      compute: (key, previous) =>
        this.#orPrevious(`${key.part.typeUrl} ${key.name}`, previous, () => this.#build(key, previous)),
      equal: (a, b) => a === b,
    });
    this.#layers = graph.derived<LayerKey, Layer>({
      name: 'layer',
      key: ({ part, view, names }) => `${part.id}|${view.key}|${names?.id ?? '*'}`,
      compute: (key, previous) => this.#collect(key, previous),
      // A layer with the same resources is given back by #collect.
      equal: (a, b) => (a as Layer).resources === (b as Layer).resources,
    });
    this.#snapshots = graph.derived({
      name: 'snapshot',
      key: ({ typeUrl, scope, names }: SnapshotKey) =>
        `${this.shortName(typeUrl)}|${scope.key}|${names?.id ?? '*'}`,
      compute: (key: SnapshotKey) => this.#layered(key),
      equal: (a, b) => a === b,
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
    const outcome = this.#scopeHandle(node).attempt();
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  }

  /** The scope and the snapshots as they are, as far as nothing has to be computed for that. */
  see(node: ProxyNode, keys: Iterable<SnapshotKey>): SeenResources {
    return {
      scope: valueIfFresh(this.#scopeHandle(node)),
      snapshots: new Map(Array.from(keys, (key) => [key, valueIfFresh(this.#snapshotHandle(key))])),
    };
  }

  /**
   * Whether the scope and the snapshots of these keys are still what was seen: untouched, and the same objects, for
   * another connection that shares them may have looked at them since. Asked of every connection at each change,
   * so it is cheap for the same objects as before.
   */
  isCurrent(node: ProxyNode, { scope, snapshots }: SeenResources): boolean {
    if (!isCurrent(this.#scopeHandle(node), scope)) return false;
    for (const [key, snapshot] of snapshots)
      if (!isCurrent(this.#snapshotHandle(key), snapshot)) return false;
    return true;
  }

  #scopeHandle(node: ProxyNode): Handle<ProxyScope> {
    let handle = this.#scopeHandles.get(node);
    if (handle === undefined) this.#scopeHandles.set(node, (handle = this.#scopes.handle(node)));
    return handle;
  }

  #snapshotHandle(key: SnapshotKey): Handle<Snapshot> {
    let handle = this.#snapshotHandles.get(key);
    if (handle === undefined) this.#snapshotHandles.set(key, (handle = this.#snapshots.handle(key)));
    return handle;
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
    this.#nameSets.sweep();
    for (const [key, variants] of this.#variants) {
      if (variants.every((variant) => variant.deref() === undefined)) this.#variants.delete(key);
    }
  }

  /** How much is remembered beside the graph, for tests: it follows what is in use. */
  sizes(): { readonly nameSets: number; readonly variants: number } {
    return { nameSets: this.#nameSets.size, variants: this.#variants.size };
  }

  /** The one NameSet of these names. */
  nameSet(names: Iterable<string>): NameSet {
    return this.#nameSets.of(names);
  }

  /** The message behind an encoded resource. */
  decode(typeUrl: string, encoded: Encoded): Message {
    return fromBinary(this.#kind(typeUrl).schema, resourceValue(encoded.field));
  }

  schema(typeUrl: string): DescMessage {
    return this.#kind(typeUrl).schema;
  }

  /** Of the kind that the node's generator has for this type, else of everybody's. */
  #partsOf(typeUrl: string, { node }: ProxyScope): readonly KindPart[] {
    const parts = this.#parts.get(`${node.generator ?? ''}/${typeUrl}`) ?? this.#parts.get(`/${typeUrl}`);
    if (parts === undefined) throw new Error(`type ${typeUrl} is not served`);
    return parts;
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
    { part: { kind, typeUrl, part }, view, name }: ResourceKey,
    previous: BuiltResource | undefined,
  ): BuiltResource | undefined {
    const input = part.input(this.#options.world, view, name);
    if (input === undefined) {
      if (previous?.input === undefined && previous !== undefined) return previous;
      const encoded = emptyResource(typeUrl, name);
      return encoded === undefined ? undefined : { input, encoded };
    }
    if (previous !== undefined && structurallyEqual(previous.input, input)) return previous;
    const variants = this.#variantsOf(`${kind.generator ?? ''}${kind.shortName}|${name}`);
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
    const { parts, version } = encodeMessage(kind.schema, built.message);
    if (previous?.encoded.version === version) {
      if (structurallyEqual(previous.encoded.provenance, built.provenance)) return previous;
      // Where it comes from has changed, not what it says: the same bytes, so that nobody is sent it again.
      return { input, encoded: { ...previous.encoded, provenance: built.provenance } };
    }
    const field = encodeResourceField(typeUrl, ...parts);
    const facts = factsOf(built.message);
    if (parts.length === 1)
      return { input, encoded: { name: built.name, field, version, facts, provenance: built.provenance } };
    // What it was built of is kept for the next change anyway, so that its provenance can wait until it is asked for.
    const encoded: Encoded = {
      name: built.name,
      field,
      version,
      facts,
      get provenance() {
        return built.provenance;
      },
    };
    return { input, encoded };
  }

  /** What other scopes have under this name: they often differ in labels that do not count for it. */
  #variantsOf(key: string): WeakRef<BuiltResource>[] {
    const known = this.#variants.get(key)?.filter((variant) => variant.deref() !== undefined) ?? [];
    const variants = known.slice(-variantsMax);
    this.#variants.set(key, variants);
    return variants;
  }

  /** The parts' layers, one over the other. */
  #layered({ typeUrl, scope, names }: SnapshotKey): Snapshot {
    const views = this.#views.get({ typeUrl, scope });
    const layers = this.#partsOf(typeUrl, scope).flatMap((part, index) => {
      const view = views[index];
      return view === undefined ? [] : [this.#layers.get({ part, view, names }).resources];
    });
    return layerSnapshots(layers);
  }

  #collect({ part, view, names: wanted }: LayerKey, previous: Layer | undefined): Layer {
    const names = wanted?.names ?? this.#names.get({ part, view });
    const handles = this.#handlesOf({ part, view }, names, previous);
    const built: (Encoded | undefined)[] = [];
    let isSame = handles === previous?.handles;
    for (const handle of handles) {
      const outcome = handle.attempt();
      const resource = outcome.ok ? outcome.value : undefined;
      const isSent = resource !== undefined && (resource.input !== undefined || wanted !== undefined);
      const encoded = isSent ? resource.encoded : undefined;
      if (isSame && previous?.built[built.length] !== encoded) isSame = false;
      built.push(encoded);
    }
    if (isSame && previous !== undefined) return previous;
    const resources = new Map<string, Encoded>();
    for (const [index, encoded] of built.entries()) {
      const name = names[index];
      if (name !== undefined && encoded !== undefined) resources.set(name, encoded);
    }
    return { names, handles, built, resources };
  }

  /** Those of the layer before again, for to find one by its key takes longer than to ask it. Both are sorted. */
  #handlesOf(
    { part, view }: PartKey,
    names: readonly string[],
    previous: Layer | undefined,
  ): readonly Handle<BuiltResource | undefined>[] {
    if (previous?.names === names) return previous.handles;
    let index = 0;
    return names.map((name) => {
      const known = previous?.names ?? [];
      while (index < known.length && (known[index] ?? '') < name) index++;
      const handle = known[index] === name ? previous?.handles[index] : undefined;
      return handle ?? this.#resources.handle({ part, view, name });
    });
  }
}

/** What one part gives for one view and the names that are asked for. */
interface Layer {
  readonly names: readonly string[];
  /** One for each name, and what it gave. */
  readonly handles: readonly Handle<BuiltResource | undefined>[];
  readonly built: readonly (Encoded | undefined)[];
  readonly resources: Snapshot;
}

function valueIfFresh<T>(handle: Handle<T>): T | undefined {
  const outcome = handle.isFresh ? handle.attempt() : undefined;
  return outcome?.ok === true ? outcome.value : undefined;
}

function isCurrent<T>(handle: Handle<T>, seen: T | undefined): boolean {
  return handle.isFresh && valueIfFresh(handle) === seen;
}

/** Versions of one resource that are compared with a new one. */
const variantsMax = 16;

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

function sameScope(a: ProxyScope | undefined, b: ProxyScope | undefined): boolean {
  return a?.key === b?.key;
}

function sameViews(a: readonly (ProxyScope | undefined)[], b: readonly (ProxyScope | undefined)[]): boolean {
  return a.length === b.length && a.every((view, index) => sameScope(view, b[index]));
}
