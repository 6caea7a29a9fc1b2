// Regular expressions of RE2 as trees, as far as they describe a set of texts in simple terms. What is not
// understood for certain gives undefined: then nothing is claimed of the expression.
import type { CharSet, Range } from './char-set.ts';
import { anyChar, charSet, complement } from './char-set.ts';

export type RegexNode =
  | { readonly kind: 'chars'; readonly set: CharSet }
  | { readonly kind: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly kind: 'choice'; readonly items: readonly RegexNode[] }
  /** `max` undefined: without end. */
  | {
      readonly kind: 'repeat';
      readonly item: RegexNode;
      readonly min: number;
      readonly max: number | undefined;
    };

/** The texts that match as a whole. Flags, word boundaries, Unicode classes and the like are not understood. */
export function parseRegex(pattern: string): RegexNode | undefined {
  try {
    return new RegexParser(pattern).parse();
  } catch (error) {
    if (error instanceof NotUnderstood) return undefined;
    throw error;
  }
}

class NotUnderstood extends Error {}

/** RE2's own limit on counted repetition. */
const repeatMax = 1000;
/** Groups within groups. */
const depthMax = 50;

class RegexParser {
  readonly #text: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#text = Array.from(pattern);
  }

  parse(): RegexNode {
    const node = this.#choice();
    if (this.#at < this.#text.length) throw new NotUnderstood();
    return node;
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #take(expected: string): boolean {
    if (this.#peek() !== expected) return false;
    this.#at++;
    return true;
  }

  #choice(): RegexNode {
    const items = [this.#sequence()];
    while (this.#take('|')) items.push(this.#sequence());
    return items.length === 1 && items[0] !== undefined ? items[0] : { kind: 'choice', items };
  }

  #sequence(): RegexNode {
    const items: RegexNode[] = [];
    // The whole text is matched anyway, so that at its ends these change nothing.
    if (this.#depth === 0) while (this.#take('^'));
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      if (next === '$' && this.#depth === 0) {
        while (this.#take('$'));
        const end = this.#peek();
        if (end !== undefined && end !== '|') throw new NotUnderstood();
        break;
      }
      items.push(this.#repeated(this.#atom()));
    }
    return { kind: 'sequence', items };
  }

  #repeated(item: RegexNode): RegexNode {
    const bounds = this.#bounds();
    if (bounds === undefined) return item;
    // `*?` matches the same texts as `*`; `**` is no expression.
    this.#take('?');
    if (['*', '+', '?'].includes(this.#peek() ?? '') || this.#bounds() !== undefined)
      throw new NotUnderstood();
    return { kind: 'repeat', item, ...bounds };
  }

  #bounds(): { readonly min: number; readonly max: number | undefined } | undefined {
    if (this.#take('*')) return { min: 0, max: undefined };
    if (this.#take('+')) return { min: 1, max: undefined };
    if (this.#take('?')) return { min: 0, max: 1 };
    if (this.#peek() !== '{') return undefined;
    const rest = this.#text.slice(this.#at, this.#at + 12).join('');
    const counted = /^\{(\d{1,4})(,(\d{1,4})?)?\}/.exec(rest);
    // A brace that counts nothing stands for itself.
    if (counted === null) return undefined;
    const min = Number(counted[1]);
    const max = counted[2] === undefined ? min : counted[3] === undefined ? undefined : Number(counted[3]);
    if (min > repeatMax || (max ?? min) > repeatMax || (max !== undefined && max < min))
      throw new NotUnderstood();
    this.#at += counted[0].length;
    return { min, max };
  }

  #atom(): RegexNode {
    const next = this.#text[this.#at++] ?? '';
    switch (next) {
      case '.':
        return { kind: 'chars', set: anyChar };
      case '(':
        return this.#group();
      case '[':
        return { kind: 'chars', set: this.#class() };
      case '\\':
        return { kind: 'chars', set: this.#escape() };
      case '*':
      case '+':
      case '?':
      case '^':
      case '$':
        throw new NotUnderstood();
      default:
        return { kind: 'chars', set: only(next) };
    }
  }

  #group(): RegexNode {
    if (this.#take('?')) {
      if (this.#take('P') || this.#peek() === '<') {
        if (!this.#take('<')) throw new NotUnderstood();
        while (/^\w$/.test(this.#peek() ?? '')) this.#at++;
        if (!this.#take('>')) throw new NotUnderstood();
      } else if (!this.#take(':')) throw new NotUnderstood();
    }
    if (++this.#depth > depthMax) throw new NotUnderstood();
    const node = this.#choice();
    this.#depth--;
    if (!this.#take(')')) throw new NotUnderstood();
    return node;
  }

  #class(): CharSet {
    const isNegated = this.#take('^');
    const ranges: Range[] = [];
    let isFirst = true;
    while (isFirst || this.#peek() !== ']') {
      isFirst = false;
      const first = this.#classItem();
      if (this.#peek() === '-' && this.#text[this.#at + 1] !== ']') {
        this.#at++;
        const last = this.#classItem();
        const from = singleOf(first);
        const to = singleOf(last);
        if (from === undefined || to === undefined || to < from) throw new NotUnderstood();
        ranges.push([from, to]);
      } else ranges.push(...first);
    }
    this.#at++;
    const set = charSet(ranges);
    return isNegated ? complement(set) : set;
  }

  #classItem(): CharSet {
    const next = this.#text[this.#at++];
    // `[[:alpha:]]`
    if (next === undefined || next === '[') throw new NotUnderstood();
    return next === '\\' ? this.#escape() : only(next);
  }

  #escape(): CharSet {
    const next = this.#text[this.#at++] ?? '';
    const named = classes[next];
    if (named !== undefined) return named;
    // Any punctuation stands for itself; letters and digits that are left mean something else.
    if (next === '' || /^[\w]$/.test(next) || next.charCodeAt(0) > 0x7e) throw new NotUnderstood();
    return only(next);
  }
}

function only(character: string): CharSet {
  const code = character.codePointAt(0) ?? 0;
  return charSet([[code, code]]);
}

function singleOf(set: CharSet): number | undefined {
  const [range, ...more] = set;
  return range !== undefined && more.length === 0 && range[0] === range[1] ? range[0] : undefined;
}

const digits: readonly Range[] = [[0x30, 0x39]];
const words: readonly Range[] = [...digits, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]];
const spaces: readonly Range[] = [
  [9, 10],
  [12, 13],
  [32, 32],
];

const classes: Readonly<Record<string, CharSet>> = {
  d: charSet(digits),
  D: complement(charSet(digits)),
  w: charSet(words),
  W: complement(charSet(words)),
  s: charSet(spaces),
  S: complement(charSet(spaces)),
  t: charSet([[9, 9]]),
};
