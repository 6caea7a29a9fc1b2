// Steps that a target cannot do yet, with the reason. A listed step that passes is a failure: take it out.

/** `target case › step` -> why. */
export const knownFailures: Readonly<Record<string, string>> = {
  'proxy envoy-filter-http › Lua, a filter whose settings come by name, and merged settings':
    'our own proxy has neither Lua nor discovered filter settings: it refuses the listener, by name',
};
