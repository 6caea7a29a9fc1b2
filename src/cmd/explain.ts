// `fairlead explain [METHOD] URL --from POD`
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { explain } from '../explain/explain.ts';
import { findClient } from '../explain/from.ts';
import { liveMesh } from '../explain/live.ts';
import type { MeshView } from '../explain/mesh-view.ts';
import { printTrace } from '../explain/print.ts';
import { parseRequest, usage } from '../explain/request.ts';
import { defaultDebugAddress } from '../istioctl/control-plane.ts';
import { portNumber } from './proxy-config.ts';
import { readStdin } from './stdin.ts';
import { meshOfFiles } from './explain-files.ts';

interface Flags {
  readonly from?: string;
  readonly namespace?: string;
  readonly filename?: string[];
  readonly header?: string[];
  readonly sni?: string;
  readonly alpn?: string[];
  readonly port?: number;
  readonly pick?: string;
  readonly as: 'kubernetes' | 'up';
  readonly meshConfig?: string;
  readonly output: 'text' | 'json';
  readonly verbose?: boolean;
  readonly color: boolean;
  readonly width?: number;
  readonly debugAddress: string;
  readonly proxyAdminPort: number;
}

export function command(): Command {
  return new Command('explain')
    .description('Follow one request through the generated configuration, and say why it goes where it goes.')
    .argument('[words...]', '[METHOD] URL; http, https, tcp or tls://host:port')
    .option('--from <client>', 'POD[.NAMESPACE], the name of a workload, an IP address, or gateway')
    .option('-n, --namespace <namespace>', 'namespace of the client')
    .option(
      '-f, --filename <file>',
      'files or folders of YAML instead of a running mesh; - is stdin',
      collect,
    )
    .option('-H, --header <name:value>', 'a header of the request', append)
    .option('--sni <name>', 'the client speaks TLS with this server name')
    .option('--alpn <protocols>', 'protocols that its TLS offers', (value: string) => value.split(','))
    .option('--port <port>', "instead of the URL's port", portNumber)
    .option('--pick <subset>', 'of weighted destinations follow this one alone')
    .addOption(
      new Option(
        '--as <place>',
        'with -f: where the pods run: sidecars capture everything, or as `fairlead up` does it',
      )
        .choices(['kubernetes', 'up'])
        .default('kubernetes'),
    )
    .option(
      '--mesh-config <file>',
      'with -f: MeshConfig in YAML; without it, ConfigMap istio-system/istio counts',
    )
    .addOption(
      new Option('--debug-address <address>', 'debug port of the control plane')
        .env('FAIRLEAD_DEBUG_ADDRESS')
        .default(defaultDebugAddress),
    )
    .option('--proxy-admin-port <port>', 'admin port of the proxies', portNumber, 15000)
    .addOption(
      new Option('-o, --output <format>', 'how it is printed').choices(['text', 'json']).default('text'),
    )
    .option('--verbose', 'also the rules that were not reached')
    .option('--no-color', 'no colours')
    .addOption(new Option('--width <columns>', 'columns of the output').argParser(columns).hideHelp())
    .addHelpText('after', help)
    .action(async (words: string[], flags: Flags) => {
      try {
        await run(words, flags);
      } catch (error) {
        // 1 means that the request would fail: who could not be asked says nothing of it.
        throw error instanceof UserError ? new UserError(error.message, 2) : error;
      }
    });
}

const help = `
Exit code: 0 if the request is routed or answered as it is meant to be, 1 if it would fail, 2 if the
command line makes no sense or the mesh does not answer.

Examples:
  fairlead explain http://reviews:9080/ --from productpage -f samples/bookinfo
  fairlead explain -H end-user:jason http://reviews:9080/ --from productpage
  fairlead explain POST http://bookinfo.test/login --from gateway -f samples/bookinfo -o json
  fairlead explain tcp://mongo.example.com:27017 --from ratings`;

async function run(words: string[], flags: Flags): Promise<void> {
  const [first = '', second, ...more] = words;
  if (first === '' || more.length > 0 || (second === undefined && /^[A-Z]+$/.test(first)))
    throw usage(
      'give one URL, with the method before it if it is not GET: fairlead explain POST http://host/path',
    );
  if (flags.from === undefined) throw usage('say who sends it: --from POD, an IP address, or gateway');
  const request = parseRequest({
    method: second === undefined ? undefined : first,
    url: second ?? first,
    headers: flags.header,
    sni: flags.sni,
    alpn: flags.alpn,
    port: flags.port,
  });
  const { mesh, problems } = await meshOf(flags);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  const from = findClient(mesh, flags.from, flags.namespace);
  const trace = await explain({ mesh, from, request, pick: flags.pick });
  const text =
    flags.output === 'json'
      ? `${JSON.stringify(trace, null, 2)}\n`
      : printTrace(trace, {
          width: flags.width ?? process.stdout.columns ?? 100,
          colors: flags.color && process.stdout.isTTY && !process.env['NO_COLOR'],
          directory: process.cwd(),
          verbose: flags.verbose === true,
        });
  process.stdout.write(text);
  if (trace.outcome.kind === 'failed' || trace.outcome.kind === 'partly') process.exitCode = 1;
}

async function meshOf(
  flags: Flags,
): Promise<{ readonly mesh: MeshView; readonly problems: readonly string[] }> {
  if (flags.filename === undefined) {
    const io = { clock: systemClock, readStdin, directory: process.cwd() };
    const mesh = await liveMesh(io, { debugAddress: flags.debugAddress, adminPort: flags.proxyAdminPort });
    return { mesh, problems: [] };
  }
  return meshOfFiles({
    paths: flags.filename,
    defaultNamespace: flags.namespace ?? 'default',
    meshConfigFile: flags.meshConfig,
    as: flags.as,
  });
}

function append(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** `-f a -f b,c` */
function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...value.split(',')];
}

function columns(text: string): number {
  const width = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (width < 40) throw new InvalidArgumentError('give 40 or more.');
  return width;
}
