// What is said of a rule that is never used.
import type { FieldPath } from '../../model/origin.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName } from '../object.ts';

/** One match of one rule. */
export interface Alternative {
  readonly object: AnalysisObject;
  readonly field: 'http' | 'tls' | 'tcp';
  readonly rule: number;
  readonly ruleName?: string;
  /** Among the matches of its rule; undefined for a rule that has none. */
  readonly index: number | undefined;
  /** Of matches of its rule. */
  readonly count: number;
}

export interface Shadow {
  readonly later: Alternative;
  /** Takes all that `later` would. */
  readonly earlier: Alternative;
}

export interface ShadowMessage {
  readonly object: AnalysisObject;
  readonly path: FieldPath;
  readonly text: string;
}

/** One message a rule that is never used, and one a match that is not where others of its rule are. */
export function describeShadows(shadows: readonly Shadow[]): readonly ShadowMessage[] {
  const byRule = new Map<string, Shadow[]>();
  for (const shadow of shadows) {
    const { object, field, rule } = shadow.later;
    const key = `${fullName(object)} ${field} ${rule}`;
    byRule.set(key, [...(byRule.get(key) ?? []), shadow]);
  }
  return [...byRule.values()].flatMap((ofRule): readonly ShadowMessage[] => {
    const [first] = ofRule;
    if (first === undefined) return [];
    const { object, count } = first.later;
    if (ofRule.length < count) return ofRule.map(describeMatch);
    const takers = [...new Set(ofRule.map(({ earlier }) => placeOf(earlier, object)))];
    const takes = takers.length === 1 ? 'takes' : 'take';
    return [
      {
        object,
        path: rulePath(first.later),
        text: `${ruleText(first.later)} is never used: ${takers.join(' and ')} ${takes} all of its ${traffic(first.later)} first`,
      },
    ];
  });
}

function describeMatch({ later, earlier }: Shadow): ShadowMessage {
  const { object, index = 0 } = later;
  return {
    object,
    path: matchPath(later),
    text: `match[${index}] of ${ruleText(later)} is never used: ${placeOf(earlier, object)} takes all of its ${traffic(later)} first`,
  };
}

/** `http[0].match[1] "name" (routes.yaml:12)`, with the object where it is another one. */
function placeOf(alternative: Alternative, from: AnalysisObject): string {
  const { object, field, rule, ruleName, index } = alternative;
  const position = object.locate(matchPath(alternative));
  const of = object === from ? '' : ` of VirtualService ${fullName(object)}`;
  const match = index === undefined ? '' : `.match[${index}]`;
  const name = ruleName === undefined ? '' : ` ${JSON.stringify(ruleName)}`;
  const at = position === undefined ? '' : ` (${position.file}:${position.line})`;
  return `${field}[${rule}]${match}${name}${of}${at}`;
}

function ruleText({ field, rule, ruleName }: Alternative): string {
  return `${field}[${rule}]${ruleName === undefined ? '' : ` ${JSON.stringify(ruleName)}`}`;
}

function rulePath({ field, rule }: Alternative): FieldPath {
  return ['spec', field, rule];
}

function matchPath(alternative: Alternative): FieldPath {
  const { index } = alternative;
  return index === undefined ? rulePath(alternative) : [...rulePath(alternative), 'match', index];
}

function traffic({ field }: Alternative): string {
  return field === 'http' ? 'requests' : 'connections';
}
