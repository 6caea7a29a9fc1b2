// What validation says of fields that it refuses or warns of: said.yaml, read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readText } from '../../src/config/reader.ts';

/** `Kind spec.field` -> the word of the table. */
export function saidOf(): ReadonlyMap<string, string> {
  const text = readFileSync(join(import.meta.dirname, 'said.yaml'), 'utf8');
  const said = new Map<string, string>();
  for (const { severity, message, fieldPath, object } of readText('said.yaml', text).diagnostics) {
    const field = fieldPath.map((part) => (typeof part === 'number' ? '[]' : `.${part}`)).join('');
    said.set(
      `${object?.kind} ${field.slice(1)}`,
      `${severity === 'error' ? 'refused' : 'warned'}: ${message}`,
    );
  }
  return said;
}
