// Rules of a VirtualService that no request can reach, because an earlier one takes all of theirs.
// Source: Istio's analysis of unreachable and ineffective rules in pkg/config/validation.
import { isDeepStrictEqual } from 'node:util';
import type { Checker } from './checker.ts';

/** A rule, as much of it as counts here. */
export interface Rule {
  readonly name?: string | undefined;
  readonly match?: readonly object[] | undefined;
}

/** Warns of rules and matches that are never used. `isHttp`: prefixes that cover each other are looked at, too. */
export function warnUnreachableRules(rules: readonly Rule[], isHttp: boolean, checker: Checker): void {
  const seen = new Map<string, number>();
  const prefixes: PrefixMatch[] = [];
  let catchAll: number | undefined;
  for (const [ruleIndex, rule] of rules.entries()) {
    const place = checker.at(ruleIndex);
    const matches = rule.match ?? [];
    if (matches.length === 0) {
      if (catchAll !== undefined)
        place.warn(
          `rule ${nameOf(rule, ruleIndex)} is not used: only the last rule can have no matches`,
          'unreachable-rule',
        );
      catchAll ??= ruleIndex;
      continue;
    }
    if (catchAll !== undefined) {
      place.warn(
        `rule ${nameOf(rule, ruleIndex)} is not used: a rule without matches stands before it`,
        'unreachable-rule',
      );
      continue;
    }
    let repeated = 0;
    for (const [matchIndex, match] of matches.entries()) {
      const key = canonical(match);
      const earlier = seen.get(key);
      if (earlier !== undefined) {
        repeated++;
        place
          .at('match', matchIndex)
          .warn(
            `this match is not used: the same one stands in rule ${nameOf(rules[earlier] ?? {}, earlier)}`,
            'ineffective-match',
          );
        continue;
      }
      seen.set(key, ruleIndex);
      const prefix = isHttp ? prefixMatch(match, ruleIndex, matchIndex) : undefined;
      if (prefix !== undefined) prefixes.push(prefix);
    }
    if (repeated === matches.length)
      place.warn(
        `rule ${nameOf(rule, ruleIndex)} is not used: all matches are used by prior rules`,
        'unreachable-rule',
      );
  }
  warnCoveredPrefixes(prefixes, rules, checker);
}

interface PrefixMatch {
  readonly rule: number;
  readonly match: number;
  readonly prefix: string;
  /** Every other condition. */
  readonly conditions: Readonly<Record<string, unknown>>;
}

/** A quadratic look, so for reasonable numbers of prefixes alone. */
const prefixesMax = 500;

function warnCoveredPrefixes(
  prefixes: readonly PrefixMatch[],
  rules: readonly Rule[],
  checker: Checker,
): void {
  if (prefixes.length > prefixesMax) return;
  for (const [index, later] of prefixes.entries()) {
    const cover = prefixes
      .slice(0, index)
      .find(
        (earlier) =>
          earlier.prefix !== later.prefix &&
          later.prefix.startsWith(earlier.prefix) &&
          asksNoMore(earlier.conditions, later.conditions),
      );
    if (cover === undefined) continue;
    const rule = nameOf(rules[cover.rule] ?? {}, cover.rule);
    checker
      .at(later.rule, 'match', later.match)
      .warn(
        `prefix ${later.prefix} is not used: prefix ${cover.prefix} in rule ${rule} covers it`,
        'ineffective-match',
      );
  }
}

function prefixMatch(match: object, rule: number, index: number): PrefixMatch | undefined {
  const { uri, name: _name, statPrefix: _statPrefix, ...conditions } = match as Record<string, unknown>;
  const prefix = (uri as { prefix?: string } | undefined)?.prefix ?? '';
  return prefix === '' ? undefined : { rule, match: index, prefix, conditions };
}

/** Whether whatever satisfies `later` satisfies `earlier`: each of its conditions stands in `later`, too. */
function asksNoMore(
  earlier: Readonly<Record<string, unknown>>,
  later: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(earlier).every(([field, condition]) => {
    const other = later[field];
    const isMap =
      field === 'headers' ||
      field === 'withoutHeaders' ||
      field === 'queryParams' ||
      field === 'sourceLabels';
    if (!isMap || typeof other !== 'object' || other === null) return isDeepStrictEqual(condition, other);
    return Object.entries(condition as object).every(([key, value]) =>
      isDeepStrictEqual(value, (other as Record<string, unknown>)[key]),
    );
  });
}

/** JSON with sorted keys, without the names that change no traffic. */
function canonical(match: object): string {
  const { name: _name, statPrefix: _statPrefix, ...conditions } = match as Record<string, unknown>;
  return JSON.stringify(conditions, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

function nameOf(rule: Rule, index: number): string {
  return rule.name === undefined || rule.name === '' ? `#${index}` : `"${rule.name}"`;
}
