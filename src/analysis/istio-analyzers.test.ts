// Istio's own cases of its analyzers, each analyzer alone on its files; the command line is in src/cmd.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { analyze, isSuppressed } from './analyze.ts';
import { allAnalyzers } from './analyzers.ts';
import { assumedObjects } from './assumed.ts';
import { loadText } from './load.ts';
import { readMeshSettings } from './mesh-settings.ts';
import { messageTypes } from './messages.ts';
import { friendlyName } from './object.ts';

interface Case {
  readonly name: string;
  readonly group: string;
  readonly analyzer: string;
  readonly inputFiles?: readonly string[];
  readonly clusters?: Readonly<Record<string, readonly string[]>>;
  readonly meshConfigFile?: string;
  readonly meshNetworksFile?: string;
  readonly expected?: { readonly messages: readonly { readonly code: string; readonly resource: string }[] };
  readonly heldOut: boolean;
}

const folder = istioTestdata('analyzers');

/** Names of cases on which we differ, with the reason. */
const known = parse(
  readFileSync(join(import.meta.dirname, 'istio-analyzers.known-failures.yaml'), 'utf8'),
) as Readonly<Record<string, string>>;

test.skipIf(folder === undefined)('analyze: says what Istio says (E.04)', (context) => {
  const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as { cases: Case[] };
  const open = cases.filter(({ heldOut, group }) => !heldOut && group === 'analyzer');
  const wrong: Record<string, unknown> = {};
  for (const one of open) {
    const said = run(one);
    const wanted = (one.expected?.messages ?? []).map(({ code, resource }) => `${code} ${resource}`).sort();
    if (JSON.stringify(said) !== JSON.stringify(wanted)) wrong[one.name] = { said, wanted };
  }
  const unexpected = Object.fromEntries(Object.entries(wrong).filter(([name]) => known[name] === undefined));
  const healed = open.filter(({ name }) => known[name] !== undefined && wrong[name] === undefined);
  reportFamily(context, {
    family: 'analyzers',
    passed: open.length - Object.keys(wrong).length,
    total: open.length,
  });
  expect({ unexpected, healed }).toEqual({ unexpected: {}, healed: [] });
});

test.skipIf(folder === undefined)("analyze: codes, names and levels are Istio's (E.04)", () => {
  const catalogue = JSON.parse(readFileSync(join(folder ?? '', 'messages.json'), 'utf8')) as {
    code: string;
    name: string;
    level: string;
  }[];
  for (const { code, name, level } of messageTypes.values())
    if (code.startsWith('IST'))
      expect(catalogue).toContainEqual(expect.objectContaining({ code, name, level }));
});

/** `CODE Kind namespace/name` of every message, sorted. */
function run({ analyzer, inputFiles, clusters, meshConfigFile, meshNetworksFile }: Case): readonly string[] {
  const text = (file: string): string => readFileSync(join(folder ?? '', file), 'utf8');
  const files = [
    ...(inputFiles ?? []).map((file) => ({ file, cluster: '' })),
    ...Object.entries(clusters ?? {}).flatMap(([cluster, own]) => own.map((file) => ({ file, cluster }))),
  ];
  const loaded = files.map(({ file, cluster }) =>
    loadText(file, text(file), { defaultNamespace: '', withLiveKinds: true, cluster }),
  );
  const mesh = readMeshSettings(
    meshConfigFile === undefined ? '' : text(meshConfigFile),
    meshNetworksFile === undefined ? '' : text(meshNetworksFile),
  );
  const chosen = allAnalyzers().filter(({ name }) => name === analyzer);
  if (chosen.length === 0) return [`no analyzer ${analyzer}`];
  const messages = analyze({
    objects: [...loaded.flatMap(({ objects }) => objects), ...assumedObjects(mesh, 'istio-system')],
    findings: loaded.flatMap(({ findings }) => findings),
    mesh,
    nowMs: Date.UTC(2026, 0, 1),
    analyzers: chosen,
  });
  return messages
    .filter((message) => !isSuppressed(message, []))
    .map(({ type, object }) => `${type.code} ${friendlyName(object)}`)
    .sort();
}
