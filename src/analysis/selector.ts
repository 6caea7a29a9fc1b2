// Label selectors: of Istio (labels that must all be there) and of Kubernetes (with expressions).
import type { Labels } from '../model/labels.ts';
import { labelSelectorMatches, labelsMatch } from '../model/labels.ts';
import { listAt, labelsAt, textAt, textsAt } from './fields.ts';

/** `a=b,c=d` in the order of the keys: how Kubernetes writes a selector. */
export function selectorText(selector: Labels | undefined): string {
  return Object.entries(selector ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** Whether `labels` has all of `selector`; an absent or empty selector takes everything. */
export function selects(selector: Labels | undefined, labels: Labels): boolean {
  return labelsMatch(selector ?? {}, labels);
}

/** metav1.LabelSelector of an object that no schema has checked; an absent one takes everything. */
export function writtenSelectorMatches(selector: unknown, labels: Labels): boolean {
  const matchExpressions = listAt(selector, 'matchExpressions').map((expression) => ({
    key: textAt(expression, 'key'),
    operator: textAt(expression, 'operator'),
    values: textsAt(expression, 'values'),
  }));
  return labelSelectorMatches({ matchLabels: labelsAt(selector, 'matchLabels'), matchExpressions }, labels);
}
