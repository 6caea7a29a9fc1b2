// `fairlead x sds`: secrets of files for the Envoy beside it, as Istio's agent serves them.
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { workloadFilesIn } from '../agent/sds/secret-files.ts';
import { SecretServer, defaultSdsSocket } from '../agent/sds/secret-server.ts';
import { systemClock } from '../base/clock.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { UserError } from '../base/user-error.ts';

interface Flags {
  readonly certs: string;
  readonly socket: string;
}

export function sdsCommand(): Command {
  return new Command('sds')
    .description('Serve a workload certificate in files to Envoy over SDS, and follow its rotation.')
    .option('--certs <folder>', 'with cert-chain.pem, key.pem and root-cert.pem', './etc/certs')
    .option('--socket <path>', 'the Unix socket of the server', defaultSdsSocket)
    .addHelpText(
      'after',
      `
Names that are served: default and ROOTCA (of the folder), file-cert:CERTIFICATE~KEY, file-root:PATH.

Examples:
  fairlead x sds --certs /var/run/secrets/workload-spiffe-credentials --socket /run/sds.sock`,
    )
    .action(async (flags: Flags) => run(flags));
}

async function run({ certs, socket }: Flags): Promise<void> {
  if (!existsSync(certs)) throw new UserError(`--certs: there is no folder ${certs}`);
  const loggers = new LoggerRegistry();
  const server = new SecretServer({
    workload: workloadFilesIn(certs),
    socket,
    clock: systemClock,
    logger: loggers.logger('sds'),
  });
  try {
    await server.listen();
  } catch (error) {
    throw new UserError(
      `--socket: cannot listen on ${socket}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  process.stdout.write(`SDS on ${socket}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await server.close();
}
