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
  /** Every resource of this type that a wildcard subscriber with this scope gets, sorted. */
  names(world: World, scope: ProxyScope): readonly string[];
  /** Everything that `build` needs; undefined if there is no such resource. */
  input(world: World, scope: ProxyScope, name: string): Input | undefined;
  /** Pure: equal inputs give equal bytes. */
  build(input: Input): Built<Desc>;
}
