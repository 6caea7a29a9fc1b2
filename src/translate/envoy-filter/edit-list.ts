// Patches that add to lists in which the order counts, replace in them or take away.
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';

export interface ListEdit<Item> {
  readonly patch: EnvoyPatch;
  /** Whether the patch names an item of the list. */
  readonly isAimed: boolean;
  readonly matches: (item: Item) => boolean;
  /** The new item; undefined where the patch brings none. */
  readonly make: () => Item | undefined;
}

/**
 * Edits the list in place. What is inserted without naming an item goes to the end (INSERT_AFTER) or the
 * beginning (INSERT_BEFORE); what names one that is not there does nothing, nor does REPLACE or REMOVE
 * without a name. The first item that matches counts, for REMOVE all.
 * Source: Istio `patchListenerFilters`, `patchNetworkFilters`, `patchHTTPFilters`.
 */
export function editList<Item>(items: Item[], { patch, isAimed, matches, make }: ListEdit<Item>): void {
  const index = isAimed ? items.findIndex(matches) : -1;
  const insert = (at: number, replaced = 0): void => {
    const item = make();
    if (item !== undefined) items.splice(at, replaced, item);
  };
  switch (patch.operation) {
    case 'ADD':
      insert(items.length);
      break;
    case 'INSERT_FIRST':
      insert(0);
      break;
    case 'INSERT_AFTER':
      if (!isAimed) insert(items.length);
      else if (index >= 0) insert(index + 1);
      break;
    case 'INSERT_BEFORE':
      if (!isAimed) insert(0);
      else if (index >= 0) insert(index);
      break;
    case 'REPLACE':
      if (index >= 0) insert(index, 1);
      break;
    case 'REMOVE':
      if (isAimed)
        for (let at = items.length - 1; at >= 0; at--) if (isMatch(items, at, matches)) items.splice(at, 1);
      break;
    case 'MERGE':
    case 'MERGE_AND_REPLACE_LIST':
    case 'INVALID':
      break;
    default:
      patch.operation satisfies never;
  }
}

function isMatch<Item>(items: readonly Item[], at: number, matches: (item: Item) => boolean): boolean {
  const item = items[at];
  return item !== undefined && matches(item);
}
