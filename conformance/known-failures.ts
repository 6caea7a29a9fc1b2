// Steps that a target cannot do yet, with the reason. A listed step that passes is a failure: take it out.

/** `target case › step` -> why. */
export const knownFailures: Readonly<Record<string, string>> = {};
