// `fairlead pilot`: the control plane alone, for proxies that others start.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { busyShareOfEventLoop } from '../base/event-loop.ts';
import type { LogLevel } from '../base/logger.ts';
import { LoggerRegistry, logLevels } from '../base/logger.ts';
import { UserError } from '../base/user-error.ts';
import { DirectorySource } from '../config/directory.ts';
import { MeshConfigSource } from '../config/mesh-config-source.ts';
import { ConfigStore } from '../config/store.ts';
import type { Pilot } from '../pilot/pilot.ts';
import { readPilotFeatures } from './pilot-features.ts';
import type { SecurityFlags } from './pilot-security.ts';
import {
  addSecurityOptions,
  describeSecurePort,
  readSecurity,
  securityEnvironmentHelp,
} from './pilot-security.ts';
import { parseDurationMs } from '../model/duration.ts';
import { startPilot } from '../pilot/pilot.ts';

interface Flags extends SecurityFlags {
  readonly configDir: readonly string[];
  readonly meshConfig?: string;
  readonly grpcAddr: string;
  readonly httpAddr: string;
  readonly logLevel: LogLevel;
  readonly debugForAll?: true;
  /** Milliseconds. */
  readonly keepaliveMaxServerConnectionAge?: number;
}

export function command(): Command {
  const base = new Command('pilot')
    .alias('discovery')
    .description('Run the control plane: configuration from directories in, xDS out.')
    // Its longest flag leaves little room: the texts wrap all the same.
    .configureHelp({ minWidthToWrap: 20 })
    .requiredOption('--config-dir <dir>', 'directory (or file) of YAML; may be given several times', collect)
    .option(
      '--mesh-config <file>',
      'MeshConfig in YAML; without it ConfigMap istio of namespace istio-system is read',
    )
    .option('--grpc-addr <address>', 'plaintext xDS', checkAddress('--grpc-addr'), ':15010')
    .addOption(
      new Option('--monitoring-addr, --http-addr <address>', 'metrics and debug pages')
        .argParser(checkAddress('--http-addr'))
        .default(':15014'),
    )
    .option('--debug-for-all', 'answer debug pages also to clients that are not on this machine')
    .option(
      '--keepaliveMaxServerConnectionAge <duration>',
      'close connections of proxies when they are this old, such as 30m (default: never)',
      parseAge,
    )
    .addOption(new Option('--log-level <level>', 'what is logged').choices([...logLevels]).default('info'))
    .addHelpText(
      'after',
      `
Examples:
  fairlead pilot --config-dir mesh
  fairlead pilot --config-dir mesh --tlsCertFile tls.crt --tlsKeyFile tls.key --caCertFile ca.crt
  fairlead pilot --config-dir apps --config-dir routes --grpc-addr 127.0.0.1:15010 --http-addr 127.0.0.1:15014

Environment:
  PILOT_SCOPE_GATEWAY_TO_NAMESPACE  true: Gateways are for pods of their own namespace alone
${securityEnvironmentHelp}`,
    )
    .action(async (flags: Flags) => run(flags));
  return addSecurityOptions(base, checkAddress);
}

async function run(flags: Flags): Promise<void> {
  for (const path of [...flags.configDir, ...(flags.meshConfig === undefined ? [] : [flags.meshConfig])]) {
    if (!existsSync(path)) throw new UserError(`there is no file or directory ${path}`);
  }
  const security = readSecurity(flags, process.env);
  const loggers = new LoggerRegistry({ level: flags.logLevel });
  const store = new ConfigStore();
  const sources = flags.configDir.map(
    (path) => new DirectorySource({ path, store, clock: systemClock, logger: loggers.logger('config') }),
  );
  for (const source of sources) source.start();
  const running: { pilot?: Pilot } = {};
  const meshConfig = new MeshConfigSource({
    store,
    clock: systemClock,
    onChange: (changed) => running.pilot?.setMeshConfig(changed),
    ...(flags.meshConfig === undefined ? {} : { file: flags.meshConfig }),
  });
  const pilot = await startPilot({
    store,
    meshConfig: meshConfig.start(),
    loggers,
    busyShare: busyShareOfEventLoop(),
    grpcAddress: withHost(flags.grpcAddr),
    httpAddress: withHost(flags.httpAddr),
    flags: { grpc: '--grpc-addr', http: '--http-addr', secure: '--secure-grpc-address' },
    ...security,
    configSources: flags.configDir.map((path) => ({ path, absolutePath: resolve(path) })),
    features: readPilotFeatures(process.env),
    ...(flags.debugForAll === undefined ? {} : { debugForAll: true }),
    ...(flags.keepaliveMaxServerConnectionAge === undefined
      ? {}
      : { connectionAgeMsMax: flags.keepaliveMaxServerConnectionAge }),
  });
  running.pilot = pilot;
  process.stdout.write(
    `xDS (gRPC, plaintext) on ${flags.grpcAddr.replace(/:\d+$/, '')}:${pilot.grpcPort}, ` +
      `${describeSecurePort(flags, pilot.securePort)}, ` +
      `debug pages on http://localhost:${pilot.httpPort}/debug, ` +
      `${store.all().length} objects from ${flags.configDir.join(', ')}\n`,
  );
  await terminated();
  for (const source of sources) source.close();
  meshConfig.close();
  await pilot.close();
}

/** Resolves on the first SIGTERM or SIGINT; a second one ends the process at once. */
function terminated(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
    }
  });
}

function collect(value: string, all: readonly string[] | undefined): readonly string[] {
  return [...(all ?? []), value];
}

function checkAddress(flag: string): (value: string) => string {
  return (value) => {
    const port = Number(/:(\d+)$/.exec(value)?.[1] ?? Number.NaN);
    if (!(port <= 65_535)) {
      throw new UserError(
        `${flag}: ${JSON.stringify(value)} is not an address such as :15010 or 127.0.0.1:15010`,
      );
    }
    return value;
  };
}

function parseAge(value: string): number {
  const ms = parseDurationMs(value);
  if (ms === undefined || ms < 1000) {
    throw new UserError(
      `--keepaliveMaxServerConnectionAge: ${JSON.stringify(value)} is not a duration of a second or more, such as 30m`,
    );
  }
  return ms;
}

function withHost(address: string): string {
  return address.startsWith(':') ? `0.0.0.0${address}` : address;
}
