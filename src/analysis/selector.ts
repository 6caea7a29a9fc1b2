// Label selectors: of Istio (labels that must all be there) and of Kubernetes (with expressions).
import { listAt, labelsAt, textAt, textsAt } from './fields.ts';

type Labels = Readonly<Record<string, string>>;

/** `a=b,c=d` in the order of the keys: how Kubernetes writes a selector. */
export function selectorText(selector: Labels | undefined): string {
  return Object.entries(selector ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** Whether `labels` has all of `selector`; an empty selector takes everything. */
export function selects(selector: Labels | undefined, labels: Labels): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}

/** metav1.LabelSelector: an absent or empty one takes everything, an expression that is not known nothing. */
export function labelSelectorMatches(selector: unknown, labels: Labels): boolean {
  if (!selects(labelsAt(selector, 'matchLabels'), labels)) return false;
  return listAt(selector, 'matchExpressions').every((expression) => {
    const value = labels[textAt(expression, 'key')];
    const values = textsAt(expression, 'values');
    switch (textAt(expression, 'operator')) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}
