// `fairlead x xds-files`: a proxy's configuration as files, for an Envoy that cannot reach a control plane.
import { readFileSync } from 'node:fs';
import type { JsonObject } from '@bufbuild/protobuf';
import { Command, InvalidArgumentError, Option } from 'commander';
import { XdsFiles, bootstrapFile } from '../agent/xds-files/run.ts';
import { systemClock } from '../base/clock.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import type { DialectName } from '../xds/client/dialect.ts';
import { grpcTransport } from '../xds/client/grpc-transport.ts';

interface Flags {
  readonly nodeId?: string;
  readonly nodeMetadata?: JsonObject;
  readonly bootstrap?: string;
  readonly address: string;
  readonly output: string;
  readonly path?: string;
  readonly dialect: DialectName;
  readonly once?: boolean;
  readonly timeout: number;
}

export function xdsFilesCommand(): Command {
  return new Command('xds-files')
    .description(
      'Write what a control plane tells one proxy into files that Envoy reads, and keep them current.',
    )
    .option('--node-id <id>', 'the proxy: TYPE~IP~POD.NAMESPACE~DOMAIN', nodeId)
    .addOption(
      new Option('--node-metadata <json>', 'its metadata, such as {"NAMESPACE":"default"}').argParser(
        jsonObject,
      ),
    )
    .option(
      '--bootstrap <file>',
      "JSON of that proxy's own bootstrap: its node is asked for, the rest is kept",
    )
    .option('--address <host:port>', 'the control plane (plaintext gRPC)', '127.0.0.1:15010')
    .requiredOption('-o, --output <folder>', 'where the files are written')
    .option('--path <folder>', 'where Envoy finds them, if that is elsewhere')
    .addOption(new Option('--dialect <dialect>', 'of xDS').choices(['delta', 'sotw']).default('delta'))
    .option('--once', 'write when everything is there, and end')
    .option('--timeout <seconds>', 'how long --once waits', positive, 30)
    .addHelpText(
      'after',
      `
In the folder: cds.json and lds.json, eds/ and rds/ with one file a resource, and ${bootstrapFile}, which reads
them. Each is moved to its place, so that Envoy takes it at once.

Examples:
  fairlead x xds-files --node-id router~10.0.0.9~edge.default~default.svc.cluster.local -o /etc/envoy/xds
  envoy -c /etc/envoy/xds/${bootstrapFile}`,
    )
    .action(async (flags: Flags) => run(flags));
}

async function run(flags: Flags): Promise<void> {
  const { bootstrap, node } = identity(flags);
  const files = new XdsFiles({
    node,
    bootstrap,
    output: flags.output,
    seenAt: flags.path,
    dialect: flags.dialect,
    transport: grpcTransport({ target: () => flags.address, dialect: flags.dialect }),
    clock: systemClock,
    random: systemRandom,
    logger: new LoggerRegistry({ level: 'warning' }).logger('xds-files'),
    write: (line) => void process.stdout.write(`${line}\n`),
  });
  if (flags.once === true) {
    await files.once(flags.timeout * 1000);
    return;
  }
  files.follow();
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  files.stop();
}

function identity(flags: Flags): { readonly bootstrap: JsonObject; readonly node: JsonObject } {
  const bootstrap = flags.bootstrap === undefined ? {} : readBootstrapFile(flags.bootstrap);
  const given = isObject(bootstrap['node']) ? bootstrap['node'] : {};
  const metadata = { ...(isObject(given['metadata']) ? given['metadata'] : {}), ...flags.nodeMetadata };
  const node: JsonObject = { cluster: 'xds-files', ...given, metadata };
  if (flags.nodeId !== undefined) node['id'] = flags.nodeId;
  if (typeof node['id'] !== 'string' || node['id'] === '')
    throw new UserError('which proxy? give --node-id, or --bootstrap with a node in it');
  return { bootstrap, node };
}

function readBootstrapFile(path: string): JsonObject {
  try {
    return jsonObject(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

function jsonObject(text: string): JsonObject {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  if (!isObject(json)) throw new InvalidArgumentError('an object in JSON is expected');
  return json;
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function positive(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600))
    throw new InvalidArgumentError('give seconds, from more than 0 to 3600.');
  return seconds;
}

function nodeId(text: string): string {
  if (!/^[^~]+~[^~]*~[^~.]+\.[^~]+~[^~]+$/.test(text))
    throw new InvalidArgumentError(
      'it is of the form TYPE~IP~POD.NAMESPACE~DOMAIN, such as router~10.0.0.9~edge.default~default.svc.cluster.local.',
    );
  return text;
}
