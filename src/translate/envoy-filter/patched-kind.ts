// A kind of resource with the patches of EnvoyFilters over it.
import type { DescMessage } from '@bufbuild/protobuf';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import type { Built, ProxyScope, ResourceKind } from '../resource.ts';
import type { World } from '../world.ts';

/** What a patched resource is built from. Resources that no patch is about keep the input of their kind. */
export interface Patched<Input, Extra> {
  /** Absent: the resource is a patch's own. */
  readonly base?: Input;
  readonly envoyPatches: readonly EnvoyPatch[];
  readonly extra?: Extra;
}

export interface Patching<Input, Extra, Desc extends DescMessage> {
  /** The patches of this proxy that can be about resources of the kind; none: nothing is patched. */
  readonly patches: (world: World, scope: ProxyScope) => readonly EnvoyPatch[];
  /** Resources that patches bring, by name: the first of a name counts, and one that is there before. */
  readonly added: (scope: ProxyScope, patches: readonly EnvoyPatch[]) => ReadonlyMap<string, EnvoyPatch>;
  /** What concerns this resource. */
  readonly select: (
    world: World,
    scope: ProxyScope,
    name: string,
    base: Input,
    patches: readonly EnvoyPatch[],
  ) => Selection<Extra>;
  readonly build: (built: Built<Desc>, input: Patched<Input, Extra>) => Built<Desc>;
  readonly buildAdded: (patch: EnvoyPatch) => Built<Desc> | undefined;
}

export type Selection<Extra> =
  | { readonly kind: 'unpatched' }
  /** A patch takes the resource away. */
  | { readonly kind: 'removed' }
  | { readonly kind: 'patched'; readonly patches: readonly EnvoyPatch[]; readonly extra?: Extra };

/** The kind as EnvoyFilters leave it. Names of what is taken away are gone, those of what is added are there. */
export function patchedKind<Input extends object, Extra, Desc extends DescMessage>(
  kind: ResourceKind<Input, Desc>,
  patching: Patching<Input, Extra, Desc>,
): ResourceKind<Input | Patched<Input, Extra>, Desc> {
  return {
    schema: kind.schema,
    shortName: kind.shortName,
    names(world, scope) {
      const names = kind.names(world, scope);
      const patches = patching.patches(world, scope);
      if (patches.length === 0) return names;
      const removes = patches.some(({ operation }) => operation === 'REMOVE');
      const left = removes
        ? names.filter((name) => {
            const base = kind.input(world, scope, name);
            if (base === undefined) return true;
            return patching.select(world, scope, name, base, patches).kind !== 'removed';
          })
        : names;
      const known = new Set(names);
      const added = [...patching.added(scope, patches).keys()].filter((name) => !known.has(name));
      return added.length === 0 ? left : [...left, ...added].sort();
    },
    input(world, scope, name) {
      const base = kind.input(world, scope, name);
      const patches = patching.patches(world, scope);
      if (patches.length === 0) return base;
      if (base === undefined) {
        const patch = patching.added(scope, patches).get(name);
        return patch === undefined ? undefined : { envoyPatches: [patch] };
      }
      const selection = patching.select(world, scope, name, base, patches);
      if (selection.kind === 'removed') return undefined;
      if (selection.kind === 'unpatched') return base;
      const { patches: envoyPatches, extra } = selection;
      return { base, envoyPatches, ...(extra === undefined ? {} : { extra }) };
    },
    build(input) {
      if (!isPatched<Input, Extra>(input)) return kind.build(input);
      const { base, envoyPatches } = input;
      if (base !== undefined) return patching.build(kind.build(base), input);
      const [patch] = envoyPatches;
      const built = patch === undefined ? undefined : patching.buildAdded(patch);
      if (built === undefined) throw new Error('a patch that brings a resource cannot be read any more');
      return built;
    },
  };
}

function isPatched<Input, Extra>(input: object): input is Patched<Input, Extra> {
  return 'envoyPatches' in input;
}
