// Tests of who has a port, with a real listener.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { listenError, portOwner } from './port-owner.ts';

test('portOwner: names the process that listens, on one address or on all', async () => {
  for (const host of ['127.80.200.1', '0.0.0.0']) {
    const server = createServer();
    const port = host === '0.0.0.0' ? 25_991 : 25_990;
    await new Promise<void>((resolve) => {
      server.listen(port, host, resolve);
    });
    try {
      expect((await listenError('127.80.200.1', port))?.code).toBe('EADDRINUSE');
      const owner = portOwner('127.80.200.1', port);
      expect(owner?.pid).toBe(process.pid);
      expect(owner?.command).toContain('node');
      if (host !== '0.0.0.0') expect(portOwner('127.80.200.2', port)).toBeUndefined();
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await listenError('127.80.200.1', port)).toBeUndefined();
    expect(portOwner('127.80.200.1', port)).toBeUndefined();
  }
});

test('portOwner: of a process that its own program started, the starter is named', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'port-owner-'));
  const script = join(folder, 'main.js');
  writeFileSync(
    script,
    `if (process.argv[2] === 'child') require('net').createServer().listen(25992, '127.80.200.1');
else {
  const child = require('child_process').spawn(process.execPath, [__filename, 'child']);
  process.on('SIGTERM', () => (child.kill(), process.exit()));
}`,
  );
  const parent = spawn(process.execPath, [script, 'up'], { cwd: folder });
  try {
    await vi.waitFor(() => expect(portOwner('127.80.200.1', 25_992)).toBeDefined(), 5000);
    expect(portOwner('127.80.200.1', 25_992)).toMatchObject({
      pid: parent.pid,
      command: expect.stringContaining('main.js up'),
    });
  } finally {
    parent.kill();
    rmSync(folder, { recursive: true });
  }
});
