// docs/fields.md: every field of the kinds that a user writes, and what becomes of it.
import { join } from 'node:path';
import { istioKinds } from '../../src/config/istio-schemas.ts';
import { readGoldenCases } from '../support/golden.ts';
import { corpus } from './corpus.ts';
import type { CorpusCase, Effects, FieldEffect } from './effects.ts';
import { addEffects } from './effects.ts';
import { elsewhere } from './elsewhere.ts';
import { leafFields } from './field-paths.ts';
import { saidOf } from './said.ts';

/** In the order of the table. */
export const tableKinds = [
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'WorkloadEntry',
  'WorkloadGroup',
  'Sidecar',
  'ProxyConfig',
  'EnvoyFilter',
  'PeerAuthentication',
] as const;

interface Row {
  readonly kind: string;
  readonly field: string;
  readonly reaches: string;
  readonly shownBy: string;
}

export interface FieldTable {
  readonly markdown: string;
  /** Fields that are neither shown nor refused nor explained, as `Kind field`. */
  readonly missing: readonly string[];
  /** Cases that could not be translated, and why. */
  readonly refused: readonly string[];
}

/** Measures every field anew. */
export function fieldTable(): FieldTable {
  const effects: Effects = new Map();
  const kinds = new Set<string>(tableKinds);
  const refused: string[] = [];
  for (const corpusCase of [...goldens(), ...corpus()]) {
    try {
      addEffects(effects, corpusCase, kinds);
    } catch (error) {
      refused.push(`${corpusCase.name}: ${String(error)}`);
    }
  }
  const said = saidOf();
  const rows: Row[] = [];
  const missing: string[] = [];
  for (const kind of tableKinds) {
    const schema = [...istioKinds.values()].find((each) => each.kind === kind);
    if (schema === undefined) throw new Error(`no schema of ${kind}`);
    for (const field of leafFields(schema.spec, 'spec')) {
      const row = rowOf(kind, field, effects.get(kind)?.get(field), said);
      if (row === undefined) missing.push(`${kind} ${field}`);
      else rows.push(row);
    }
  }
  return { markdown: markdownOf(rows), missing, refused };
}

function goldens(): readonly CorpusCase[] {
  return readGoldenCases(join(import.meta.dirname, '../golden')).map(({ name, header, config }) => ({
    name: `golden/${name}`,
    config,
    proxies: [header],
  }));
}

function rowOf(
  kind: string,
  field: string,
  effect: FieldEffect | undefined,
  said: ReadonlyMap<string, string>,
): Row | undefined {
  if (effect !== undefined)
    return {
      kind,
      field,
      reaches: pathsText(effect.reaches),
      shownBy: shownText([...effect.cases].sort()),
    };
  const word = saidAbove(said, `${kind} ${field}`);
  if (word !== undefined) return { kind, field, reaches: word, shownBy: 'fields/said.yaml' };
  const words = elsewhere(kind, field);
  return words === undefined ? undefined : { kind, field, reaches: words.what, shownBy: words.shownBy };
}

/** What is said of the field or of a block that it stands in. */
function saidAbove(said: ReadonlyMap<string, string>, field: string): string | undefined {
  for (let at = field; at.includes('.'); at = at.slice(0, at.lastIndexOf('.'))) {
    const word = said.get(at) ?? said.get(at.replace(/(\[\]|\{\})$/, ''));
    if (word !== undefined) return word;
  }
  return undefined;
}

const shown = 3;

function pathsText(paths: readonly string[]): string {
  const some = paths.slice(0, shown).map((path) => `\`${path}\``);
  return paths.length > shown ? `${some.join(', ')} and ${paths.length - shown} more` : some.join(', ');
}

function shownText(cases: readonly string[]): string {
  const some = cases.slice(0, shown).join(', ');
  return cases.length > shown ? `${some}, +${cases.length - shown}` : some;
}

function markdownOf(rows: readonly Row[]): string {
  const sections = tableKinds.map((kind) => {
    const own = rows.filter((row) => row.kind === kind);
    const lines = own.map(({ field, reaches, shownBy }) => `| \`${field}\` | ${reaches} | ${shownBy} |`);
    return `## ${kind}\n\n| field | what it reaches | shown by |\n|---|---|---|\n${lines.join('\n')}\n`;
  });
  return `# Fields

Every field of Istio's networking kinds, and the fields of Envoy's resources that it reaches. Measured, not
written: each case below [test/](../test) is translated with the field and without it (or with another
value), and the resources are compared. \`UPDATE_GOLDEN=1 npx vitest run test/fields\` writes this file; the
test fails where it differs, and where a field has neither an effect nor words that say why.

${sections.join('\n')}`;
}
