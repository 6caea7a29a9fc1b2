import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  openSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/logger.ts';
import { formatDiagnostic } from './config.ts';
import { DirectorySource } from './directory.ts';
import { ConfigStore } from './store.ts';

let directory: string;
let store: ConfigStore;
let source: DirectorySource | undefined;
let events: string[];
let errors: string[];
let waiters: (() => void)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-directory-'));
  store = new ConfigStore();
  events = [];
  errors = [];
  waiters = [];
  store.subscribe((changes) => {
    events.push(
      changes
        .map(
          ({ key, before, after }) => `${before === undefined ? '+' : after === undefined ? '-' : '~'}${key}`,
        )
        .join(' '),
    );
    for (const waiter of waiters) waiter();
  });
  store.subscribeDiagnostics(() => {
    for (const waiter of waiters) waiter();
  });
});

afterEach(() => {
  source?.close();
  source = undefined;
  rmSync(directory, { recursive: true, force: true });
});

function start(path = directory, rescanMs = 60_000, clock: Clock = systemClock): void {
  const logger = { ...silentLogger, error: (message: string): void => void errors.push(message) };
  source = new DirectorySource({ path, store, clock, logger, rescanMs });
  source.start();
}

/** Writes a file below the directory, as an ordinary program does: truncate, then write. */
function write(path: string, text: string): void {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function configMap(name: string, value: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  value: ${value}\n`;
}

function valueOf(name: string): string | undefined {
  const spec = store.get('ConfigMap', 'default', name)?.spec as { data?: Record<string, string> } | undefined;
  return spec?.data?.['value'];
}

/** The store as `name=value`, sorted. */
function contents(): string {
  return store
    .list('ConfigMap')
    .map(({ name }) => `${name}=${valueOf(name)}`)
    .join(' ');
}

function complaints(): string[] {
  return store.diagnostics().map((diagnostic) => formatDiagnostic(diagnostic).replace(`${directory}/`, ''));
}

/** Resolves as soon as `check` holds; looks after each event of the store. */
function until(check: () => boolean, what: string, deadlineMs = 5000): Promise<void> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      reject(
        new Error(
          `not in ${deadlineMs} ms: ${what}; the store holds ${contents()}; ${complaints().join('; ')}`,
        ),
      );
    }, deadlineMs);
    const waiter = (): void => {
      if (!check()) return;
      clearTimeout(deadline);
      waiters = waiters.filter((other) => other !== waiter);
      resolve();
    };
    waiters.push(waiter);
    waiter();
  });
}

async function untilContents(expected: string): Promise<void> {
  await until(() => contents() === expected, `the store holds ${expected}`);
}

test('DirectorySource: reads the tree at once, recursively, in one event', () => {
  write('a.yaml', configMap('a', 'one'));
  write('deep/er/b.yml', configMap('b', 'two'));
  write(
    'deep/c.json',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'c' },
      data: { value: 'three' },
    }),
  );
  write('notes.txt', 'not configuration');
  write('.git/x.yaml', configMap('hidden', 'no'));
  start();
  expect(contents()).toBe('a=one b=two c=three');
  expect(events).toEqual(['+ConfigMap/default/a +ConfigMap/default/b +ConfigMap/default/c']);
});

test('DirectorySource: a changed file gives its change alone, and a comment gives none', async () => {
  write('a.yaml', configMap('a', 'one') + '---\n' + configMap('b', 'one'));
  start();
  events.length = 0;
  write('a.yaml', '# a comment\n' + configMap('a', 'one') + '---\n' + configMap('b', 'two'));
  await untilContents('a=one b=two');
  expect(events).toEqual(['~ConfigMap/default/b']);
  expect(store.get('ConfigMap', 'default', 'b')?.locate(['data', 'value'])).toMatchObject({
    line: 14,
    column: 3,
  });
});

test('DirectorySource: a file replaced by rename is read at once', async () => {
  write('a.yaml', configMap('a', 'one'));
  start();
  for (const value of ['two', 'three', 'four']) {
    write('a.yaml.tmp', configMap('a', value));
    renameSync(join(directory, 'a.yaml.tmp'), join(directory, 'a.yaml'));
    await untilContents(`a=${value}`);
  }
  expect(events).toHaveLength(4);
});

test('DirectorySource: the moment in which a file is empty or cut takes nothing away', async () => {
  const text = configMap('a', 'one') + '---\n' + configMap('b', 'one');
  write('a.yaml', text);
  // A clock that stands still: no settling time is ever over.
  start(directory, 60_000, new FakeClock());
  events.length = 0;
  const changed = text.replaceAll('one', 'two');
  const descriptor = openSync(join(directory, 'a.yaml'), 'w');
  // Each piece is one event: emptied, cut within a word, cut between documents, whole.
  for (const piece of [
    changed.slice(0, 30),
    changed.slice(30, configMap('a', 'one').length),
    changed.slice(configMap('a', 'one').length),
  ]) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    writeSync(descriptor, piece);
  }
  closeSync(descriptor);
  await untilContents('a=two b=two');
  expect(events.join(' ')).not.toContain('-');
});

test('fault: the disk is full: a file stays empty or cut; what it held stays in force, and that is said', async () => {
  const text = configMap('a', 'one') + '---\n' + configMap('b', 'one');
  write('a.yaml', text);
  write('b.yaml', configMap('c', 'one'));
  start();
  const changed = text.replaceAll('one', 'two');
  writeFileSync(join(directory, 'a.yaml'), '');
  await until(() => complaints().length > 0, 'a complaint');
  expect(complaints()).toEqual([
    'a.yaml:1:1: is empty; what it held before stays in force: delete the file to take that away',
  ]);
  expect(contents()).toBe('a=one b=one c=one');
  // As many bytes as there was room for.
  writeFileSync(join(directory, 'a.yaml'), changed.slice(0, changed.lastIndexOf('name: b')));
  await until(() => complaints().some((line) => !line.includes('is empty')), 'another complaint');
  expect(contents()).toMatch(/^a=\w+ b=one c=one$/);
  // Others can be changed meanwhile, and room comes back.
  write('b.yaml', configMap('c', 'two'));
  await until(() => contents().endsWith('c=two'), 'c');
  writeFileSync(join(directory, 'a.yaml'), changed);
  await untilContents('a=two b=two c=two');
  await until(() => complaints().length === 0, 'no complaint');
  rmSync(join(directory, 'a.yaml'));
  await untilContents('c=two');
});

test('fault: the directory is deleted and created again: all stays in force meanwhile, and then what is there counts', async () => {
  const root = join(directory, 'root');
  write('root/a.yaml', configMap('a', 'one'));
  write('root/deep/b.yaml', configMap('b', 'one'));
  start(root, 20);
  rmSync(root, { recursive: true });
  await until(() => complaints().length > 0, 'a complaint');
  expect(contents()).toBe('a=one b=one');
  write('root/a.yaml', configMap('a', 'two'));
  await untilContents('a=two');
  await until(() => complaints().length === 0, 'no complaint');
  // The new directory is watched, not the old one.
  write('root/deep/c.yaml', configMap('c', 'one'));
  await untilContents('a=two c=one');
});

test('DirectorySource: a broken file is reported after a moment; its objects and all others stay', async () => {
  write('a.yaml', configMap('a', 'one'));
  write('b.yaml', configMap('b', 'one'));
  start();
  write('a.yaml', 'apiVersion: v1\nkind: [\n');
  await until(() => complaints().length > 0, 'a complaint');
  expect(complaints()[0]).toMatch(/^a\.yaml:3:1: not YAML: /);
  expect(contents()).toBe('a=one b=one');
  write('b.yaml', configMap('b', 'two'));
  await untilContents('a=one b=two');
  write('a.yaml', configMap('a', 'three'));
  await untilContents('a=three b=two');
  expect(complaints()).toEqual([]);
});

test('DirectorySource: the last good version of a broken object stays, its neighbours change', async () => {
  write('a.yaml', configMap('a', 'one') + '---\n' + configMap('b', 'one'));
  start();
  write('a.yaml', configMap('a', '[1]') + '---\n' + configMap('b', 'two'));
  await untilContents('a=one b=two');
  expect(complaints()).toEqual(['a.yaml:6:3: ConfigMap default/a: data.value: must be a string, not a list']);
  // Moved to another file and still broken: the last good version goes along.
  write('c.yaml', configMap('a', '[2]'));
  write('a.yaml', configMap('b', 'three'));
  await untilContents('a=one b=three');
  // Gone from everywhere: gone.
  unlinkSync(join(directory, 'c.yaml'));
  await untilContents('b=three');
});

test('DirectorySource: a deleted file takes its objects, a renamed one does not even blink', async () => {
  write('a.yaml', configMap('a', 'one'));
  write('b.yaml', configMap('b', 'one'));
  start();
  events.length = 0;
  renameSync(join(directory, 'a.yaml'), join(directory, 'z.yaml'));
  unlinkSync(join(directory, 'b.yaml'));
  await untilContents('a=one');
  expect(events).toEqual(['-ConfigMap/default/b']);
  expect(store.get('ConfigMap', 'default', 'a')?.locate([]).file).toBe(join(directory, 'z.yaml'));
  expect(complaints()).toEqual([]);
});

test("DirectorySource: editors' temporary files are not looked at", async () => {
  write('a.yaml', configMap('a', 'one'));
  start();
  const copy = configMap('copy', 'of an editor');
  for (const name of ['.a.yaml.swp', 'a.yaml~', '#a.yaml#', '.#a.yaml', '4913', 'a.yaml.tmp', 'a.yaml.bak'])
    write(name, copy);
  // vim: the old file is renamed away, the new one is written in its place, the copy is deleted.
  renameSync(join(directory, 'a.yaml'), join(directory, 'a.yaml~'));
  write('a.yaml', configMap('a', 'two'));
  unlinkSync(join(directory, 'a.yaml~'));
  await untilContents('a=two');
  expect(events).toEqual(['+ConfigMap/default/a', '~ConfigMap/default/a']);
});

test('DirectorySource: directories that come, move and go', async () => {
  start();
  mkdirSync(join(directory, 'one/two'), { recursive: true });
  write('one/two/a.yaml', configMap('a', 'one'));
  await untilContents('a=one');
  renameSync(join(directory, 'one'), join(directory, 'moved'));
  write('moved/two/a.yaml', configMap('a', 'two'));
  await untilContents('a=two');
  const elsewhere = mkdtempSync(join(tmpdir(), 'fairlead-elsewhere-'));
  mkdirSync(join(elsewhere, 'three'));
  writeFileSync(join(elsewhere, 'three/b.yaml'), configMap('b', 'one'));
  renameSync(join(elsewhere, 'three'), join(directory, 'three'));
  await untilContents('a=two b=one');
  // A directory in the place of another of the same name.
  mkdirSync(join(elsewhere, 'three'));
  writeFileSync(join(elsewhere, 'three/b.yaml'), configMap('b', 'two'));
  rmSync(join(directory, 'three'), { recursive: true });
  renameSync(join(elsewhere, 'three'), join(directory, 'three'));
  await untilContents('a=two b=two');
  write('three/b.yaml', configMap('b', 'three'));
  await untilContents('a=two b=three');
  rmSync(join(directory, 'moved'), { recursive: true });
  await untilContents('b=three');
  rmSync(elsewhere, { recursive: true });
});

test('DirectorySource: the symlink swap of a mounted ConfigMap', async () => {
  const version = (name: string, text: string): void => {
    write(`..${name}/a.yaml`, text);
    symlinkSync(`..${name}`, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  };
  version('2026_01', configMap('a', 'one'));
  symlinkSync('..data/a.yaml', join(directory, 'a.yaml'));
  start();
  expect(contents()).toBe('a=one');
  version('2026_02', configMap('a', 'two'));
  rmSync(join(directory, '..2026_01'), { recursive: true });
  await untilContents('a=two');
  version('2026_03', configMap('a', 'three'));
  await untilContents('a=three');
});

test('DirectorySource: a pipe is no file, and does not stop the others', async () => {
  start();
  execFileSync('mkfifo', [join(directory, 'pipe.yaml')]);
  write('a.yaml', configMap('a', 'one'));
  await untilContents('a=one');
  expect(complaints()).toEqual([]);
});

test('DirectorySource: a symlink to elsewhere is followed by the rescan, one that loops is not', async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'fairlead-elsewhere-'));
  writeFileSync(join(elsewhere, 'a.yaml'), configMap('a', 'one'));
  symlinkSync(join(elsewhere, 'a.yaml'), join(directory, 'a.yaml'));
  symlinkSync(directory, join(directory, 'loop'));
  symlinkSync('nothing', join(directory, 'dangling.yaml'));
  start(directory, 20);
  expect(contents()).toBe('a=one');
  writeFileSync(join(elsewhere, 'a.yaml'), configMap('a', 'two'));
  await untilContents('a=two');
  expect(complaints()).toEqual([]);
  rmSync(elsewhere, { recursive: true });
});

test.skipIf(process.platform !== 'linux')(
  'DirectorySource: a file that cannot be read is reported, and keeps what it held',
  async () => {
    write('a.yaml', configMap('a', 'one'));
    start();
    // A file that opens and then fails to be read, even for root.
    symlinkSync('/proc/self/mem', join(directory, 'a.tmp'));
    renameSync(join(directory, 'a.tmp'), join(directory, 'a.yaml'));
    await until(() => complaints().length > 0, 'a complaint');
    expect(complaints()).toEqual([
      'a.yaml:1:1: cannot be read (EIO: i/o error, read); what it held before stays in force',
    ]);
    expect(contents()).toBe('a=one');
    write('b.yaml', configMap('b', 'one'));
    await untilContents('a=one b=one');
  },
);

test('DirectorySource: a root that vanishes keeps everything in force until it is back', async () => {
  const root = join(directory, 'root');
  write('root/a.yaml', configMap('a', 'one'));
  start(root, 20);
  renameSync(root, join(directory, 'away'));
  await until(() => complaints().length > 0, 'a complaint');
  expect(complaints()[0]).toBe(
    'root:1:1: there is no such directory or file; what was read before stays in force until it is back',
  );
  // Word for word as the diagnostic, so that who shows both can leave one out.
  expect(new Set(errors).size).toBe(1);
  expect(contents()).toBe('a=one');
  cpSync(join(directory, 'away'), root, { recursive: true });
  write('root/a.yaml', configMap('a', 'two'));
  await untilContents('a=two');
  await until(() => complaints().length === 0, 'no complaint');
});

test('DirectorySource: one file as the root, replaced by rename', async () => {
  write('mesh.yaml', configMap('a', 'one'));
  write('other.yaml', configMap('b', 'one'));
  start(join(directory, 'mesh.yaml'));
  expect(contents()).toBe('a=one');
  write('mesh.new', configMap('a', 'two'));
  renameSync(join(directory, 'mesh.new'), join(directory, 'mesh.yaml'));
  await untilContents('a=two');
  write('mesh.yaml', configMap('a', 'three'));
  await untilContents('a=three');
});

test('DirectorySource: the same name in two files: the first by path is in force, the other is reported', async () => {
  write('b.yaml', configMap('a', 'of b'));
  start();
  write('a.yaml', configMap('a', 'of a'));
  await untilContents('a=of a');
  expect(complaints()).toEqual([
    `b.yaml:1:1: ConfigMap default/a: this name is taken by the object at ${directory}/a.yaml:1:1, which stays in force; rename one of them`,
  ]);
  unlinkSync(join(directory, 'a.yaml'));
  await untilContents('a=of b');
  expect(complaints()).toEqual([]);
});
