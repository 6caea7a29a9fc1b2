// An object's metadata: what we read of it, and Kubernetes' rules for names and labels.
import type { FieldPath } from '../model/origin.ts';
import type { Report } from './schema.ts';
import { describeValue, isRecord } from './schema.ts';

export interface Metadata {
  /** Empty if there is none. */
  readonly name: string;
  /** Undefined if there is none. */
  readonly namespace: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** 0 if there is none. */
  readonly creationTimeMs: number;
  /** Absent if there is none. */
  readonly generation?: number;
  /** Absent unless the object is going away. */
  readonly deletionTimeMs?: number;
  /** The owner that controls it: a Pod's ReplicaSet. */
  readonly controller?: { readonly kind: string; readonly name: string };
}

/** What can be read, whether it is right or not. */
export function readMetadata(object: Readonly<Record<string, unknown>>): Metadata {
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {};
  const { name, namespace, labels, annotations, creationTimestamp, deletionTimestamp, generation } = metadata;
  const created = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : 0;
  const controller = controllerOf(metadata['ownerReferences']);
  return {
    name: typeof name === 'string' ? name : '',
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
    labels: stringsOf(labels),
    annotations: stringsOf(annotations),
    creationTimeMs: Number.isNaN(created) ? 0 : created,
    ...(typeof generation === 'number' ? { generation } : {}),
    // Whatever its value is, it is there: the object is going away.
    ...(typeof deletionTimestamp === 'string' ? { deletionTimeMs: Date.parse(deletionTimestamp) || 0 } : {}),
    ...(controller === undefined ? {} : { controller }),
  };
}

function controllerOf(references: unknown): Metadata['controller'] {
  if (!Array.isArray(references)) return undefined;
  for (const reference of references as readonly unknown[]) {
    if (!isRecord(reference) || reference['controller'] !== true) continue;
    const { kind, name } = reference;
    if (typeof kind === 'string' && typeof name === 'string') return { kind, name };
  }
  return undefined;
}

/** Reports what Kubernetes would not take (apimachinery's validation of ObjectMeta). */
export function checkMetadata(
  object: Readonly<Record<string, unknown>>,
  isNamespaced: boolean,
  report: Report,
): void {
  const wrong = (code: string, message: string, ...field: FieldPath): void =>
    report({ severity: 'error', code, message, fieldPath: ['metadata', ...field] });
  const metadata = object['metadata'] ?? undefined;
  if (metadata !== undefined && !isRecord(metadata)) {
    wrong('wrong-type', `must be a map, not ${describeValue(metadata)}`);
    return;
  }
  const { name, namespace, labels, annotations, creationTimestamp } = presentFields(metadata ?? {});
  if (name === undefined) {
    report({
      severity: 'error',
      code: 'missing-field',
      message: 'the object has no metadata.name',
      fieldPath: metadata === undefined ? [] : ['metadata'],
    });
  } else if (typeof name !== 'string')
    wrong('wrong-type', `must be a string (quote it), not ${describeValue(name)}`, 'name');
  else if (!isDnsSubdomain(name))
    wrong('wrong-value', `${describeValue(name)} is no object name: ${subdomainRule}`, 'name');
  if (namespace !== undefined && isNamespaced) {
    if (typeof namespace !== 'string')
      wrong('wrong-type', `must be a string (quote it), not ${describeValue(namespace)}`, 'namespace');
    else if (namespace !== '' && !isDnsLabel(namespace))
      wrong('wrong-value', `${describeValue(namespace)} is no namespace: ${labelRule}`, 'namespace');
  }
  checkStrings(labels, 'labels', wrong, (key, value) => {
    if (!isQualifiedName(key)) wrong('wrong-value', `is no label name: ${qualifiedRule}`, 'labels', key);
    if (!isLabelValue(value))
      wrong('wrong-value', `${describeValue(value)} is no label value: ${valueRule}`, 'labels', key);
  });
  checkStrings(annotations, 'annotations', wrong, () => {});
  if (
    creationTimestamp !== undefined &&
    (typeof creationTimestamp !== 'string' || Number.isNaN(Date.parse(creationTimestamp)))
  )
    wrong(
      'wrong-value',
      `must be a time such as 2026-01-31T12:00:00Z, not ${describeValue(creationTimestamp)}`,
      'creationTimestamp',
    );
}

function presentFields(metadata: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null));
}

/** RFC 1123: up to 63 of a-z, 0-9 and -, with a letter or digit at both ends. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

/** RFC 1123: labels joined by dots, up to 253 characters. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);
}

/** A label's name: an optional DNS prefix and `/`, then up to 63 characters. */
function isQualifiedName(text: string): boolean {
  const slash = text.indexOf('/');
  if (slash >= 0 && !isDnsSubdomain(text.slice(0, slash))) return false;
  const name = text.slice(slash + 1);
  return name.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name);
}

function isLabelValue(text: string): boolean {
  return text.length <= 63 && /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/.test(text);
}

const subdomainRule =
  'lower-case letters, digits, - and ., starting and ending with a letter or digit, 253 at most';
const labelRule = 'lower-case letters, digits and -, starting and ending with a letter or digit, 63 at most';
const qualifiedRule = 'letters, digits, -, _ and ., 63 at most, after an optional DNS prefix and /';
const valueRule = 'letters, digits, -, _ and ., 63 at most';

function checkStrings(
  value: unknown,
  field: string,
  wrong: (code: string, message: string, ...field: FieldPath) => void,
  check: (key: string, value: string) => void,
): void {
  if (value === undefined) return;
  if (!isRecord(value)) {
    wrong('wrong-type', `must be a map, not ${describeValue(value)}`, field);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === 'string') check(key, item);
    else wrong('wrong-type', `must be a string (quote it), not ${describeValue(item)}`, field, key);
  }
}

function stringsOf(value: unknown): Readonly<Record<string, string>> {
  if (!isRecord(value)) return {};
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}
