// `fairlead proxy -c FILE`: the data plane.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import type { LogLevel } from '../base/logger.ts';
import { LoggerRegistry, logLevels } from '../base/logger.ts';
import { systemClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import { runProxy } from '../proxy/server/run-proxy.ts';

interface ProxyFlags {
  readonly configPath?: string;
  readonly configYaml?: string;
  readonly logLevel: LogLevel;
  readonly mode: 'serve' | 'validate';
  readonly serviceNode?: string;
  readonly serviceCluster?: string;
  readonly drainTimeS: string;
  readonly terminationDrainS: string;
}

export function command(): Command {
  return new Command('proxy')
    .description('Run the data plane from an Envoy v3 bootstrap (YAML or JSON).')
    .option('-c, --config-path <file>', 'the bootstrap')
    .option('--config-yaml <yaml>', 'a bootstrap, or what is merged over the one of --config-path')
    .addOption(new Option('-l, --log-level <level>', 'what is logged').choices(logLevels).default('info'))
    .addOption(
      new Option('--mode <mode>', 'validate: check the bootstrap and exit with 0 or 1')
        .choices(['serve', 'validate'])
        .default('serve'),
    )
    .option('--service-node <id>', 'node.id, where the bootstrap has none')
    .option('--service-cluster <name>', 'node.cluster, where the bootstrap has none')
    .option('--drain-time-s <seconds>', 'how long connections of a replaced listener may live on', '45')
    .option('--termination-drain-s <seconds>', 'how long connections may live on after SIGTERM', '5')
    .addHelpText(
      'after',
      `
Examples:
  fairlead proxy -c envoy.yaml
  fairlead proxy -c envoy.yaml --mode validate`,
    )
    .action(async (flags: ProxyFlags) => {
      await runProxy({
        bootstraps: readBootstraps(flags),
        configPath: flags.configPath ?? '',
        validateOnly: flags.mode === 'validate',
        serviceNode: flags.serviceNode,
        serviceCluster: flags.serviceCluster,
        logLevel: flags.logLevel,
        drainTimeMs: readSeconds(flags.drainTimeS, '--drain-time-s'),
        terminationDrainMs: readSeconds(flags.terminationDrainS, '--termination-drain-s'),
        clock: systemClock,
        random: systemRandom,
        loggers: new LoggerRegistry({ level: flags.logLevel }),
        hostname: hostname(),
        environment: process.env,
        write: (text) => void process.stdout.write(text),
      });
    });
}

function readBootstraps(flags: ProxyFlags): { name: string; text: string }[] {
  const bootstraps: { name: string; text: string }[] = [];
  if (flags.configPath !== undefined) {
    try {
      bootstraps.push({ name: flags.configPath, text: readFileSync(flags.configPath, 'utf8') });
    } catch (error) {
      throw new UserError(`cannot read the bootstrap ${flags.configPath}: ${(error as Error).message}`);
    }
  }
  if (flags.configYaml !== undefined) bootstraps.push({ name: '--config-yaml', text: flags.configYaml });
  if (bootstraps.length === 0) {
    throw new UserError('no bootstrap: give one with -c FILE or --config-yaml YAML');
  }
  return bootstraps;
}

function readSeconds(text: string, flag: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds < 0) {
    throw new UserError(`${flag} ${text}: a number of seconds, 0 or more, is expected`);
  }
  return seconds * 1000;
}
