// The shape of a semantic validator.
import type { Report } from '../schema.ts';

export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Reports what a kind's structure cannot say. `object` is the user's object without apiVersion, kind
 * and metadata, and its structure has been found right.
 */
export type Validator = (object: Readonly<Record<string, unknown>>, meta: ObjectMeta, report: Report) => void;
