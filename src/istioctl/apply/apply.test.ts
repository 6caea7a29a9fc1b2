import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { systemClock } from '../../base/clock.ts';
import { readText } from '../../config/reader.ts';
import { configDigest } from '../../config/config-digest.ts';
import { ControlPlane } from '../control-plane.ts';
import type { ApplyOptions } from './apply.ts';
import { applyManifests, deleteObjects } from './apply.ts';
import { readManifests } from './manifests.ts';
import type { Disk } from './write-files.ts';
import { realDisk } from './write-files.ts';

const rule = (name: string, host: string, namespace = ''): string =>
  `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}${namespace === '' ? '' : `, namespace: ${namespace}`}}
spec: {host: ${host}}
`;

let folder: string;
let lines: string[];
let server: Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-apply-'));
  mkdirSync(join(folder, 'mesh'));
  lines = [];
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  const running = server;
  server = undefined;
  if (running !== undefined) await new Promise((resolve) => void running.close(resolve));
});

function options(part: Partial<ApplyOptions> = {}): ApplyOptions {
  return {
    clock: systemClock,
    controlPlane: new ControlPlane(systemClock, '127.0.0.1:1'),
    directory: join(folder, 'mesh'),
    timeoutMs: undefined,
    uniqueName: 'test',
    workingDirectory: folder,
    write: (line) => void lines.push(line),
    tell: () => {},
    ...part,
  };
}

function apply(text: string, part: Partial<ApplyOptions> = {}, namespace?: string): Promise<void> {
  const { manifests } = readManifests({ paths: ['-'], readStdin: () => text, namespace });
  return applyManifests(manifests, options(part));
}

function put(file: string, text: string): void {
  writeFileSync(join(folder, 'mesh', file), text);
}

function got(file: string): string {
  return readFileSync(join(folder, 'mesh', file), 'utf8');
}

function files(): readonly string[] {
  return readdirSync(join(folder, 'mesh')).sort();
}

describe('applyManifests', () => {
  test('a new object gets a file of its own, named for it', async () => {
    await apply([rule('web', 'web'), rule('web', 'web', 'shop')].join('---\n'));
    expect(files()).toEqual(['destinationrule-shop-web.yaml', 'destinationrule-web.yaml']);
    expect(lines).toEqual([
      'destinationrule.networking.istio.io/web created',
      'destinationrule.networking.istio.io/web created',
    ]);
    put('destinationrule-api.yaml', rule('other', 'other'));
    await apply(rule('api', 'api'));
    expect(got('destinationrule-api-2.yaml')).toBe(rule('api', 'api'));
  });

  test('an object of the longest name gets a file, and so does one that begins like it', async () => {
    for (const last of ['a', 'b'])
      await apply(
        `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${'n'.repeat(252)}${last}, namespace: ${'s'.repeat(63)}}\n`,
      );
    const [one = '', two = ''] = files();
    expect(one).toMatch(/^configmap-s+-n+-2\.yaml$/);
    expect(two).toMatch(/^configmap-s+-n+\.yaml$/);
  });

  test('a new file with a Secret is for its owner alone', async () => {
    const secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {key: x}\n';
    await apply([rule('a', 'a'), secret].join('---\n'));
    const shared = files().filter((file) => (statSync(join(folder, 'mesh', file)).mode & 0o077) !== 0);
    // What others may read follows from the umask; the Secret is not among it.
    expect(files()).toEqual(['destinationrule-a.yaml', 'secret-a.yaml']);
    expect(shared).not.toContain('secret-a.yaml');
  });

  test('in place: the document alone, with the comments around it, the marker, and the file’s line ends', async () => {
    const before = `# Of the shop.\n${rule('a', 'a')}# Below a.\n---\n# Of b.\n${rule('b', 'b')}# Last.\n`;
    put('all.yaml', before);
    await apply(`# Mine.\n${rule('a', 'x')}`);
    expect(got('all.yaml')).toBe(before.replace('host: a', 'host: x'));
    await apply(rule('b', 'y'));
    expect(got('all.yaml')).toBe(before.replace('host: a', 'host: x').replace('host: b', 'host: y'));
    put('windows.yaml', rule('w', 'w').replaceAll('\n', '\r\n'));
    await apply(rule('w', 'z'));
    expect(got('windows.yaml')).toBe(rule('w', 'z').replaceAll('\n', '\r\n'));
    expect(files()).toEqual(['all.yaml', 'windows.yaml']);
  });

  test('in place: JSON stays JSON; what says the same is not written', async () => {
    put(
      'rule.json',
      JSON.stringify({
        apiVersion: 'networking.istio.io/v1',
        kind: 'DestinationRule',
        metadata: { name: 'a' },
        spec: { host: 'a' },
      }),
    );
    const before = statSync(join(folder, 'mesh/rule.json')).mtimeMs;
    await apply(rule('a', 'a'));
    expect([lines, statSync(join(folder, 'mesh/rule.json')).mtimeMs]).toEqual([
      ['destinationrule.networking.istio.io/a unchanged'],
      before,
    ]);
    await apply(rule('a', 'b'));
    expect(JSON.parse(got('rule.json'))).toMatchObject({ spec: { host: 'b' } });
  });

  test('in place: an object that stands there broken is replaced, a symlink stays one', async () => {
    writeFileSync(join(folder, 'elsewhere.yaml'), rule('a', 'a').replace('spec', 'spce'));
    symlinkSync('../elsewhere.yaml', join(folder, 'mesh/a.yaml'));
    await apply(rule('a', 'b'));
    expect(readFileSync(join(folder, 'elsewhere.yaml'), 'utf8')).toBe(rule('a', 'b'));
    expect(lstatSync(join(folder, 'mesh/a.yaml')).isSymbolicLink()).toBe(true);
  });

  test('an object in a list is refused with its place; nothing is written', async () => {
    put(
      'list.yaml',
      `\napiVersion: v1\nkind: List\nitems:\n- ${rule('a', 'a').trim().replaceAll('\n', '\n  ')}\n`,
    );
    await expect(apply([rule('new', 'new'), rule('a', 'b')].join('---\n'))).rejects.toThrow(
      /^nothing was written: the object stands in a list at .*list\.yaml:1, /,
    );
    expect(files()).toEqual(['list.yaml']);
  });

  test('items of a list that is applied become documents of their own', async () => {
    await apply(
      `apiVersion: v1\nkind: List\nitems:\n- ${rule('a', 'a').trim().replaceAll('\n', '\n  ')}\n- ${rule('b', 'b').trim().replaceAll('\n', '\n  ')}\n`,
    );
    expect(files()).toEqual(['destinationrule-a.yaml', 'destinationrule-b.yaml']);
    expect(readText('a', got('destinationrule-a.yaml')).configs[0]).toMatchObject({
      name: 'a',
      spec: { host: 'a' },
    });
  });

  test('namespace: written into objects that name none, and refused for those that name another', async () => {
    await apply(`# Mine.\n${rule('a', 'a')}`, {}, 'shop');
    expect(readText('a', got('destinationrule-shop-a.yaml')).configs[0]).toMatchObject({ namespace: 'shop' });
    expect(got('destinationrule-shop-a.yaml')).toMatch(/^# Mine\.\n/);
    expect(() =>
      readManifests({ paths: ['-'], readStdin: () => rule('a', 'a', 'other'), namespace: 'shop' }),
    ).toThrow('does not match the namespace "shop". You must pass \'--namespace=other\'');
  });

  test('invalid, or twice: everything that is wrong is told, and nothing can be applied', () => {
    const read = (text: string) => () =>
      readManifests({ paths: ['-'], readStdin: () => text, namespace: undefined });
    expect(read(`${rule('a', 'a')}---\n${rule('b', '"*.*"')}`)).toThrow(
      /^nothing was written, for not everything is valid:\nstdin:9:/,
    );
    expect(read(`${rule('a', 'a')}---\n${rule('a', 'b')}`)).toThrow('this name is taken');
  });

  test('a full disk, a read-only one, one that fails in the middle: what was written is said, and nothing is left over', async () => {
    put('a.yaml', rule('a', 'a'));
    const failing = (code: string, at: number): Disk => {
      let writes = 0;
      return {
        ...realDisk,
        write(file, text, mode) {
          if (++writes === at) throw Object.assign(new Error(code), { code });
          realDisk.write(file, text, mode);
        },
      };
    };
    const both = [rule('a', 'x'), rule('b', 'b')].join('---\n');
    await expect(apply(both, { disk: failing('ENOSPC', 2) })).rejects.toThrow(
      /^cannot write .*destinationrule-b\.yaml: the disk is full; nothing was written$/,
    );
    await expect(apply(both, { disk: failing('EROFS', 1) })).rejects.toThrow(
      /a\.yaml: the file system is read-only; nothing was written$/,
    );
    expect([files(), got('a.yaml')]).toEqual([['a.yaml'], rule('a', 'a')]);
    let renames = 0;
    const stuck: Disk = {
      ...realDisk,
      rename(from, to) {
        if (++renames === 2) throw Object.assign(new Error('EACCES'), { code: 'EACCES' });
        realDisk.rename(from, to);
      },
    };
    await expect(apply(both, { disk: stuck })).rejects.toThrow(
      /destinationrule-b\.yaml: permission denied; only .*a\.yaml was written$/,
    );
    expect([files(), got('a.yaml')]).toEqual([['a.yaml'], rule('a', 'x')]);
    await expect(apply(rule('c', 'c'), { directory: join(folder, 'gone') })).rejects.toThrow(
      'there is no directory',
    );
    expect(lines).toEqual([]);
  });

  test('a control plane that stays at the old form, or refuses the new one, is told of with its reason', async () => {
    const [old] = readText('a', rule('a', 'a')).configs;
    let object: Record<string, unknown> = {
      inForce: true,
      revision: 4,
      digest: old === undefined ? '' : configDigest(old),
      diagnostics: [],
    };
    server = createServer((request, response) => {
      const isSources = request.url === '/debug/config_sources';
      const sources = [{ path: 'mesh', absolutePath: join(folder, 'mesh') }];
      response.end(
        JSON.stringify(
          isSources ? { sources } : { latest: 4, startedAt: '', revision: 4, accepted: true, object },
        ),
      );
    });
    await new Promise<void>((resolve) => void server?.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const controlPlane = new ControlPlane(systemClock, address);
    // A clock that stands: the time is over at once.
    const waiting = { controlPlane, directory: undefined, clock: new FakeClock(), timeoutMs: 0 };
    await expect(apply(rule('a', 'b'), waiting)).rejects.toThrow(
      `the control plane at http://${address} has not taken destinationrule.networking.istio.io/a over: it still has the form of revision 4`,
    );
    object = {
      ...object,
      diagnostics: [
        { severity: 'error', text: 'mesh/z.yaml:1:1: DestinationRule default/a: no', file: '', line: 1 },
      ],
    };
    await expect(apply(rule('a', 'c'), waiting)).rejects.toThrow(
      'it refuses it\nmesh/z.yaml:1:1: DestinationRule default/a: no',
    );
    await expect(apply(rule('a', 'd'), { ...waiting, directory: tmpdir() })).rejects.toThrow(
      `does not read --config ${tmpdir()}, but ${join(folder, 'mesh')}; nothing was written`,
    );
  });
});

describe('deleteObjects', () => {
  const key = (name: string) => ({
    group: 'networking.istio.io',
    kind: 'DestinationRule',
    namespace: 'default',
    name,
  });

  test('the document goes, wherever it stands, and a file in which nothing else stands', async () => {
    put('a.yaml', `# Only this.\n${rule('a', 'a')}`);
    put('both.yaml', [rule('a', 'a'), rule('b', 'b'), rule('a', 'a')].join('---\n'));
    await deleteObjects([key('a')], options());
    expect(files()).toEqual(['both.yaml']);
    expect(readText('b', got('both.yaml')).configs.map(({ name }) => name)).toEqual(['b']);
    expect(lines).toEqual(['destinationrule.networking.istio.io "a" deleted']);
  });

  test('what is not there is said, after the others have gone', async () => {
    put('a.yaml', rule('a', 'a'));
    await expect(deleteObjects([key('none'), key('a')], options())).rejects.toThrow(
      '(NotFound): destinationrule.networking.istio.io "none" not found',
    );
    expect(files()).toEqual([]);
  });
});
