// Tests of local processes with real ones: lines, groups, restarts, and that nothing outlives us.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { waitFor } from '../../test/support/wait.ts';
import { systemClock } from '../base/clock.ts';
import { ProcessGuard, processesOfRun, reap } from './guard.ts';
import type { LineSink, ProcessExit, ProcessSpec, ProcessStarter, StartedProcess } from './process.ts';
import { LocalProcesses } from './process.ts';
import { sumActiveRequests } from './admin-client.ts';
import { SupervisedProcess, describeExit } from './supervised-process.ts';
import { proxyCommand } from './proxy-process.ts';

let directory: string;
let guard: ProcessGuard;
let processes: LocalProcesses;
let runId: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-process-'));
  runId = `test-${process.pid}-${performance.now()}`;
  const self = bundle();
  guard = new ProcessGuard({
    self,
    runId,
    stateDirectory: directory,
    environment: { PATH: process.env['PATH'] ?? '' },
  });
  processes = new LocalProcesses(guard, directory, systemClock);
});

afterEach(async () => {
  await guard.close();
  expect(existsSync(directory)).toBe(false);
});

let bundled: [string, ...string[]] | undefined;

/** A reaper of its own, built once: what `fairlead reap` runs. */
function bundle(): [string, ...string[]] {
  if (bundled !== undefined) return bundled;
  const outdir = mkdtempSync(join(tmpdir(), 'fairlead-bundle-'));
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const reaper = join(outdir, 'reaper.mjs');
  const source = join(outdir, 'reaper.ts');
  writeFileSync(
    source,
    `import { reap } from ${JSON.stringify(join(root, 'src/agent/guard.ts'))};
     import { systemClock } from ${JSON.stringify(join(root, 'src/base/clock.ts'))};
     await reap(process.stdin, process.argv[3], process.argv[4], systemClock);`,
  );
  const built = spawnSync(
    join(root, 'node_modules/.bin/esbuild'),
    [source, '--bundle', '--platform=node', '--format=esm', `--outfile=${reaper}`],
    { encoding: 'utf8' },
  );
  if (built.status !== 0) throw new Error(`cannot bundle the reaper: ${built.stderr}`);
  process.on('exit', () => rmSync(outdir, { recursive: true, force: true }));
  bundled = [process.execPath, reaper];
  return bundled;
}

function shell(script: string): ProcessSpec {
  return {
    command: 'sh',
    args: ['-c', script],
    environment: { PATH: process.env['PATH'] ?? '' },
    workingDirectory: directory,
  };
}

test('LocalProcesses: both outputs in order, long lines in pieces, the exit code', async () => {
  const lines: string[] = [];
  const started = processes.start(
    shell('echo one; echo two >&2; printf three; head -c 40000 /dev/zero | tr "\\0" x; exit 3'),
    (line) => lines.push(line),
  );
  expect(await started.exited).toEqual({ code: 3, signal: null });
  expect(lines.slice(0, 2)).toEqual(['one', 'two']);
  expect(lines.slice(2).join('')).toHaveLength(40005);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(16 * 1024);
});

test('LocalProcesses: /dev/stdout can be opened again, as nginx and Envoy do', async () => {
  const lines: string[] = [];
  const started = processes.start(shell('echo again > /dev/stdout'), (line) => lines.push(line));
  expect(await started.exited).toMatchObject({ code: 0 });
  expect(lines).toEqual(['again']);
});

test('LocalProcesses: a program that is not there is said by name', async () => {
  const started = processes.start({ ...shell(''), command: 'no-such-program' }, () => {});
  expect(describeExit(await started.exited)).toMatch(
    /^cannot start no-such-program: there is no such program/,
  );
});

test('LocalProcesses: of a path, a name and a folder, the one that is missing is named', async () => {
  const said = async (spec: Partial<ProcessSpec>): Promise<string> =>
    describeExit(await processes.start({ ...shell(''), ...spec }, () => {}).exited);
  expect(await said({ command: '/no/such' })).toBe('cannot start /no/such: there is no such file');
  expect(await said({ command: './no-such', workingDirectory: '/tmp' })).toBe(
    'cannot start ./no-such: there is no such file in /tmp',
  );
  expect(await said({ workingDirectory: '/no/folder' })).toBe(
    'cannot start sh: there is no folder /no/folder',
  );
});

test('SupervisedProcess: what could not be started is at no time called running', async () => {
  const states: string[] = [];
  const supervised: SupervisedProcess = new SupervisedProcess({
    starter: processes,
    clock: new FakeClock(),
    spec: { ...shell(''), command: 'no-such-program' },
    onLine: () => {},
    onChange: () => states.push(supervised.state),
  });
  supervised.start();
  await vi.waitFor(() => expect(states).toEqual(['backoff']));
});

test('LocalProcesses: arguments that no system takes are an exit, not an exception', async () => {
  for (const args of [['a\0b'], ['x'.repeat(10_000_000)]]) {
    const started = processes.start({ ...shell(''), args }, () => {});
    expect(describeExit(await started.exited)).toMatch(/^cannot start sh: /);
  }
});

test('LocalProcesses: what a program started ends with it', async () => {
  const lines: string[] = [];
  const started = processes.start(shell('sleep 1000 & echo $!; exit 0'), (line) => lines.push(line));
  await started.exited;
  const child = Number(lines[0]);
  await waitFor('the child to end', () => !isAlive(child));
});

test('ProcessGuard.close: ends groups, and processes that left their group', async () => {
  const lines: string[] = [];
  const started = processes.start(shell('setsid sleep 1000 & echo $!; sleep 1000'), (line) =>
    lines.push(line),
  );
  await waitFor('the first line', () => lines[0]);
  expect(processesOfRun(runId, new Set()).length).toBeGreaterThanOrEqual(3);
  await guard.close();
  await started.exited;
  await waitFor('everything to end', () => processesOfRun(runId, new Set()).length === 0);
});

test('reap: without `done` it ends every group and removes the state directory', async () => {
  const state = mkdtempSync(join(tmpdir(), 'fairlead-reap-'));
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  const gone = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  const input = new PassThrough();
  const over = reap(input, 'no-such-run', state, systemClock);
  input.end(`+${child.pid}\n+0\n+1\nnonsense\n+${gone.pid}\n-${gone.pid}\n`);
  await over;
  expect(isAlive(child.pid ?? 0)).toBe(false);
  expect(isAlive(gone.pid ?? 0)).toBe(true);
  gone.kill('SIGKILL');
  expect(existsSync(state)).toBe(false);
});

test('reap: after `done` it touches nothing', async () => {
  const state = mkdtempSync(join(tmpdir(), 'fairlead-reap-'));
  const input = new PassThrough();
  input.end('done\n');
  await reap(input, 'no-such-run', state, systemClock);
  expect(existsSync(state)).toBe(true);
  rmSync(state, { recursive: true });
});

/** Processes that end when the test says so. */
class FakeProcesses implements ProcessStarter {
  readonly starts: number[] = [];
  readonly signals: string[] = [];
  readonly #clock: FakeClock;
  #end: (exit: ProcessExit) => void = () => {};

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  start(_spec: ProcessSpec, _onLine: LineSink): StartedProcess {
    this.starts.push(this.#clock.monotonicMs());
    const exited = new Promise<ProcessExit>((resolve) => {
      this.#end = resolve;
    });
    return { pid: 4242, exited, signal: (signal) => void this.signals.push(signal) };
  }

  async end(exit: ProcessExit): Promise<void> {
    this.#end(exit);
    await settle();
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const crash: ProcessExit = { code: 1, signal: null };

test('SupervisedProcess: restarts after 1, 2, 4 s ... and starts anew after a long run', async () => {
  const clock = new FakeClock();
  const fake = new FakeProcesses(clock);
  const states: string[] = [];
  const supervised = new SupervisedProcess({
    starter: fake,
    clock,
    spec: shell(''),
    onLine: () => {},
    onChange: () => states.push(supervised.state),
  });
  supervised.start();
  for (let crashes = 0; crashes < 8; crashes++) {
    await fake.end(crash);
    expect(supervised.state).toBe('backoff');
    clock.advance(supervised.backOffMs);
  }
  const gaps = fake.starts.slice(1).map((at, index) => at - (fake.starts[index] ?? 0));
  expect(gaps).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  clock.advance(120_000);
  await fake.end(crash);
  expect(supervised.backOffMs).toBe(1000);
  expect(supervised.restarts).toBe(8);
  expect(states.slice(0, 3)).toEqual(['running', 'backoff', 'running']);
});

test('SupervisedProcess: stop sends SIGTERM, then SIGKILL, and nothing starts again', async () => {
  const clock = new FakeClock();
  const fake = new FakeProcesses(clock);
  const supervised = new SupervisedProcess({
    starter: fake,
    clock,
    spec: shell(''),
    onLine: () => {},
    onChange: () => {},
  });
  supervised.start();
  const stopped = supervised.stop(5000);
  clock.advance(4999);
  expect(fake.signals).toEqual(['SIGTERM']);
  clock.advance(1);
  expect(fake.signals).toEqual(['SIGTERM', 'SIGKILL']);
  await fake.end({ code: null, signal: 'SIGKILL' });
  await stopped;
  clock.advance(1_000_000);
  expect(fake.starts).toHaveLength(1);
  expect(supervised.state).toBe('stopped');
});

test('SupervisedProcess: OnFailure and Never end as completed', async () => {
  for (const [restartPolicy, exit, state] of [
    ['OnFailure', { code: 0, signal: null }, 'completed'],
    ['OnFailure', crash, 'backoff'],
    ['Never', crash, 'completed'],
  ] as const) {
    const clock = new FakeClock();
    const fake = new FakeProcesses(clock);
    const supervised = new SupervisedProcess({
      starter: fake,
      clock,
      spec: shell(''),
      restartPolicy,
      onLine: () => {},
      onChange: () => {},
    });
    supervised.start();
    await fake.end(exit);
    expect(supervised.state).toBe(state);
  }
});

test('sumActiveRequests: counts apps, not our own pages', () => {
  const stats = [
    'http.admin.downstream_rq_active: 1',
    'http.agent;.downstream_rq_active: 1',
    'http.stats.downstream_rq_active: 1',
    'http.inbound_0.0.0.0_9080;.downstream_rq_active: 2',
    'http.outbound_0.0.0.0_9080;.downstream_rq_active: 3',
  ];
  expect(sumActiveRequests(stats.join('\n'))).toBe(5);
});

test('proxyCommand: our own program, or Envoy with Istio’s flags', () => {
  expect(proxyCommand({ kind: 'fairlead', self: ['node', 'fairlead.js'] }, '/s/b.json', 'warning')).toEqual({
    command: 'node',
    args: ['fairlead.js', 'proxy', '-c', '/s/b.json', '--log-level', 'warning'],
  });
  const envoy = proxyCommand({ kind: 'envoy', path: 'envoy' }, '/s/b.json', 'warning');
  expect(envoy.args.join(' ')).toMatch(/^-c \/s\/b\.json --disable-hot-restart --concurrency 2 /);
});

function isAlive(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim();
  // A zombie has ended; whoever inherited it has yet to notice.
  return state !== '' && !state.startsWith('Z');
}
