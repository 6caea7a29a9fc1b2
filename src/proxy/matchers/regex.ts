// Regular expressions of users: linear time and RE2's syntax by re2js; JavaScript's RegExp never sees them.
import { RE2JS } from 're2js';
import { ConfigError } from '../config-error.ts';

/** Longer patterns are refused: their compiled form grows with them. */
export const patternLengthMax = 16 * 1024;

/** Results are remembered for inputs up to this length ... */
const rememberedLengthMax = 1024;
/** ... and for about this many of them (two generations of half as many). */
const rememberedMax = 1024;

/** A compiled pattern that must match all of a text, as in Envoy. */
export class FullMatchRegex {
  readonly pattern: string;
  readonly #compiled: RE2JS;
  #young = new Map<string, boolean>();
  #old = new Map<string, boolean>();

  /** Throws ConfigError naming `field` for a pattern that RE2 does not know. */
  constructor(pattern: string, field: string) {
    this.pattern = pattern;
    this.#compiled = compile(pattern, field);
  }

  /** A match costs microseconds in pure JS and the same texts come again and again, so results are kept. */
  matches(text: string): boolean {
    if (text.length > rememberedLengthMax) return this.#compiled.matches(text);
    const known = this.#young.get(text);
    if (known !== undefined) return known;
    const result = this.#old.get(text) ?? this.#compiled.matches(text);
    if (this.#young.size >= rememberedMax / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(text, result);
    return result;
  }
}

/** Replaces every match of `pattern`; `substitution` knows `\0` to `\9` and `\\` (RE2::GlobalReplace). */
export class RegexSubstitution {
  readonly #compiled: RE2JS;
  /** Literal texts and group numbers. */
  readonly #parts: readonly (string | number)[];

  constructor(pattern: string, substitution: string, field: string) {
    this.#compiled = compile(pattern, `${field}.pattern.regex`);
    this.#parts = parseSubstitution(substitution, this.#compiled.groupCount(), `${field}.substitution`);
  }

  replace(text: string): string {
    const matcher = this.#compiled.matcher(text);
    let out = '';
    let from = 0;
    while (matcher.find()) {
      out += text.slice(from, matcher.start());
      for (const part of this.#parts) out += typeof part === 'string' ? part : (matcher.group(part) ?? '');
      from = matcher.end();
    }
    return out + text.slice(from);
  }
}

function compile(pattern: string, field: string): RE2JS {
  if (pattern.length > patternLengthMax) {
    throw new ConfigError(
      field,
      `the pattern has ${pattern.length} characters; at most ${patternLengthMax} are accepted`,
    );
  }
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(field, `${JSON.stringify(pattern)} is not an RE2 regular expression: ${reason}`);
  }
}

function parseSubstitution(text: string, groupCount: number, field: string): (string | number)[] {
  const parts: (string | number)[] = [];
  let literal = '';
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character !== '\\') {
      literal += character;
      continue;
    }
    const next = text[++at];
    if (next === '\\') literal += next;
    else if (next !== undefined && next >= '0' && next <= '9') {
      const group = Number(next);
      if (group > groupCount) {
        throw new ConfigError(
          field,
          `\\${group} names a group that the pattern does not have (it has ${groupCount})`,
        );
      }
      if (literal !== '') parts.push(literal);
      literal = '';
      parts.push(group);
    } else throw new ConfigError(field, 'a backslash must be followed by a digit or a backslash');
  }
  if (literal !== '') parts.push(literal);
  return parts;
}
