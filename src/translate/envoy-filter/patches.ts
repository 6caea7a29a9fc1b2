// The patches that EnvoyFilters have for one proxy, and the messages that they bring.
import type { DescMessage, Message, MessageShape } from '@bufbuild/protobuf';
import { clone } from '@bufbuild/protobuf';
import { mergeMessage } from '../../api/merge.ts';
import type { ApplyTo } from '../../config/envoy-filter/patch-value.ts';
import { patchedMessages, readPatchValue } from '../../config/envoy-filter/patch-value.ts';
import type { EnvoyPatch, PatchContext } from '../../config/envoy-filter/select.ts';
import { selectPatches } from '../../config/envoy-filter/select.ts';
import type { EnvoyFilterConfig } from '../../config/config.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';

/** EnvoyFilters that may reach proxies of a namespace: the root namespace's, and its own. */
export function envoyFiltersNear(world: World, namespace: string): readonly EnvoyFilterConfig[] {
  const { rootNamespace } = world.meshConfig();
  const own = namespace === rootNamespace ? [] : world.envoyFilters(namespace);
  return [...world.envoyFilters(rootNamespace), ...own];
}

/** A group of patches that are asked for together; the name is that of the group. */
export interface PatchGroup {
  readonly name: string;
  readonly applyTo: readonly ApplyTo[];
}

/** The patches of one proxy, of one group, in their order. */
export function patchesOf(world: World, scope: ProxyScope, group: PatchGroup): readonly EnvoyPatch[] {
  // Asked once a resource: the group is filtered out once.
  return world.derive(`envoy-patches/${group.name}/${scope.key}`, () =>
    allPatches(world, scope).filter(({ applyTo }) => group.applyTo.includes(applyTo)),
  );
}

function allPatches(world: World, scope: ProxyScope): readonly EnvoyPatch[] {
  return world.derive(`envoy-patches/${scope.key}`, () => {
    const { namespace, labels, istioVersion, metadata = {} } = scope.node;
    const filters = envoyFiltersNear(world, namespace);
    if (filters.length === 0) return [];
    const { rootNamespace } = world.meshConfig();
    return selectPatches(filters, rootNamespace, { namespace, labels, istioVersion, metadata });
  });
}

export function matchesContext(patch: EnvoyPatch, context: PatchContext): boolean {
  return patch.context === context || patch.context === 'ANY';
}

/**
 * Where something is added that no context is asked for: what has no context of its own is added once, for
 * outbound traffic, and not a second time for inbound.
 */
export function addsIn(patch: EnvoyPatch, scope: ProxyScope): boolean {
  if (patch.operation !== 'ADD') return false;
  if (patch.context === 'ANY') return true;
  return (patch.context === 'GATEWAY') === (scope.node.type === 'router');
}

// The value is the user's object, which stays the same one until it changes: it is read once.
const values = new WeakMap<object, Message>();

/** A new copy of the message of a patch; undefined where validation should have refused it. */
export function valueOf<Desc extends DescMessage>(
  desc: Desc,
  patch: EnvoyPatch,
): MessageShape<Desc> | undefined {
  const { value } = patch;
  if (typeof value !== 'object' || value === null) return undefined;
  let message = values.get(value);
  if (message === undefined) {
    message = readPatchValue(patchedMessages[patch.applyTo], value, !isMerge(patch)).message;
    if (message === undefined) return undefined;
    values.set(value, message);
  }
  return message.$typeName === desc.typeName ? clone(desc, message as MessageShape<Desc>) : undefined;
}

export function isMerge({ operation }: EnvoyPatch): boolean {
  return operation === 'MERGE' || operation === 'MERGE_AND_REPLACE_LIST';
}

/** MERGE, or MERGE_AND_REPLACE_LIST: `value` over `into`. */
export function mergeValue<Desc extends DescMessage>(
  desc: Desc,
  patch: EnvoyPatch,
  into: MessageShape<Desc>,
  value: MessageShape<Desc>,
): void {
  mergeMessage(desc, into, value, { replaceLists: patch.operation === 'MERGE_AND_REPLACE_LIST' });
}
