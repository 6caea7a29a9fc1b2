// Fields that are not for translation: what becomes of them, and which test shows it.

export interface Words {
  readonly what: string;
  readonly shownBy: string;
}

interface Rule extends Words {
  readonly kind: string;
  /** The field, or the beginning of it up to a dot or bracket. */
  readonly field: string;
}

const rules: readonly Rule[] = [];

/** Undefined: nothing is said of this field. */
export function elsewhere(kind: string, field: string): Words | undefined {
  return rules.find(
    (rule) =>
      rule.kind === kind &&
      (field === rule.field ||
        (field.startsWith(rule.field) && /^[.[{]/.test(field.slice(rule.field.length)))),
  );
}
