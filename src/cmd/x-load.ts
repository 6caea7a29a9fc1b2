// `fairlead x load`: many proxies before one control plane.
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command, InvalidArgumentError, Option } from 'commander';
import { sleep, systemClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import { parseDurationMs } from '../model/duration.ts';
import { behaviours } from '../load/behaviour.ts';
import type { Command as LoadCommand } from '../load/control.ts';
import { carryOut, save } from '../load/control.ts';
import type { ProxyIdentity } from '../load/identity.ts';
import { identityOf } from '../load/identity.ts';
import type { Dialect } from '../load/played-proxy.ts';
import { formatReport } from '../load/print.ts';
import { LoadRun } from '../load/run.ts';
import { Http2Wire } from '../load/wire.ts';
import { identitiesIn } from './x-load-pods.ts';
import { count } from './x-mesh.ts';

interface Flags {
  readonly address: string;
  readonly proxies: number;
  readonly gateways: number;
  readonly connections?: number;
  readonly dialect: Dialect;
  readonly mesh?: string;
  readonly pod: string;
  readonly namespace: string;
  readonly label: readonly string[];
  readonly firstIp: string;
  readonly rate: number;
  readonly lagging: number;
  readonly ackAfter: number;
  readonly slowReaders: number;
  readonly readRate: number;
  readonly nacking: number;
  readonly nackEvery: number;
  readonly nackResource?: string;
  readonly reconnecting: number;
  readonly forgetting?: true;
  readonly duration: number;
  readonly change: readonly Replacement[];
  readonly every: number;
  readonly seed: number;
  readonly json?: true;
  readonly control?: true;
}

/** Of a text in a file; it is replaced and put back by turns. */
interface Replacement {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export function loadCommand(): Command {
  return new Command('load')
    .description(
      'Play many proxies before an ADS server, ours or istiod, and measure how changes reach them.',
    )
    .option('--address <host:port>', 'the server, plaintext gRPC', address, '127.0.0.1:15010')
    .option('--proxies <n>', 'proxies in all', count(1, 100_000), 100)
    .option('--gateways <n>', 'of these, gateways; the rest are sidecars', count(0, 100_000), 0)
    .option('--connections <n>', 'TCP connections that they share (default: one each)', count(1, 100_000))
    .addOption(new Option('--dialect <name>', 'of xDS').choices(['sotw', 'delta']).default('sotw'))
    .option('--rate <n>', 'streams opened a second', count(1, 100_000), 100)
    .addOption(timeOption('--duration <time>', 'how long after the last one was opened', 30))
    .optionsGroup('Who they are:')
    .option('--mesh <dir>', 'the pods of this configuration directory, in turn')
    .option(
      '--pod <pattern>',
      'name of the pod; {n} is the number, {n%7} its rest, {n/7} its whole part',
      'svc-{n}-0',
    )
    .option('--namespace <pattern>', 'namespace of the pod', 'ns-{n%10}')
    .addOption(
      new Option('--label <name=pattern>', 'label of the pod; may be repeated')
        .argParser(collectLabel)
        .default([], 'none'),
    )
    .option('--first-ip <address>', 'of the first pod; the others count up', ipv4, '10.0.0.1')
    .optionsGroup('How they behave:')
    .option('--lagging <percent>', 'proxies that answer late', percent, 0)
    .addOption(timeOption('--ack-after <time>', 'how late', 1))
    .option('--slow-readers <percent>', 'proxies that read slowly', percent, 0)
    .option('--read-rate <n>', 'how many bytes a second', count(1, 2 ** 31), 100_000)
    .option('--nacking <percent>', 'proxies that refuse responses', percent, 0)
    .option('--nack-every <n>', 'every so many-th; unless a resource is named', count(1, 1_000_000), 10)
    .option('--nack-resource <name>', 'those with a resource of this name')
    .option('--reconnecting <n>', 'streams a second that are opened anew, chosen by chance', rate, 0)
    .option('--forgetting', 'who reconnects has nothing any more, as after a restart')
    .optionsGroup('Changes:')
    .addOption(
      new Option(
        '--change <file:from=>to>',
        'replace a text in a file of the mesh, and put it back, by turns; may be repeated',
      )
        .argParser(collectReplacement)
        .default([], 'none'),
    )
    .addOption(timeOption('--every <time>', 'between changes, at the least', 1))
    .option('--control', 'take commands from stdin, a JSON object a line, until it ends')
    .option('--seed <n>', 'of what is left to chance', count(0, 2 ** 32 - 1), 1)
    .option('--json', 'the result as JSON')
    .addHelpText(
      'after',
      `
A change is measured until nothing has been sent or answered for 300 ms. Exit code: 1 when no proxy was
given what it asked for.

Examples:
  fairlead x mesh --services 1000 --pods 2000 --out mesh
  fairlead pilot --config-dir mesh &
  fairlead x load --mesh mesh --proxies 500 --change 'mesh/ns-0/svc-0-routes.yaml:timeout: 5s=>timeout: 6s'
  fairlead x load --proxies 2000 --dialect delta --lagging 5 --ack-after 2s --nacking 1 --reconnecting 10
  fairlead x load --address istiod.istio-system:15010 --label app=load --pod 'load-{n}' --namespace default`,
    )
    .action((flags: Flags) => load(flags));
}

/** A time in milliseconds, told in seconds. */
function timeOption(flags: string, description: string, defaultSeconds: number): Option {
  return new Option(flags, description)
    .argParser(duration)
    .default(defaultSeconds * 1000, `${defaultSeconds}s`);
}

/** Nothing sent and nothing answered for so long: longer than a control plane merges changes. */
const quietMs = 300;
const changeMsMax = 60_000;

async function load(flags: Flags): Promise<void> {
  const identities = identitiesOf(flags);
  const random = seededRandom(flags.seed);
  const plan = behaviours({ ...flags, keepsVersions: flags.forgetting !== true });
  const run = new LoadRun({
    identities,
    dialect: flags.dialect,
    wire: new Http2Wire({
      address: flags.address,
      connections: flags.connections,
      clock: systemClock,
      bytesPerSecond: plan.bytesPerSecond,
    }),
    clock: systemClock,
    random,
    behaviour: plan.behaviour,
    rate: flags.rate,
  });
  const end = flags.control === true ? controlled(run) : timed(run, flags);
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await Promise.race([end, stopped]);
  if (flags.control !== true) {
    const report = run.report();
    process.stdout.write(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    // Nobody was answered: nothing was measured, whatever the table says.
    if (report.connectMs.count === 0) process.exitCode = 1;
  }
  run.close();
  process.exit();
}

async function timed(run: LoadRun, flags: Flags): Promise<void> {
  await run.connect();
  if (flags.reconnecting > 0) run.keepReconnecting(flags.reconnecting);
  const untilMs = systemClock.monotonicMs() + flags.duration;
  if (flags.change.length === 0) {
    await sleep(systemClock, flags.duration);
    return;
  }
  await run.converged(flags.duration);
  const originals = new Map(flags.change.map(({ file }) => [file, readFileSync(file, 'utf8')]));
  const restore = (): void => originals.forEach((text, path) => save({ path, text }));
  process.once('exit', restore);
  const changed = new Set<Replacement>();
  for (let turn = 0; systemClock.monotonicMs() < untilMs; turn++) {
    const each = flags.change[turn % flags.change.length];
    if (each === undefined) break;
    const original = originals.get(each.file) ?? '';
    const text = changed.delete(each) ? original : original.replace(each.from, () => each.to);
    if (text !== original) changed.add(each);
    const startMs = systemClock.monotonicMs();
    // oxlint-disable-next-line no-await-in-loop -- one change after the other
    await run.change(() => save({ path: each.file, text }), quietMs, changeMsMax);
    const restMs = flags.every - (systemClock.monotonicMs() - startMs);
    // oxlint-disable-next-line no-await-in-loop -- the pace
    if (restMs > 0) await sleep(systemClock, restMs);
  }
}

/** Commands come from stdin; each is answered by a line on stdout. */
async function controlled(run: LoadRun): Promise<void> {
  const connected = run.connect();
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await answerTo(line, run, connected);
    process.stdout.write(`${JSON.stringify(answer)}\n`);
    if (answer.stop === true) return;
  }
}

async function answerTo(
  line: string,
  run: LoadRun,
  connected: Promise<void>,
): Promise<{
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: string;
  readonly stop?: true;
}> {
  let id: unknown;
  try {
    const command = JSON.parse(line) as LoadCommand & { readonly id?: unknown };
    id = command.id;
    await connected;
    const result = await carryOut(run, command);
    return { id, result, ...(command.do === 'stop' ? { stop: true } : {}) };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

function identitiesOf(flags: Flags): readonly ProxyIdentity[] {
  const { proxies, gateways } = flags;
  if (gateways > proxies) throw new UserError(`--gateways ${gateways}: there are ${proxies} proxies in all`);
  const types = Array.from({ length: proxies }, (_each, index) => (index < gateways ? 'router' : 'sidecar'));
  if (flags.mesh === undefined) {
    const patterns = { ...flags, labels: flags.label };
    return types.map((type, index) => identityOf(patterns, index, type));
  }
  if (!existsSync(flags.mesh)) throw new UserError(`--mesh: there is no file or directory ${flags.mesh}`);
  const all = identitiesIn(flags.mesh);
  const wanted = { router: gateways, sidecar: proxies - gateways };
  const next = { router: 0, sidecar: 0 };
  const podsOf = { router: all.filter(isOf('router')), sidecar: all.filter(isOf('sidecar')) };
  return types.map((type) => {
    const pods = podsOf[type];
    // Fewer proxies than pods are spread over all of them: files stand by namespace.
    const step = Math.max(1, pods.length / wanted[type]);
    const identity = pods[Math.floor(next[type]++ * step) % pods.length];
    if (identity === undefined)
      throw new UserError(`--mesh ${flags.mesh}: has no pod that would run a ${type}`);
    return identity;
  });
}

function isOf(type: ProxyIdentity['type']): (identity: ProxyIdentity) => boolean {
  return (identity) => identity.type === type;
}

function address(text: string): string {
  if (!/^\[?[\w.:-]+\]?:\d{1,5}$/.test(text))
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no host:port.`);
  return text;
}

function duration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || ms < 0)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no duration such as 30s.`);
  return ms;
}

function percent(text: string): number {
  const value = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (!(value <= 100)) throw new InvalidArgumentError(`${JSON.stringify(text)} is no number from 0 to 100.`);
  return value;
}

function rate(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 100_000))
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no number from 0 to 100000.`);
  return value;
}

function ipv4(text: string): string {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text) || text.split('.').some((part) => Number(part) > 255))
    throw new InvalidArgumentError(`${JSON.stringify(text)} is no IPv4 address.`);
  return text;
}

function collectLabel(text: string, before: readonly string[]): readonly string[] {
  if (!/^[^=]+=/.test(text))
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not of the form name=value.`);
  return [...before, text];
}

function collectReplacement(text: string, before: readonly Replacement[]): readonly Replacement[] {
  const match = /^([^:]+):(.+)=>(.*)$/s.exec(text);
  const [, file, from, to] = match ?? [];
  if (file === undefined || from === undefined || to === undefined)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not of the form file:from=>to.`);
  if (!existsSync(file)) throw new InvalidArgumentError(`there is no file ${file}.`);
  if (!readFileSync(file, 'utf8').includes(from))
    throw new InvalidArgumentError(`${file} does not contain ${JSON.stringify(from)}.`);
  return [...before, { file, from, to }];
}
