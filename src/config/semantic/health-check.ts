// The annotation by which a service's endpoints are to be checked.
import { healthCheckAnnotation, parseHealthCheck } from '../../model/health-check.ts';
import type { Report } from '../schema.ts';
import { Checker } from './checker.ts';

/** Complains about what cannot be understood: it would be as if nothing were written. */
export function checkHealthCheck(annotations: Readonly<Record<string, string>>, report: Report): void {
  const text = annotations[healthCheckAnnotation];
  const parsed = text === undefined ? undefined : parseHealthCheck(text);
  if (parsed?.ok === false)
    new Checker(report, ['metadata', 'annotations', healthCheckAnnotation]).error(parsed.error);
}
