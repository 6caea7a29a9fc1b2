// StringMatches as sets of texts: whether one takes everything that another takes.
import type { Automaton } from './automaton.ts';
import { anyText, areDisjoint, buildAutomaton, isPartOf, mayNotAsk } from './automaton.ts';
import { charSet } from './char-set.ts';
import type { RegexNode } from './regex-parser.ts';
import { parseRegex } from './regex-parser.ts';

/** What a text must be. `any`: anything at all. */
export type TextMatch =
  | { readonly kind: 'any' }
  | { readonly kind: 'exact' | 'prefix'; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'regex'; readonly text: string };

/** Whether `outer` takes every text that `inner` takes. False also where it cannot be told. */
export function takesAll(outer: TextMatch, inner: TextMatch): boolean {
  if (outer.kind === 'any') return true;
  if (outer.kind === 'regex' || inner.kind === 'regex') {
    if (outer.kind === 'regex' && inner.kind === 'regex' && outer.text === inner.text) return true;
    return ask(inner, outer, isPartOf);
  }
  if (inner.kind === 'any') return outer.kind === 'prefix' && outer.text === '';
  const fold = (text: string): string => (outer.ignoreCase ? lowerAscii(text) : text);
  // Where the inner one takes both cases and the outer one does not, letters make the difference.
  if (inner.ignoreCase && !outer.ignoreCase && /[A-Za-z]/.test(outer.text)) return false;
  if (outer.kind === 'exact') return inner.kind === 'exact' && fold(inner.text) === fold(outer.text);
  return fold(inner.text).startsWith(fold(outer.text));
}

/** Whether no text is taken by both. False also where it cannot be told. */
export function takeNothingTogether(a: TextMatch, b: TextMatch): boolean {
  if (a.kind === 'any' || b.kind === 'any') return false;
  return ask(a, b, areDisjoint);
}

function ask(
  a: TextMatch,
  b: TextMatch,
  question: (a: Automaton, b: Automaton) => boolean | undefined,
): boolean {
  if (mayNotAsk()) return false;
  const first = automatonOf(a);
  const second = first === undefined ? undefined : automatonOf(b);
  return first !== undefined && second !== undefined && question(first, second) === true;
}

/** Only memory: the same few expressions are compared with each other again and again. */
const known = new Map<string, Automaton | undefined>();
const knownMax = 2000;

function automatonOf(match: TextMatch): Automaton | undefined {
  const key =
    match.kind === 'any'
      ? 'any'
      : `${match.kind}${'ignoreCase' in match && match.ignoreCase ? '~' : '='}${match.text}`;
  if (known.has(key)) return known.get(key);
  const node = nodeOf(match);
  const automaton = node === undefined ? undefined : buildAutomaton(node);
  if (known.size >= knownMax) known.clear();
  known.set(key, automaton);
  return automaton;
}

function nodeOf(match: TextMatch): RegexNode | undefined {
  switch (match.kind) {
    case 'any':
      return anyText;
    case 'regex':
      return parseRegex(match.text);
    case 'exact':
      return literal(match.text, match.ignoreCase);
    case 'prefix':
    default:
      return { kind: 'sequence', items: [literal(match.text, match.ignoreCase), anyText] };
  }
}

function literal(text: string, ignoreCase: boolean): RegexNode {
  return {
    kind: 'sequence',
    items: Array.from(text).map((character) => {
      const codes =
        ignoreCase && /^[A-Za-z]$/.test(character)
          ? [character.toLowerCase(), character.toUpperCase()]
          : [character];
      return {
        kind: 'chars',
        set: charSet(codes.map((one) => [one.codePointAt(0) ?? 0, one.codePointAt(0) ?? 0] as const)),
      };
    }),
  };
}

/** Envoy compares ASCII letters alone without regard to case. */
function lowerAscii(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
