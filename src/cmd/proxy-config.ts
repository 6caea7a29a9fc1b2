// `fairlead proxy-config`: what a proxy was told, in istioctl's tables.
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { defaultDebugAddress } from '../istioctl/control-plane.ts';
import { checkOutputFormat } from '../istioctl/output.ts';
import type { ProxyAdminIo, ProxyPlace } from '../istioctl/proxy-admin.ts';
import { checkPlace } from '../istioctl/proxy-admin.ts';
import type { PrintOptions } from '../istioctl/proxy-config.ts';
import {
  printAssignments,
  printBootstrap,
  printClusters,
  printEndpoints,
  printListeners,
  printLogLevels,
  printRoutes,
} from '../istioctl/proxy-config.ts';
import { readStdin } from './stdin.ts';

/** What help and error messages name. */
const built = ['listener', 'route', 'cluster', 'endpoint', 'bootstrap', 'log'];

const io: ProxyAdminIo = { clock: systemClock, readStdin, directory: process.cwd() };

/** Every flag of every command below, as commander hands them over. */
interface Flags {
  readonly namespace?: string;
  readonly debugAddress: string;
  readonly proxyAdminPort: number;
  readonly adminAddress?: string;
  readonly compat: '1.19' | '1.32';
  readonly file?: string;
  readonly output: string;
  readonly verbose?: string | true;
  readonly source?: boolean;
  readonly address?: string;
  readonly port?: number;
  readonly type?: string;
  readonly name?: string;
  readonly fqdn?: string;
  readonly subset?: string;
  readonly direction?: string;
  readonly cluster?: string;
  readonly status?: string;
  readonly level?: string;
  readonly reset?: boolean;
}

export function command(): Command {
  const group = new Command('proxy-config')
    .alias('pc')
    .description('A group of commands used to retrieve information about proxy configuration.')
    .argument('[command...]')
    .usage('COMMAND POD[.NAMESPACE] [flags]')
    .option('-n, --namespace <namespace>', 'namespace of the pod')
    .option('-i, --istioNamespace <namespace>', 'namespace of the control plane (accepted, not needed)')
    .option('--proxy-admin-port <port>', 'admin port of the proxies', portNumber, 15000)
    .option('--admin-address <host:port>', 'one admin port, asked directly instead of looking a pod up')
    .addOption(
      new Option('--debug-address <url>', 'debug port of the control plane')
        .env('FAIRLEAD_DEBUG_ADDRESS')
        .default(defaultDebugAddress),
    )
    .addOption(compatOption())
    .addHelpText(
      'after',
      `
POD may also be deploy/NAME[.NAMESPACE].

Examples:
  fairlead proxy-config listener productpage-v1-7f5c8.default
  fairlead pc route deploy/productpage-v1 --name 9080 --source
  fairlead pc endpoint deploy/productpage-v1 --cluster "outbound|9080||reviews.default.svc.cluster.local"
  curl -s 127.0.0.1:15000/config_dump | fairlead pc cluster -f -`,
    )
    .action((words: readonly string[], _flags, self: Command) => {
      if (words.length === 0) return void process.stdout.write(self.helpInformation());
      const names = self.commands
        .map((child) => child.name())
        .filter((name) => built.includes(name))
        .join(', ');
      throw new UserError(
        `unknown command ${JSON.stringify(words[0])} for "proxy-config"; there are ${names}`,
        64,
      );
    });
  group
    .addCommand(listenerCommand())
    .addCommand(routeCommand())
    .addCommand(clusterCommand())
    .addCommand(endpointCommand())
    .addCommand(bootstrapCommand())
    .addCommand(logCommand())
    .addCommand(edsCommand(), { hidden: true })
    .addCommand(notYet('secret', ['secrets', 's']), { hidden: true })
    .addCommand(notYet('ecds', ['ec']), { hidden: true })
    .addCommand(notYet('all', ['a']), { hidden: true });
  for (const child of group.commands) child.configureHelp({ showGlobalOptions: true });
  return group;
}

function listenerCommand(): Command {
  return dumpCommand('listener', ['listeners', 'l'], 'Which address takes what, and where it goes')
    .option('--address <address>', 'only listeners on this address')
    .option('--port <port>', 'only listeners on this port', portNumber)
    .addOption(
      new Option('--type <type>', 'only listeners of this type').choices(['HTTP', 'TCP', 'HTTP+TCP']),
    )
    .option('--verbose [boolean]', 'one row a filter chain', 'true')
    .option('--source', 'add the line of YAML that each row came from')
    .action(async (pod: string | undefined, _flags, self: Command) => {
      const { flags, place, print } = readFlags('listener', pod, self);
      const filter = pick(flags, 'address', 'port', 'type');
      process.stdout.write(await printListeners(io, place, filter, print));
    });
}

function routeCommand(): Command {
  return dumpCommand('route', ['routes', 'r'], 'Which host and path is governed by which VirtualService')
    .option('--name <name>', 'only the route configuration of this name, such as 9080')
    .option('--verbose [boolean]', 'one row a route', 'true')
    .option('--source', 'add the line of YAML that each row came from')
    .action(async (pod: string | undefined, _flags, self: Command) => {
      const { flags, place, print } = readFlags('route', pod, self);
      process.stdout.write(await printRoutes(io, place, pick(flags, 'name'), print));
    });
}

function clusterCommand(): Command {
  return dumpCommand('cluster', ['clusters', 'c'], 'Which services the proxy can reach')
    .option('--fqdn <text>', 'only clusters whose host has this text')
    .option('--port <port>', 'only clusters of this service port', portNumber)
    .option('--subset <text>', 'only clusters whose subset has this text')
    .addOption(
      new Option('--direction <direction>', 'only clusters of this direction').choices([
        'inbound',
        'outbound',
      ]),
    )
    .option('--source', 'add the line of YAML that each row came from')
    .action(async (pod: string | undefined, _flags, self: Command) => {
      const { flags, place, print } = readFlags('cluster', pod, self);
      const filter = pick(flags, 'fqdn', 'port', 'subset', 'direction');
      process.stdout.write(await printClusters(io, place, filter, print));
    });
}

function endpointCommand(): Command {
  return withEndpointFlags(
    dumpCommand('endpoint', ['endpoints', 'ep'], 'Who is behind each cluster, and how healthy'),
  ).action(async (pod: string | undefined, _flags, self: Command) => {
    const { flags, place, print } = readFlags('endpoints', pod, self);
    const filter = pick(flags, 'address', 'port', 'cluster', 'status');
    process.stdout.write(await printEndpoints(io, place, filter, print.output));
  });
}

function edsCommand(): Command {
  return withEndpointFlags(
    dumpCommand('eds', [], 'The endpoints that the control plane sent, with localities'),
  ).action(async (pod: string | undefined, _flags, self: Command) => {
    const { flags, place, print } = readFlags('eds', pod, self);
    const filter = pick(flags, 'address', 'port', 'cluster', 'status');
    process.stdout.write(await printAssignments(io, place, filter, print.output));
  });
}

function withEndpointFlags(command: Command): Command {
  return command
    .option('--address <address>', 'only endpoints at this address')
    .option('--port <port>', 'only endpoints on this port', portNumber)
    .option('--cluster <name>', 'only endpoints of the cluster of exactly this name')
    .option('--status <status>', 'only endpoints of this status, such as healthy or unhealthy');
}

function bootstrapCommand(): Command {
  return dumpCommand('bootstrap', ['b'], 'What the proxy was started with', 'json').action(
    async (pod: string | undefined, _flags, self: Command) => {
      const { place, print } = readFlags('bootstrap', pod, self);
      process.stdout.write(await printBootstrap(io, place, print.output));
    },
  );
}

function logCommand(): Command {
  return new Command('log')
    .aliases(['o'])
    .description('Show or change the levels of the loggers of a proxy.')
    .argument('[pod]', 'POD[.NAMESPACE] or deploy/NAME[.NAMESPACE]')
    .option('--level <levels>', '<level>, or <logger>:<level>,<logger>:<level>; trace to critical, or off')
    .option('-r, --reset', 'back to warning, the level that proxies start with')
    .action(async (pod: string | undefined, _flags, self: Command) => {
      const flags: Flags = self.optsWithGlobals();
      const place = placeOf(pod, flags);
      const options = { level: flags.level, reset: flags.reset === true };
      process.stdout.write(await printLogLevels(io, place, options));
    });
}

function notYet(name: string, aliases: readonly string[]): Command {
  return new Command(name)
    .aliases(aliases)
    .argument('[words...]')
    .allowUnknownOption()
    .action(() => {
      throw new UserError(`proxy-config ${name} is not built yet; there are ${built.join(', ')}`);
    });
}

function dumpCommand(name: string, aliases: readonly string[], summary: string, output = 'short'): Command {
  return new Command(name)
    .aliases(aliases)
    .description(`${summary}.`)
    .argument('[pod]', 'POD[.NAMESPACE] or deploy/NAME[.NAMESPACE]')
    .option('-o, --output <format>', 'one of json, yaml, short', output)
    .option('-f, --file <file>', 'read a saved answer of the admin port instead; - is stdin');
}

function readFlags(
  name: string,
  argument: string | undefined,
  self: Command,
): {
  readonly flags: Flags;
  readonly place: ProxyPlace;
  readonly print: PrintOptions & { readonly verbose: boolean };
} {
  const flags: Flags = self.optsWithGlobals();
  const output = checkOutputFormat(flags.output, ['short', 'json', 'yaml']);
  const { verbose = 'true' } = flags;
  // `--verbose POD`: an optional value takes whatever follows; what is no boolean was the pod.
  const isBoolean = verbose === true || ['true', 'false'].includes(verbose);
  const place = placeOf(isBoolean ? argument : (argument ?? verbose), flags);
  checkPlace(name, place);
  const print = {
    output,
    compat: flags.compat,
    source: flags.source === true,
    verbose: verbose !== 'false',
  };
  return { flags, place, print };
}

function placeOf(pod: string | undefined, flags: Flags): ProxyPlace {
  return {
    name: pod,
    namespace: flags.namespace,
    file: flags.file,
    adminAddress: flags.adminAddress,
    adminPort: flags.proxyAdminPort,
    debugAddress: flags.debugAddress,
  };
}

/** The named flags that were given, and are not empty. */
function pick<const Name extends keyof Flags>(
  flags: Flags,
  ...names: readonly Name[]
): { [N in Name]?: NonNullable<Flags[N]> } {
  const picked: { [N in Name]?: NonNullable<Flags[N]> } = {};
  for (const name of names) {
    const value = flags[name];
    if (value !== undefined && value !== '' && value !== 0) picked[name] = value;
  }
  return picked;
}

/** `--compat`: whose tables are printed. */
export function compatOption(): Option {
  return new Option('--compat <release>', "print that Istio release's tables")
    .choices(['1.19', '1.32'])
    .default('1.32');
}

export function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65_535)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not a port (0 to 65535).`);
  return port;
}
