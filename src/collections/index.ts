// The incremental engine. Start at Graph; see docs/decisions for why it is ours.
export { Graph, DerivationError } from './graph.ts';
export type { Derived, DerivedOptions, GraphOptions, Handle, Hold, Outcome } from './graph.ts';
export { Collection, Input } from './collection.ts';
export { Index } from './collection-index.ts';
export type { Equal } from './host.ts';
export { CycleError } from './node.ts';
export { bytesEqual, structurallyEqual } from './equal.ts';
