// A kind of resource with the patches of EnvoyFilters over it.
import type { DescMessage } from '@bufbuild/protobuf';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import type { Built, ProxyScope, ResourceKind, ResourcePart } from '../resource.ts';
import { kindOfParts, partsOf } from '../resource.ts';
import type { World } from '../world.ts';

/** What patches add to the input of a resource; nothing where no patch is about it. */
export interface PatchNotes<Extra> {
  readonly envoyPatches?: readonly EnvoyPatch[];
  readonly envoyExtra?: Extra;
}

export interface Patching<Input, Extra, Desc extends DescMessage> {
  /** The patches of this proxy that can be about resources of the kind; none: nothing is patched. */
  readonly patches: (world: World, scope: ProxyScope) => readonly EnvoyPatch[];
  /** What concerns this resource. */
  readonly select: (
    world: World,
    scope: ProxyScope,
    name: string,
    input: Input,
    patches: readonly EnvoyPatch[],
  ) => Selection<Extra>;
  readonly build: (
    built: Built<Desc>,
    patches: readonly EnvoyPatch[],
    extra: Extra | undefined,
  ) => Built<Desc>;
}

export type Selection<Extra> =
  | { readonly kind: 'unpatched' }
  /** A patch takes the resource away. */
  | { readonly kind: 'removed' }
  | { readonly kind: 'patched'; readonly patches: readonly EnvoyPatch[]; readonly extra?: Extra };

/** The kind as EnvoyFilters leave it; names of what they take away are gone. */
export function patchedKind<Input extends object, Extra, Desc extends DescMessage>(
  kind: ResourceKind<Input, Desc>,
  patching: Patching<Input, Extra, Desc>,
): ResourceKind<Input & PatchNotes<Extra>, Desc> {
  const { schema, shortName } = kind;
  return kindOfParts<Input & PatchNotes<Extra>, Desc>(
    {
      schema,
      shortName,
      build(input) {
        const { envoyPatches, envoyExtra } = input;
        const built = kind.build(input);
        return envoyPatches === undefined ? built : patching.build(built, envoyPatches, envoyExtra);
      },
    },
    partsOf(kind).map((part) => patchedPart(part, patching)),
  );
}

/** What the part depends on must say by which patches the proxy is chosen (`PatchedProxy`). */
function patchedPart<Input extends object, Extra, Desc extends DescMessage>(
  part: ResourcePart<Input>,
  patching: Patching<Input, Extra, Desc>,
): ResourcePart<Input & PatchNotes<Extra>> {
  return {
    name: part.name,
    viewOf: (world, scope) => part.viewOf(world, scope),
    names(world, scope) {
      const names = part.names(world, scope);
      const patches = patching.patches(world, scope);
      if (!patches.some(({ operation }) => operation === 'REMOVE')) return names;
      return names.filter((name) => {
        const input = part.input(world, scope, name);
        return input === undefined || patching.select(world, scope, name, input, patches).kind !== 'removed';
      });
    },
    input(world, scope, name) {
      const input = part.input(world, scope, name);
      const patches = patching.patches(world, scope);
      if (input === undefined || patches.length === 0) return input;
      const selection = patching.select(world, scope, name, input, patches);
      if (selection.kind === 'removed') return undefined;
      if (selection.kind === 'unpatched') return input;
      const { patches: envoyPatches, extra: envoyExtra } = selection;
      return { ...input, envoyPatches, ...(envoyExtra === undefined ? {} : { envoyExtra }) };
    },
  };
}

/** A resource that a patch brings. */
export interface AddedInput {
  readonly addedBy: EnvoyPatch;
}

/** The kind with further resources: the first patch of a name counts, and what is there already. */
export function withAdded<Input extends object, Desc extends DescMessage>(
  kind: ResourceKind<Input, Desc>,
  added: (world: World, scope: ProxyScope) => ReadonlyMap<string, EnvoyPatch>,
  build: (patch: EnvoyPatch) => Built<Desc> | undefined,
): ResourceKind<Input | AddedInput, Desc> {
  const { schema, shortName } = kind;
  return kindOfParts<Input | AddedInput, Desc>(
    {
      schema,
      shortName,
      build(input) {
        if (!isAdded(input)) return kind.build(input);
        const built = build(input.addedBy);
        if (built === undefined) throw new Error('a patch that brings a resource cannot be read any more');
        return built;
      },
    },
    [
      ...partsOf(kind),
      {
        name: 'added',
        viewOf: (world, scope) => (added(world, scope).size === 0 ? undefined : scope),
        names: (world, scope) => [...added(world, scope).keys()].sort(),
        input(world, scope, name) {
          const addedBy = added(world, scope).get(name);
          return addedBy === undefined ? undefined : { addedBy };
        },
      },
    ],
  );
}

function isAdded(input: object): input is AddedInput {
  return 'addedBy' in input;
}
