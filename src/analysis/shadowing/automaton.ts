// Sets of texts as automata, and the two questions about them: is one part of the other, have they a text in common.
// Both are decided exactly, or not at all once they would take too long.
import type { CharSet } from './char-set.ts';
import { anyChar } from './char-set.ts';
import type { RegexNode } from './regex-parser.ts';

interface Edge {
  readonly set: CharSet;
  readonly to: number;
}

/** Nondeterministic, with moves that take no character. */
export interface Automaton {
  /** By state: characters, and where they lead. */
  readonly edges: readonly (readonly Edge[])[];
  /** By state: where it leads without a character. */
  readonly jumps: readonly (readonly number[])[];
  readonly start: number;
  readonly end: number;
}

/** States of one automaton; larger expressions are not looked into. */
const statesMax = 1500;
/** Pairs of states that one question may look at. */
const pairsMax = 10_000;
/** States that all questions of one run may touch, a few seconds: thousands of expressions make millions of pairs. */
const touchedMax = 10_000_000;
let touched = 0;

/** Whether the run has had its share: nothing more is told. */
export function mayNotAsk(): boolean {
  return touched > touchedMax;
}

/** A new run begins: it has the whole of `touchedMax` before it. */
export function startQuestions(): void {
  touched = 0;
}

export const anyText: RegexNode = {
  kind: 'repeat',
  item: { kind: 'chars', set: anyChar },
  min: 0,
  max: undefined,
};

/** Undefined where it would be too large. */
export function buildAutomaton(node: RegexNode): Automaton | undefined {
  const builder = new Builder();
  const start = builder.state();
  const end = builder.add(node, start);
  touched += builder.edges.length;
  return builder.isTooLarge ? undefined : { edges: builder.edges, jumps: builder.jumps, start, end };
}

/** Whether every text of `inner` is one of `outer`; undefined where that would take too long to tell. */
export function isPartOf(inner: Automaton, outer: Automaton): boolean | undefined {
  touched += inner.edges.length + outer.edges.length;
  const samples = samplesOf(inner, outer);
  return search(
    inner,
    outer,
    samples,
    (isInnerEnd, outerStates) => isInnerEnd && !outerStates.has(outer.end),
    true,
  );
}

/** Whether no text is in both; undefined where that would take too long to tell. */
export function areDisjoint(a: Automaton, b: Automaton): boolean | undefined {
  touched += a.edges.length + b.edges.length;
  const samples = samplesOf(a, b);
  return search(a, b, samples, (isEnd, states) => isEnd && states.has(b.end), false);
}

class Builder {
  readonly edges: Edge[][] = [];
  readonly jumps: number[][] = [];
  isTooLarge = false;

  state(): number {
    this.edges.push([]);
    this.jumps.push([]);
    if (this.edges.length > statesMax) this.isTooLarge = true;
    return this.edges.length - 1;
  }

  /** Puts `node` after the state `from`, and returns the state after it. */
  add(node: RegexNode, from: number): number {
    if (this.isTooLarge) return from;
    switch (node.kind) {
      case 'chars': {
        const to = this.state();
        this.edges[from]?.push({ set: node.set, to });
        return to;
      }
      case 'sequence':
        return node.items.reduce((at, item) => this.add(item, at), from);
      case 'choice': {
        const to = this.state();
        for (const item of node.items) {
          const start = this.state();
          this.jumps[from]?.push(start);
          this.jumps[this.add(item, start)]?.push(to);
        }
        return to;
      }
      case 'repeat':
      default:
        return this.#repeat(node, from);
    }
  }

  #repeat({ item, min, max }: RegexNode & { kind: 'repeat' }, from: number): number {
    let at = from;
    for (let count = 0; count < min && !this.isTooLarge; count++) at = this.add(item, at);
    const to = this.state();
    this.jumps[at]?.push(to);
    if (max === undefined) {
      const start = this.state();
      this.jumps[to]?.push(start);
      this.jumps[this.add(item, start)]?.push(to);
      return to;
    }
    for (let count = min; count < max && !this.isTooLarge; count++) {
      at = this.add(item, at);
      this.jumps[at]?.push(to);
    }
    return to;
  }
}

/** One character of every class that the two automata tell apart, in order. */
function samplesOf(...automata: readonly Automaton[]): readonly number[] {
  const samples = new Set<number>([0]);
  for (const { edges } of automata)
    for (const edge of edges.flat()) for (const [first, last] of edge.set) samples.add(first).add(last + 1);
  return [...samples].sort((a, b) => a - b);
}

/**
 * Goes through the pairs of one state of `a` and the set of states of `b` that the same text leads to. False as
 * soon as one is `bad`, true if none is. `withDeadEnds`: pairs that `b` has no state for are looked at, too.
 */
function search(
  a: Automaton,
  b: Automaton,
  samples: readonly number[],
  isBad: (isEnd: boolean, states: ReadonlySet<number>) => boolean,
  withDeadEnds: boolean,
): boolean | undefined {
  const seen = new Set<string>();
  const open: { readonly state: number; readonly others: ReadonlySet<number> }[] = [];
  const visit = (state: number, others: ReadonlySet<number>): void => {
    if (others.size === 0 && !withDeadEnds) return;
    touched += 1 + others.size;
    const key = `${state}/${[...others].sort((x, y) => x - y).join(',')}`;
    if (seen.has(key)) return;
    seen.add(key);
    open.push({ state, others });
  };
  visit(a.start, closure(b, [b.start]));
  for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
    if (seen.size > pairsMax || touched > touchedMax) return undefined;
    const { state, others } = pair;
    if (isBad(state === a.end, others)) return false;
    for (const next of a.jumps[state] ?? []) visit(next, others);
    const steps = new Map<number, ReadonlySet<number>>();
    for (const { set, to } of a.edges[state] ?? [])
      for (const sample of samples) {
        if (!has(set, sample)) continue;
        let after = steps.get(sample);
        if (after === undefined) {
          after = step(b, others, sample);
          steps.set(sample, after);
        }
        visit(to, after);
      }
  }
  return true;
}

function step(automaton: Automaton, states: ReadonlySet<number>, character: number): ReadonlySet<number> {
  const next: number[] = [];
  touched += states.size;
  for (const state of states)
    for (const { set, to } of automaton.edges[state] ?? []) if (has(set, character)) next.push(to);
  return closure(automaton, next);
}

function closure({ jumps }: Automaton, states: readonly number[]): ReadonlySet<number> {
  const all = new Set(states);
  // A set that grows while it is gone through is gone through to its end.
  for (const state of all) for (const next of jumps[state] ?? []) all.add(next);
  return all;
}

function has(set: CharSet, character: number): boolean {
  return set.some(([first, last]) => first <= character && character <= last);
}
