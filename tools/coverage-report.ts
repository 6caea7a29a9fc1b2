// What the tests prove: inventory rows by the titles that name them, conformance by target, and
// Istio's test data by family.

export interface TestResult {
  readonly file: string;
  readonly title: string;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly meta: Readonly<Record<string, unknown>>;
}

export interface InventoryRow {
  readonly row: string;
  readonly priority: string;
  readonly statement: string;
}

export interface Fraction {
  readonly held: number;
  readonly of: number;
}

export interface CoverageSummary {
  readonly rows: readonly (InventoryRow & { readonly state: RowState; readonly files: readonly string[] })[];
  readonly byPriority: Readonly<Record<string, Fraction>>;
  readonly conformance: Readonly<Record<ConformanceTarget, Fraction>>;
  readonly families: readonly { readonly family: string; readonly passed: number; readonly total: number }[];
  /** The last line that `npm run coverage` prints. */
  readonly line: string;
}

/**
 * `held`: at least one test names the row, and all that do pass. `partly`: as held, but every test says
 * `partly` before the row, as some of its statement is not built. `not run`: they were all skipped.
 */
export type RowState = 'held' | 'partly' | 'failing' | 'not run' | 'no test';

export const conformanceTargets = ['matchers', 'proxy', 'envoy'] as const;
export type ConformanceTarget = (typeof conformanceTargets)[number];

export function readInventory(csv: string): InventoryRow[] {
  return csv
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => {
      const match = /^([^,]+),([^,]+),(.*)$/.exec(line);
      if (match === null) throw new Error(`docs/inventory.csv: not a row: ${line}`);
      const [, row = '', priority = '', statement = ''] = match;
      return { row, priority, statement: statement.replace(/^"(.*)"$/, '$1').replaceAll('""', '"') };
    });
}

export function summarize(
  inventory: readonly InventoryRow[],
  results: readonly TestResult[],
): CoverageSummary {
  const whole = testsByRow(results, rowsNamedIn);
  const parts = testsByRow(results, rowsPartlyNamedIn);
  const rows = inventory.map((entry) => {
    const tests = whole.get(entry.row) ?? [];
    const partly = parts.get(entry.row) ?? [];
    const files = [...new Set([...tests, ...partly].map(({ file }) => file))].sort();
    return { ...entry, state: stateOf(tests, partly), files };
  });
  const byPriority: Record<string, Fraction> = {};
  for (const { priority, state } of rows) {
    const { held, of } = byPriority[priority] ?? { held: 0, of: 0 };
    byPriority[priority] = { held: held + Number(state === 'held'), of: of + 1 };
  }
  const conformance = Object.fromEntries(
    conformanceTargets.map((target) => {
      const steps = results.filter(({ title }) => title.includes(`[${target}]`));
      return [target, { held: steps.filter(({ status }) => status === 'passed').length, of: steps.length }];
    }),
  ) as Record<ConformanceTarget, Fraction>;
  const families = results.flatMap(({ meta }) => {
    const result = meta['istioTestdata'];
    return isFamilyResult(result) ? [result] : [];
  });
  const data = families.reduce(
    (sum, { passed, total }) => ({ held: sum.held + passed, of: sum.of + total }),
    {
      held: 0,
      of: 0,
    },
  );
  const line = [
    `inventory P0 ${text(byPriority['P0'])} P1 ${text(byPriority['P1'])}`,
    `conformance ${conformanceTargets.map((target) => `${target} ${text(conformance[target])}`).join(' ')}`,
    `istio-testdata ${text(data)}`,
  ].join(' | ');
  return { rows, byPriority, conformance, families: [...families].sort(byFamily), line };
}

/** docs/coverage.md */
export function format(summary: CoverageSummary): string {
  const lines = [
    '# Coverage',
    '',
    'Written by `npm run coverage` from the tests that name a row of the acceptance inventory',
    '([inventory.csv](inventory.csv)) in their title. A row is held if at least one test names it and all',
    'that do pass; it is partly held if they say that some of its statement is not built yet.',
    '',
    `    ${summary.line}`,
    '',
    '## Conformance',
    '',
    '| target | steps that pass | steps |',
    '|---|---|---|',
    ...conformanceTargets.map((target) => {
      const { held, of } = summary.conformance[target];
      return `| ${target} | ${held} | ${of} |`;
    }),
    '',
    "## Istio's test data",
    '',
    '| family | pass | open cases of the parts that we run |',
    '|---|---|---|',
    ...summary.families.map(({ family, passed, total }) => `| ${family} | ${passed} | ${total} |`),
    '',
    '## Rows',
    '',
    '| row | | state | statement | tests |',
    '|---|---|---|---|---|',
    ...summary.rows.map(
      ({ row, priority, state, statement, files }) =>
        `| ${row} | ${priority} | ${state} | ${statement.replaceAll('|', '\\|')} | ${files.join(', ')} |`,
    ),
    '',
  ];
  return lines.join('\n');
}

/** `A6.12` in `matchRoute: first rule wins (A6.12, C5.06)`, and every row of `A5.01-A5.04`; not `partly D4.01`. */
export function rowsNamedIn(title: string): string[] {
  return rowsIn(title.replaceAll(partlyNamed, ''));
}

/** `D4.01` in `codec: HTTP/1.1 (partly D4.01)`: the test proves what is built of the row's statement. */
export function rowsPartlyNamedIn(title: string): string[] {
  return (title.match(partlyNamed) ?? []).flatMap(rowsIn);
}

const partlyNamed = /\bpartly (?:[A-F]\d*\.\d\d[a-z]?|T\d\d)(?:-[A-F]\d*\.\d\d)?/g;

function rowsIn(text: string): string[] {
  const rows = [...text.matchAll(/\b(?:[A-F]\d*\.\d\d[a-z]?|T\d\d)\b/g)].map(([row]) => row);
  for (const [, prefix = '', first = '', last = ''] of text.matchAll(/\b([A-F]\d*\.)(\d\d)-\1(\d\d)\b/g)) {
    for (let n = Number(first) + 1; n < Number(last); n += 1)
      rows.push(`${prefix}${String(n).padStart(2, '0')}`);
  }
  return [...new Set(rows)];
}

function testsByRow(
  results: readonly TestResult[],
  rowsOf: (title: string) => readonly string[],
): ReadonlyMap<string, readonly TestResult[]> {
  const byRow = new Map<string, TestResult[]>();
  for (const result of results) {
    for (const row of rowsOf(result.title)) byRow.set(row, [...(byRow.get(row) ?? []), result]);
  }
  return byRow;
}

function stateOf(whole: readonly TestResult[], parts: readonly TestResult[]): RowState {
  const tests = [...whole, ...parts];
  if (tests.length === 0) return 'no test';
  if (tests.some(({ status }) => status === 'failed')) return 'failing';
  if (whole.some(({ status }) => status === 'passed')) return 'held';
  return parts.some(({ status }) => status === 'passed') ? 'partly' : 'not run';
}

function text(fraction: Fraction | undefined): string {
  return `${fraction?.held ?? 0}/${fraction?.of ?? 0}`;
}

function byFamily(a: { readonly family: string }, b: { readonly family: string }): number {
  return a.family < b.family ? -1 : a.family > b.family ? 1 : 0;
}

function isFamilyResult(value: unknown): value is { family: string; passed: number; total: number } {
  return (
    typeof value === 'object' && value !== null && 'family' in value && 'passed' in value && 'total' in value
  );
}
