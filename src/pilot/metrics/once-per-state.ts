// Values that take long to work out and are asked for more often than anything changes: once for each state.

/**
 * Calls `compute` only where `state` says something else than at the last call. `state` must be cheap, and change
 * with everything that `compute` looks at. What throws is not remembered.
 */
export function oncePerState<Value>(state: () => string, compute: () => Value): () => Value {
  let known: { readonly state: string; readonly value: Value } | undefined;
  return () => {
    const now = state();
    if (known?.state !== now) known = { state: now, value: compute() };
    return known.value;
  };
}
