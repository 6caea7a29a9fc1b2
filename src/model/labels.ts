// What labels a selector takes: Istio's (labels that must all be there) and Kubernetes' (with expressions).

export type Labels = Readonly<Record<string, string>>;

/** metav1.LabelSelector, as it is written: nothing says that its operators are known ones. */
export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** Whether a label set carries everything that a selector asks. An empty selector matches all. */
export function labelsMatch(selector: Labels, labels: Labels): boolean {
  for (const [name, value] of Object.entries(selector)) if (labels[name] !== value) return false;
  return true;
}

export function sameLabels(a: Labels, b: Labels): boolean {
  return labelsMatch(a, b) && labelsMatch(b, a);
}

/** An empty selector takes everything; an operator that Kubernetes does not know takes nothing. */
export function labelSelectorMatches(selector: LabelSelector, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    labelsMatch(matchLabels, labels) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
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
    })
  );
}
