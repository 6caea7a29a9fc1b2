// `fairlead apply`: objects into the configuration directory of the control plane, and until the proxies have them.
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { ApplyOptions } from '../istioctl/apply/apply.ts';
import { applyManifests } from '../istioctl/apply/apply.ts';
import { readManifests } from '../istioctl/apply/manifests.ts';
import { ControlPlane } from '../istioctl/control-plane.ts';
import { debugAddressOption, timeoutOption } from './wait.ts';

export interface WriteFlags {
  readonly filename?: readonly string[];
  readonly namespace?: string;
  readonly config?: string;
  readonly wait: boolean;
  readonly timeout: number;
  readonly debugAddress: string;
}

export function command(): Command {
  return withWriteOptions(
    new Command('apply').description(
      'Write objects into the directory that the control plane reads, and wait until the proxies have them.',
    ),
  )
    .addHelpText(
      'after',
      `
An object that stands in a file there is replaced in that file; a new one gets a file of its own.
Nothing is written unless everything is valid.

Examples:
  fairlead apply -f reviews.yaml
  fairlead apply -f routes/ --timeout 2m
  sed s/v1/v2/ reviews.yaml | fairlead apply -f -
  fairlead apply -f reviews.yaml --config mesh --wait=false

Exit code: 0 when the affected proxies have acknowledged, 1 when something is invalid, cannot be
written, is refused by a proxy, or the time is over.`,
    )
    .action(async (flags: WriteFlags) => {
      const paths = flags.filename ?? [];
      if (paths.length === 0) throw new UserError('must specify -f FILE, DIRECTORY, or - for stdin', 64);
      const options = applyOptions(flags);
      const { manifests, warnings } = readManifests({
        paths,
        readStdin: () => readFileSync(0, 'utf8'),
        namespace: flags.namespace,
      });
      for (const warning of warnings) process.stderr.write(`${warning}\n`);
      if (manifests.length === 0) throw new UserError('no objects passed to apply');
      await applyManifests(manifests, options);
    });
}

/** The options that `apply` and `delete` share. */
export function withWriteOptions(command: Command): Command {
  return command
    .option('-f, --filename <file>', 'a file, a directory, or - for stdin; may be repeated', collect)
    .option(
      '-n, --namespace <namespace>',
      'namespace of objects that do not name one (default: default)',
      parseNamespace,
    )
    .option('--config <dir>', 'directory to write to (default: where the control plane says that it reads)')
    .option('--wait [boolean]', 'false: return when it is written', parseBoolean, true)
    .addOption(timeoutOption())
    .addOption(debugAddressOption());
}

/** What the flags mean. */
export function applyOptions(flags: WriteFlags): ApplyOptions {
  return {
    clock: systemClock,
    controlPlane: new ControlPlane(systemClock, flags.debugAddress),
    directory: flags.config,
    timeoutMs: flags.wait ? flags.timeout : undefined,
    uniqueName: `fairlead-${process.pid}`,
    workingDirectory: process.cwd(),
    write: (line) => void process.stdout.write(`${line}\n`),
    tell: (line) => void process.stderr.write(`${line}\n`),
  };
}

function parseBoolean(text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new InvalidArgumentError('give true or false.');
  return text === 'true';
}

function parseNamespace(text: string): string {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text))
    throw new InvalidArgumentError('give the name of a namespace: a-z, 0-9 and "-", 63 characters at most.');
  return text;
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), ...value.split(',')];
}
