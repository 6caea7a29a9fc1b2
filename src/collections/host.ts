// What collections need of the graph that they belong to.
import type { Tracker } from './node.ts';

export type Equal = (a: unknown, b: unknown) => boolean;

/** A collection with rows to compute. */
export interface Drained {
  readonly level: number;
  drain(): void;
}

/** What a collection needs of the graph that it belongs to. */
export interface Host {
  readonly tracker: Tracker;
  /** Gives the next order: a collection may read only collections of a lower one. */
  nextOrder(): number;
  /** Asks for `collection.drain()` before the current batch ends. */
  pending(collection: Drained): void;
  /** Asks for `collection.drain()` at the end of the next batch. */
  again(collection: Drained): void;
  /** Runs `write` as (part of) a batch. Throws inside a derivation. */
  write(write: () => void): void;
  /** Reports what a row's derivation threw. */
  failed(label: string, error: unknown): void;
}
