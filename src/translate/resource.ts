// The shape that every kind of resource is made in: scope looks around (recorded), build is pure.
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { Origin } from '../model/origin.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { World } from './world.ts';

/** Where one part of a resource came from. */
export interface Provenance {
  /** Proto field path within the resource, such as `virtualHosts[0].routes[2]`; empty: all of it. */
  readonly at: string;
  readonly origin: Origin;
}

export interface Built<Desc extends DescMessage = DescMessage> {
  readonly name: string;
  readonly message: MessageShape<Desc>;
  readonly provenance: readonly Provenance[];
}

/**
 * What of a node its configuration depends on. Nodes with equal scopes share every resource, so
 * leave out whatever does not count (the pod's name, and labels that no selector mentions).
 */
export interface ProxyScope {
  /** Equal for equal scopes. */
  readonly key: string;
  readonly node: ProxyNode;
}

/** One type of resource. `Input` is plain data, compared by structure: it is the cache key of `build`. */
export interface ResourceKind<Input, Desc extends DescMessage> {
  readonly schema: Desc;
  /** `CDS`, `EDS`, `LDS` or `RDS`. */
  readonly shortName: string;
  /** Metadata GENERATOR of the nodes for which it is the kind of its type; absent: of all for which there is no other. */
  readonly generator?: string;
  /** Every resource of this type that a wildcard subscriber with this scope gets, sorted. */
  names(world: World, scope: ProxyScope): readonly string[];
  /** Everything that `build` needs; undefined if there is no such resource. */
  input(world: World, scope: ProxyScope, name: string): Input | undefined;
  /** Pure: equal inputs give equal bytes. */
  build(input: Input): Built<Desc>;
  /**
   * What `names` and `input` are put together of (see `kindOfParts`); absent: one part, which depends on the whole
   * scope. The engine keeps a part once for all scopes that are the same to it.
   */
  readonly parts?: readonly ResourcePart<Input>[];
}

/** The resources of a kind that depend on the same of a proxy: what it may call, or what it is. */
export interface ResourcePart<Input> {
  /** Unique within the kind; short, as it stands in keys. */
  readonly name: string;
  /** What of a scope counts for this part; undefined where the proxy has none of it. */
  viewOf(world: World, scope: ProxyScope): ProxyScope | undefined;
  /** Sorted. `view` is what `viewOf` gave, here and below. */
  names(world: World, view: ProxyScope): readonly string[];
  input(world: World, view: ProxyScope, name: string): Input | undefined;
}

/** A kind put together of parts. Of a name that two of them have, the first part's resource counts. */
export function kindOfParts<Input, Desc extends DescMessage>(
  kind: Pick<ResourceKind<Input, Desc>, 'schema' | 'shortName' | 'build'>,
  parts: readonly ResourcePart<Input>[],
): ResourceKind<Input, Desc> & { readonly parts: readonly ResourcePart<Input>[] } {
  return {
    schema: kind.schema,
    shortName: kind.shortName,
    parts,
    names(world, scope) {
      const names = parts.flatMap((part) => {
        const view = part.viewOf(world, scope);
        return view === undefined ? [] : part.names(world, view);
      });
      return [...new Set(names)].sort();
    },
    input(world, scope, name) {
      for (const part of parts) {
        const view = part.viewOf(world, scope);
        const input = view === undefined ? undefined : part.input(world, view, name);
        if (input !== undefined) return input;
      }
      return undefined;
    },
    build: (input) => kind.build(input),
  };
}

/** The parts of any kind. */
export function partsOf<Input, Desc extends DescMessage>(
  kind: ResourceKind<Input, Desc>,
): readonly ResourcePart<Input>[] {
  return (
    kind.parts ?? [
      {
        name: '',
        viewOf: (_world, scope) => scope,
        names: (world, scope) => kind.names(world, scope),
        input: (world, scope, name) => kind.input(world, scope, name),
      },
    ]
  );
}
