// `fairlead x`: small tools beside the mesh.
import { hostname } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { controlHelp, responseHeader } from '../echo/controls.ts';
import { runEcho } from '../echo/run.ts';
import { ControlPlane, defaultDebugAddress } from '../istioctl/control-plane.ts';
import { execInPod, podEnvironment } from '../istioctl/pod-exec.ts';
import { connectedProxies, findProxy } from '../istioctl/proxies.ts';
import { loadCommand } from './x-load.ts';
import { meshCommand } from './x-mesh.ts';
import { sdsCommand } from './x-sds.ts';
import { xdsFilesCommand } from './x-xds-files.ts';
import { command as waitCommand } from './wait.ts';

export function command(): Command {
  return new Command('x')
    .alias('experimental')
    .description('Small tools beside the mesh.')
    .addCommand(echoCommand())
    .addCommand(execCommand())
    .addCommand(waitCommand())
    .addCommand(loadCommand())
    .addCommand(meshCommand())
    .addCommand(sdsCommand())
    .addCommand(xdsFilesCommand());
}

interface EchoFlags {
  readonly host: string;
  readonly port: readonly number[];
  readonly tcp?: boolean;
  readonly tcpPort: readonly number[];
  readonly tcpPrefix: string;
  readonly tcpGreeting: string;
  readonly header: readonly (readonly [string, string])[];
  readonly as: 'echo' | 'nginx';
  readonly quiet?: boolean;
}

function echoCommand(): Command {
  const env = process.env;
  const controls = controlHelp.map(([name, text]) => `  ${name.padEnd(12)}${text}`).join('\n');
  return new Command('echo')
    .description('A test server that answers with what it saw of the request.')
    .addOption(new Option('--host <address>', 'address to listen on').env('HOST').default('127.0.0.1'))
    .addOption(
      new Option('-p, --port <port>', 'HTTP port; may be repeated')
        .argParser(collectPort)
        .default([], '$PORT, else 8080'),
    )
    .option('--tcp', 'send bytes back instead of speaking HTTP, on all ports')
    .addOption(
      new Option('--tcp-port <port>', 'a port that sends bytes back; may be repeated')
        .argParser(collectPort)
        .default([], 'none'),
    )
    .option('--tcp-prefix <text>', 'stands before the bytes that are sent back', 'hello ')
    .addOption(
      new Option('--tcp-greeting <text>', 'sent as soon as a TCP connection is taken').default('', 'nothing'),
    )
    .addOption(
      new Option('--header <name:value>', 'a header of every answer; may be repeated')
        .argParser(collectHeader)
        .default([], 'none'),
    )
    .addOption(
      new Option('--as <manners>', 'answer and log as another server')
        .choices(['echo', 'nginx'])
        .default('echo'),
    )
    .option('-q, --quiet', 'no line per request')
    .addHelpText(
      'after',
      `
What a request may ask for, as ?name=value or as header x-echo-name: value:
${controls}

Pod, namespace and version in the answer come from POD_NAME, POD_NAMESPACE and VERSION.

Examples:
  fairlead x echo --port 9080
  curl '127.0.0.1:9080/any?status=503&delay=200ms'
  curl -H 'x-echo-close: before' 127.0.0.1:9080
  fairlead x echo --as nginx --port 8080`,
    )
    .action(async (flags: EchoFlags) => {
      const given = flags.port.length > 0 ? flags.port : env['PORT'] ? [portNumber(env['PORT'])] : [8080];
      const write = (line: string): void => void process.stdout.write(`${line}\n`);
      const echo = await runEcho({
        host: flags.host,
        httpPorts: flags.tcp === true ? [] : given,
        tcpPorts: flags.tcp === true ? [...given, ...flags.tcpPort] : flags.tcpPort,
        tcpPrefix: flags.tcpPrefix,
        tcpGreeting: flags.tcpGreeting,
        headers: flags.header,
        manners: flags.as,
        clock: systemClock,
        identity: {
          pod: env['POD_NAME'] ?? hostname(),
          namespace: env['POD_NAMESPACE'] ?? 'default',
          version: env['VERSION'] ?? env['SERVICE_VERSION'] ?? '',
          hostname: hostname(),
        },
        log: flags.quiet === true ? () => {} : write,
      });
      await new Promise<void>((resolve) => {
        process.once('SIGTERM', resolve);
        process.once('SIGINT', resolve);
      });
      await echo.stop(5_000);
    });
}

interface ExecFlags {
  readonly namespace?: string;
  readonly httpProxyPort: number;
  readonly debugAddress: string;
}

function execCommand(): Command {
  return new Command('exec')
    .description('Run a command whose requests go through the sidecar of a pod of `fairlead up`.')
    .argument('<pod>', 'POD[.NAMESPACE] or deploy/NAME[.NAMESPACE]')
    .argument('<command...>', 'program and arguments, after --')
    .option('-n, --namespace <namespace>', 'namespace of the pod')
    .option('--http-proxy-port <port>', 'port of the HTTP proxy listener of sidecars', portNumber, 15080)
    .addOption(
      new Option('--debug-address <url>', 'debug port of the control plane')
        .env('FAIRLEAD_DEBUG_ADDRESS')
        .default(defaultDebugAddress),
    )
    .addHelpText(
      'after',
      `
The command runs on this machine, in this folder, with HTTP_PROXY set as the pod's app has it.

Examples:
  fairlead x exec deploy/toolbox -n sidecar -- curl -sI nginx
  fairlead x exec toolbox-5d8f7-x2x9k.sidecar -- curl -s http://nginx.sidecar.svc.cluster.local/`,
    )
    .action(async (pod: string, words: [string, ...string[]], flags: ExecFlags) => {
      const proxies = await connectedProxies(new ControlPlane(systemClock, flags.debugAddress));
      const environment = podEnvironment(findProxy(proxies, pod, flags.namespace), flags.httpProxyPort);
      process.exitCode = await execInPod(words, { ...process.env, ...environment });
    });
}

function collectPort(text: string, before: readonly number[]): readonly number[] {
  return [...before, portNumber(text)];
}

function portNumber(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65_535)
    throw new InvalidArgumentError(`${JSON.stringify(text)} is not a port (0 to 65535).`);
  return port;
}

function collectHeader(
  text: string,
  before: readonly (readonly [string, string])[],
): readonly (readonly [string, string])[] {
  try {
    return [...before, responseHeader(text)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
