// `--source`: which line of whose YAML a row came from, as the control plane remembers it.
import { relative } from 'node:path';
import { UserError } from '../base/user-error.ts';

/** One origin, as the control plane's /debug/sourcez lists it. */
export interface SourceRecord {
  /** Name of the resource. */
  readonly resource: string;
  /** Field path within the resource; empty: all of it. */
  readonly at: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Field of the user's object; empty: all of it. */
  readonly field: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The text of the SOURCE column for a place in a resource; `-` where nobody's YAML made it. */
export type SourceFinder = (resource: string, at: string) => string;

/** Reads the answer of /debug/sourcez; throws a UserError where it is no list. */
export function parseSources(value: unknown): readonly SourceRecord[] {
  if (!Array.isArray(value)) throw new UserError('the control plane answered /debug/sourcez without a list');
  return value as SourceRecord[];
}

/**
 * Finds the origins that stand nearest above a place: `virtualHosts[0]` covers `virtualHosts[0].routes[2]`.
 * Files below `directory` are shown relative to it.
 */
export function sourceFinder(records: readonly SourceRecord[], directory: string): SourceFinder {
  const byResource = new Map<string, SourceRecord[]>();
  for (const record of records) {
    const list = byResource.get(record.resource);
    if (list === undefined) byResource.set(record.resource, [record]);
    else list.push(record);
  }
  return (resource, at) => {
    const above = (byResource.get(resource) ?? []).filter((record) => covers(record.at, at));
    const nearest = Math.max(-1, ...above.map((record) => record.at.length));
    const texts = above
      .filter((record) => record.at.length === nearest)
      .map((record) => sourceText(record, directory));
    return texts.length === 0 ? '-' : [...new Set(texts)].join(', ');
  };
}

function covers(outer: string, inner: string): boolean {
  if (outer === '' || outer === inner) return true;
  return inner.startsWith(outer) && ['.', '['].includes(inner[outer.length] ?? '');
}

/** `file:line:column VirtualService default/reviews http[0]` */
function sourceText(record: SourceRecord, directory: string): string {
  const object = `${record.kind} ${record.namespace}/${record.name}`;
  const shown = relative(directory, record.file);
  const file = shown.startsWith('..') ? record.file : shown;
  // Objects that the control plane brings itself have no file, only a name such as `<built in>`.
  const noFile = record.file === '' || record.file.startsWith('<');
  const place = noFile ? record.file && `${record.file} ` : `${file}:${record.line}:${record.column} `;
  return place + object + (record.field === '' ? '' : ` ${record.field}`);
}
