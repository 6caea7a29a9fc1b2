// What every semantic rule needs: where it is, and how to complain.
import type { FieldPath } from '../../model/origin.ts';
import type { Report } from '../schema.ts';

/** Complains about one place of an object; `at` gives the checker of a field below it. */
export class Checker {
  readonly #report: Report;
  readonly #path: FieldPath;

  constructor(report: Report, path: FieldPath = []) {
    this.#report = report;
    this.#path = path;
  }

  at(...field: FieldPath): Checker {
    return new Checker(this.#report, [...this.#path, ...field]);
  }

  /** What Istio refuses. */
  error(message: string): void {
    this.#report({ severity: 'error', code: 'wrong-value', message, fieldPath: this.#path });
  }

  /** What Istio takes although it hardly does what was meant. */
  warn(message: string, code = 'doubtful'): void {
    this.#report({ severity: 'warning', code, message, fieldPath: this.#path });
  }

  /** What Istio does and we do not do yet, and what can be left out; or what has no effect in Istio either. */
  withoutEffect(message = 'has no effect yet'): void {
    this.#report({
      severity: 'warning',
      code: 'no-effect',
      message,
      fieldPath: this.#path,
    });
  }

  /** What Istio does and we do not do yet. */
  unsupported(message = 'not supported yet'): void {
    this.#report({ severity: 'error', code: 'not-supported', message, fieldPath: this.#path });
  }
}

/** The items of a list with a checker each; nothing for an absent list. */
export function* each<T>(
  items: readonly T[] | undefined,
  checker: Checker,
  field: string,
): Generator<readonly [T, Checker, number]> {
  for (const [index, item] of (items ?? []).entries()) yield [item, checker.at(field, index), index];
}
