// What stands in a directory of configuration and is no configuration: pipes, devices, endless files, webs of links.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { DirectorySource } from './directory.ts';
import { filesOf, readBounded } from './read-files.ts';
import { fileBytesMax } from './reader.ts';
import { ConfigStore } from './store.ts';

let directory: string;
let logs: string[];
let source: DirectorySource | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-hostile-'));
  logs = [];
});

afterEach(() => {
  source?.close();
  source = undefined;
  rmSync(directory, { recursive: true, force: true });
});

const service = 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n';

function read(): ConfigStore {
  const store = new ConfigStore();
  const loggers = new LoggerRegistry({ write: (line) => void logs.push(line) });
  source = new DirectorySource({
    path: directory,
    store,
    clock: new FakeClock(),
    logger: loggers.logger('config'),
  });
  source.start();
  return store;
}

/** Says that it is empty, and has 256 GB. */
const endless = '/proc/self/pagemap';

test.runIf(existsSync(endless))(
  'DirectorySource: a link to a file without end is read no further than a file may be long (traps 17)',
  () => {
    writeFileSync(join(directory, 'a.yaml'), service);
    symlinkSync(endless, join(directory, 'b.yaml'));
    const before = process.memoryUsage().rss;
    expect(read().list('Service')).toHaveLength(1);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
    expect(logs.join('\n')).toContain('b.yaml:1:1: ');
  },
);

test('DirectorySource: links among a few directories are not followed on each of their millions of ways (traps 17)', () => {
  const names = Array.from({ length: 12 }, (_, index) => `d${index}`);
  for (const name of names) mkdirSync(join(directory, name));
  for (const name of names)
    for (const other of names)
      if (other !== name) symlinkSync(join('..', other), join(directory, name, other));
  writeFileSync(join(directory, 'a.yaml'), service);
  expect(read().list('Service')).toHaveLength(1);
  expect(logs.join('\n')).toMatch(/more than 10000 directories below .*; the others are not read/);
});

test('filesOf: pipes and devices in a directory are no files; one that is named is meant (traps 17)', () => {
  writeFileSync(join(directory, 'a.yaml'), service);
  execFileSync('mkfifo', [join(directory, 'b.yaml')]);
  symlinkSync('/dev/zero', join(directory, 'c.yaml'));
  expect(filesOf([directory]).files).toEqual([join(directory, 'a.yaml')]);
  expect(filesOf([join(directory, 'c.yaml')]).files).toEqual([join(directory, 'c.yaml')]);
});

test('readBounded: of a device without end no more than makes it too long (traps 17)', () => {
  expect(readBounded('/dev/zero')).toHaveLength(fileBytesMax + 1);
  expect(readBounded('/dev/null')).toHaveLength(0);
  const file = join(directory, 'a.yaml');
  writeFileSync(file, 'x'.repeat(10_000));
  expect(readBounded(file).toString()).toBe('x'.repeat(10_000));
});
