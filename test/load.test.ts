// `fairlead x mesh` and `fairlead x load` against our control plane, as processes: twenty proxies in each dialect.
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunReport } from '../src/load/tally.ts';
import { fairleadMain } from './support/mesh.ts';
import { waitFor } from './support/wait.ts';

let folder = '';
let pilot: ChildProcess | undefined;
let port = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-load-'));
  fairlead(
    'x',
    'mesh',
    '--services',
    '30',
    '--pods',
    '60',
    '--namespaces',
    '3',
    '--gateways',
    '2',
    '--out',
    mesh(),
  );
  const started = spawn(
    process.execPath,
    [
      fairleadMain,
      'pilot',
      '--config-dir',
      mesh(),
      '--grpc-addr',
      '127.0.0.1:0',
      '--http-addr',
      '127.0.0.1:0',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  pilot = started;
  let output = '';
  started.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  port = await waitFor(
    'the port of xDS',
    () => /plaintext\) on 127\.0\.0\.1:(\d+)/.exec(output)?.[1],
    20_000,
  );
});

afterAll(() => {
  pilot?.kill();
  rmSync(folder, { recursive: true, force: true });
});

const mesh = (): string => join(folder, 'mesh');

function fairlead(...args: readonly string[]): string {
  return execFileSync(process.execPath, [fairleadMain, ...args], { encoding: 'utf8', timeout: 60_000 });
}

function load(...args: readonly string[]): RunReport {
  const base = ['--address', `127.0.0.1:${port}`, '--mesh', mesh(), '--proxies', '20', '--json'];
  return JSON.parse(fairlead('x', 'load', ...base, ...args)) as RunReport;
}

test.each(['sotw', 'delta'])(
  'x load, %s: twenty proxies get everything, and a change reaches all of them',
  (dialect) => {
    const file = join(mesh(), 'ns-0/svc-0-routes.yaml');
    const before = readFileSync(file, 'utf8');
    const report = load(
      '--dialect',
      dialect,
      '--gateways',
      '1',
      '--duration',
      '1500ms',
      '--every',
      '300ms',
      '--change',
      `${file}:timeout: 5s=>timeout: 6s`,
    );
    expect(report).toMatchObject({ proxies: 20, open: 20, converged: 20, ends: {} });
    // 30 services of one port with two subsets each, and what every proxy has besides.
    expect(report.byType['Cluster']?.resources).toBeGreaterThanOrEqual(20 * 90);
    expect(report.byType['ClusterLoadAssignment']?.resources).toBeGreaterThanOrEqual(20 * 90);
    expect(report.byType['Listener']?.resources).toBeGreaterThan(0);
    for (const { nacks } of Object.values(report.byType)) expect(nacks).toBe(0);
    expect(report.changes).toBeGreaterThanOrEqual(2);
    expect(report.changeMs.count).toBe(report.changes * 20);
    expect(readFileSync(file, 'utf8')).toBe(before);
  },
);

test('x load: some lag, some refuse, some reconnect, and all are connected at the end', () => {
  const report = load(
    '--connections',
    '4',
    '--lagging',
    '20',
    '--ack-after',
    '200ms',
    '--nacking',
    '10',
    '--nack-every',
    '2',
    '--reconnecting',
    '20',
    '--duration',
    '2s',
  );
  expect(report).toMatchObject({ open: 20, ends: {} });
  expect(report.connectMs.count).toBeGreaterThan(25);
  const nacks = Object.values(report.byType).reduce((sum, tally) => sum + tally.nacks, 0);
  expect(nacks).toBeGreaterThan(0);
});

test('x load: the table for people, and what is refused', () => {
  const args = [
    '--address',
    `127.0.0.1:${port}`,
    '--proxies',
    '3',
    '--label',
    'app=svc-{n}',
    '--duration',
    '1s',
  ];
  const text = fairlead('x', 'load', ...args);
  expect(text).toMatch(/^3 proxies, 3 connected, 3 have all that they asked for\n/);
  expect(text).toMatch(/\nconnect -> converged +3 /);
  expect(text).toMatch(/\nTYPE +RESPONSES +RESOURCES +REMOVED +BYTES +ACKS +NACKS\n/);
  for (const [wrong, words] of [
    [['--address', '127.0.0.1:1', '--proxies', '2', '--duration', '1s'], ''],
    [['--proxies', '0'], 'is not a whole number from 1'],
    [['--nacking', '101'], 'is no number from 0 to 100'],
    [['--mesh', join(folder, 'nothing')], 'there is no file or directory'],
    [['--change', 'nothing'], 'is not of the form file:from=>to'],
    [['--gateways', '5', '--proxies', '2'], 'there are 2 proxies in all'],
  ] as const) {
    let failed: { readonly stderr?: unknown } | undefined;
    try {
      execFileSync(process.execPath, [fairleadMain, 'x', 'load', ...wrong], { stdio: 'pipe' });
    } catch (error) {
      failed = error as { readonly stderr?: unknown };
    }
    expect(failed).toBeDefined();
    expect(String(failed?.stderr)).toContain(words);
  }
});
