// A data plane as a process of its own, ours or stock Envoy, from a bootstrap.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { call } from './http.ts';
import type { DataPlane } from './mesh.ts';
import { fairleadMain } from './mesh.ts';
import { waitFor } from './wait.ts';

export interface ProxyProcess {
  readonly child: ChildProcess;
  /** All that it wrote. */
  output(): string;
  /** GET (or `method`) on the admin port. */
  admin(
    path: string,
    method?: string,
  ): Promise<{ status: number; body: string; headers: Readonly<Record<string, string>> }>;
  /** Sends SIGKILL and waits. */
  stop(): Promise<void>;
}

/** Starts it and waits until the admin port answers. */
export async function startProxyProcess(
  plane: DataPlane,
  bootstrap: string,
  adminPort: number,
): Promise<ProxyProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-proxy-'));
  const file = join(directory, 'bootstrap.yaml');
  writeFileSync(file, bootstrap);
  const [program, args] =
    plane === 'envoy'
      ? ([
          'envoy',
          [
            '-c',
            file,
            '--concurrency',
            '1',
            '--disable-hot-restart',
            '-l',
            'warn',
            '--file-flush-interval-msec',
            '100',
          ],
        ] as const)
      : ([process.execPath, [process.env['FAIRLEAD_MAIN'] ?? fairleadMain, 'proxy', '-c', file]] as const);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const proxy: ProxyProcess = {
    child,
    output: () => text,
    admin: (path, method = 'GET') => call({ method, url: `http://127.0.0.1:${adminPort}${path}` }),
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    await waitFor(
      `the admin port of ${plane}`,
      async () => (await proxy.admin('/server_info')).status === 200 || undefined,
    );
  } catch (error) {
    await proxy.stop();
    throw new Error(`${plane} did not start:\n${text}`, { cause: error });
  }
  return proxy;
}
