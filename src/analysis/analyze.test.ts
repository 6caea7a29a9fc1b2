import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Ran } from '../../test/support/run-analyze.ts';
import { runAnalyze } from '../../test/support/run-analyze.ts';
import { doesGlobMatch } from './analyze.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-analyze-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs on one file `in.yaml` of these documents. */
const analyze = async (documents: readonly string[], ...args: readonly string[]): Promise<Ran> => {
  writeFileSync(join(directory, 'in.yaml'), documents.join('\n---\n'));
  return runAnalyze([...args, 'in.yaml'], directory);
};
const lines = async (documents: readonly string[], ...args: readonly string[]): Promise<readonly string[]> =>
  (await analyze(documents, ...args)).stdout.split('\n').filter((line) => line !== '');

const service = (name: string, namespace = 'default', more = ''): string => `apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace}${more} }
spec: { selector: { app: ${name} }, ports: [{ name: http, port: 80 }] }`;
const routeTo = (
  host: string,
  namespace = 'default',
  more = '',
): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v, namespace: ${namespace}${more} }
spec:
  hosts: [${host}]
  http:
  - route: [{ destination: { host: ${host} } }]`;
const namespace = `apiVersion: v1
kind: Namespace
metadata: { name: shop }`;

test('analyze: one line a message, with level, code, object and place (E.04)', async () => {
  const { stdout, stderr, exitCode } = await analyze([service('a'), routeTo('b')]);
  expect(stdout).toBe('Error [IST0101] (VirtualService default/v in.yaml:12) host not found: "b"\n');
  expect(stderr).toBe(
    'Error: analyzers found issues when analyzing all namespaces.\nSee https://istio.io/latest/docs/reference/config/analysis/ and docs/analyze.md for causes and cures.\n',
  );
  expect(exitCode).toBe(79);
});

test('analyze: what the files hold nothing of is not missed (E.04)', async () => {
  const { stdout, stderr, exitCode } = await analyze([routeTo('b')]);
  expect({ stdout, stderr, exitCode }).toEqual({
    stdout: '',
    stderr: '\u2714 No validation issues found when analyzing in.yaml.\n',
    exitCode: 0,
  });
});

test('analyze: with --use-kube=false Services of files are not looked at, as in istioctl (E.04)', async () => {
  expect(await lines([service('a'), routeTo('b')], '--use-kube=false')).toEqual([]);
  await expect(analyze([service('a')], '--use-kube=true')).rejects.toThrow(
    /a cluster cannot be analyzed yet/,
  );
});

test('analyze: JSON and YAML, which always end well (E.04)', async () => {
  const json = await analyze([service('a'), routeTo('b')], '-o', 'json');
  expect(json.exitCode).toBe(0);
  expect(JSON.parse(json.stdout)).toEqual([
    {
      code: 'IST0101',
      documentationUrl: 'https://istio.io/latest/docs/reference/config/analysis/ist0101/',
      level: 'Error',
      message: 'host not found: "b"',
      origin: 'VirtualService default/v',
      reference: 'in.yaml:12',
    },
  ]);
  const yaml = await analyze([service('a'), routeTo('b')], '-o', 'yaml');
  expect(yaml.stdout).toContain('- code: IST0101\n');
});

test('analyze: thresholds of what is shown and of what fails are their own (E.04)', async () => {
  expect(await lines([namespace])).toEqual([
    'Info [IST0102] (Namespace shop in.yaml:3) namespace shop neither asks for sidecars nor declines them; label it istio-injection=enabled or istio-injection=disabled',
  ]);
  expect(await lines([namespace], '--output-threshold', 'warning')).toEqual([]);
  const { stdout, exitCode } = await analyze(
    [namespace],
    '--output-threshold',
    'Error',
    '--failure-threshold',
    'Info',
  );
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 79 });
});

test('analyze: suppressed by the command line, in either form of the name, and by an annotation (E.04)', async () => {
  const documents = [service('a'), routeTo('b', 'shop')];
  for (const object of ['VirtualService shop/v', 'VirtualService v.shop', 'VirtualService *', '*', '*/v'])
    expect(await lines(documents, '-S', `IST0101=${object}`), object).toEqual([]);
  for (const other of ['IST0101=VirtualService shop/w', 'IST0102=*', 'IST0101=Virtual'])
    expect(await lines(documents, '-S', other), other).toHaveLength(1);
  const annotated = (codes: string): string =>
    routeTo('b', 'shop', `, annotations: { galley.istio.io/analyze-suppress: '${codes}' }`);
  expect(await lines([service('a'), annotated('IST0102,IST0101')])).toEqual([]);
  expect(await lines([service('a'), annotated('*')])).toEqual([]);
  expect(await lines([service('a'), annotated('IST0102')])).toHaveLength(1);
  const { stderr } = await analyze([service('a')], '-S', 'IST9999=*');
  expect(stderr).toContain('no message has the code IST9999');
});

test('analyze: -n names the namespace of what has none, and shows it alone; -A shows all (E.04)', async () => {
  const documents = [service('a'), routeTo('b', 'shop')];
  expect(await lines(documents, '-n', 'default')).toEqual([]);
  expect(await lines(documents, '-n', 'default', '-A')).toHaveLength(1);
  expect(
    await lines([service('a', 'x'), routeTo('b', 'x').replace(', namespace: x', '')], '-n', 'shop'),
  ).toEqual(['Error [IST0101] (VirtualService shop/v in.yaml:12) host not found: "b"']);
});

test('analyze: an object that is wrong is said to be, and the others are looked at (E.04)', async () => {
  const broken = routeTo('a').replace('http:', 'htpp:').replace('name: v', 'name: w');
  expect(await lines([service('a'), broken, routeTo('b')])).toEqual([
    'Error [IST0101] (VirtualService default/v in.yaml:20) host not found: "b"',
    'Error [IST0106] (VirtualService default/w in.yaml:11) spec.htpp: unknown field "htpp"; did you mean http?',
  ]);
});

test('analyze: a document that is no YAML is counted, and ends with 65 unless it may (E.04)', async () => {
  const documents = [service('a'), 'a: [', routeTo('a')];
  const { stderr, exitCode } = await analyze(documents);
  expect(stderr).toContain('errors parsing content "in.yaml": in.yaml:');
  expect(stderr).toContain('(but 1 document could not be parsed)');
  expect(exitCode).toBe(65);
  expect((await analyze(documents, '--ignore-unknown=true')).exitCode).toBe(0);
});

test('analyze: one analyzer by name, and a hint for a name that is none (E.04)', async () => {
  const name = 'virtualservice.DestinationHostAnalyzer';
  expect(await lines([service('a'), namespace, routeTo('b')], '--analyzer', name)).toHaveLength(1);
  await expect(
    analyze([service('a')], '--analyzer', 'virtualservice.DestinationHostsAnalyzer'),
  ).rejects.toThrow(/did you mean virtualservice\.DestinationHostAnalyzer/);
});

test('analyze: colours where they are asked for (E.04)', async () => {
  const { stdout } = await analyze([service('a'), routeTo('b')], '--color=true');
  expect(stdout.startsWith('\u001b[1;31mError\u001b[0m [IST0101] ')).toBe(true);
});

test('analyze: nothing in a file makes a line of its own (E.04, traps row 20)', async () => {
  const printed = await lines([service('a'), routeTo('"b\\nError [IST0001] (x) forged"')]);
  expect(printed.length).toBeGreaterThan(0);
  for (const line of printed) expect(line).toMatch(/^Error \[IST0(?:101|106)\] \(VirtualService default\/v /);
});

test("analyze: a namespace that gives another one's host a meaning for all (traps row 18)", async () => {
  const foreign = routeTo('shop.owner.svc.cluster.local', 'thief');
  const message =
    'routes shop.owner.svc.cluster.local, a host of namespace owner, for others than its own namespace; exportTo ["."] keeps it to its own clients';
  const documents = [service('shop', 'owner')];
  expect(await lines([...documents, foreign])).toEqual([
    `Warning [FL0004] (VirtualService thief/v in.yaml:10) ${message}`,
  ]);
  expect(await lines([...documents, foreign.replace('spec:', 'spec:\n  exportTo: [.]')])).toEqual([]);
  expect(
    await lines([...documents, foreign.replaceAll('namespace: thief', 'namespace: istio-system')]),
  ).toEqual([]);
  expect(await lines([...documents, foreign.replaceAll('namespace: thief', 'namespace: owner')])).toEqual([]);
});

test('doesGlobMatch: a star is any text, all else is itself', () => {
  expect(doesGlobMatch('a*c', 'abc')).toBe(true);
  expect(doesGlobMatch('a*c', 'ac')).toBe(true);
  expect(doesGlobMatch('a*a', 'a')).toBe(false);
  expect(doesGlobMatch('*b*', 'abc')).toBe(true);
  expect(doesGlobMatch('a.c', 'abc')).toBe(false);
  expect(doesGlobMatch('*', '')).toBe(true);
});

test('analyze: a rule that hands over to a VirtualService which is not there, or is no delegate', async () => {
  const root = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: root }
spec:
  hosts: [app.com]
  http:
  - match: [{ uri: { prefix: /a } }]
    delegate: { name: v }
  - delegate: { name: gone, namespace: shop }`;
  expect(await lines([service('a'), routeTo('a'), root])).toEqual([
    'Error [IST0101] (VirtualService default/root in.yaml:21) delegate VirtualService (one without hosts) not found: "default/v"',
    'Error [IST0101] (VirtualService default/root in.yaml:22) delegate VirtualService not found: "shop/gone"',
  ]);
  const delegate = (name: string, owner: string): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${owner} }
spec:
  http:
  - route: [{ destination: { host: a.default.svc.cluster.local } }]`;
  expect(await lines([service('a'), delegate('v', 'default'), delegate('gone', 'shop'), root])).toEqual([]);
});
