// Memory of values that follow from an object and a key: no state, for the same object and key always mean the same.

const entriesPerObjectMax = 64;

/**
 * The value that `compute` gave for this object and key before, else a new one. `key` must say everything
 * that the value depends on beside the object. Equal values are then the same object, so that whoever
 * compares or builds them later need not look into unchanged ones.
 */
export function remembered<Holder extends object, Value>(
  memory: WeakMap<Holder, Map<string, Value>>,
  holder: Holder,
  key: string,
  compute: () => Value,
): Value {
  let entries = memory.get(holder);
  if (entries === undefined) {
    entries = new Map();
    memory.set(holder, entries);
  }
  const known = entries.get(key);
  if (known !== undefined) return known;
  if (entries.size >= entriesPerObjectMax) entries.clear();
  const value = compute();
  entries.set(key, value);
  return value;
}
