// `fairlead analyze FILE...`
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import type { Suppression } from '../analysis/analyze.ts';
import { analyzeFiles } from '../analysis/analyze-files.ts';
import { allAnalyzers } from '../analysis/analyzers.ts';
import type { Level } from '../analysis/messages.ts';
import { levels } from '../analysis/messages.ts';
import { renderReport } from '../analysis/render-report.ts';
import { parseDurationMs } from '../model/duration.ts';
import { formatYaml } from '../istioctl/yaml-output.ts';

interface Flags {
  readonly useKube?: boolean;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly istioNamespace: string;
  readonly output: 'log' | 'json' | 'yaml';
  readonly suppress?: readonly Suppression[];
  readonly failureThreshold: Level;
  readonly outputThreshold: Level;
  readonly analyzer?: readonly string[];
  readonly listAnalyzers?: boolean;
  readonly meshConfigFile?: string;
  readonly color?: boolean;
  readonly ignoreUnknown: boolean;
  readonly verbose?: boolean;
}

export function command(): Command {
  return new Command('analyze')
    .description(
      'Say what is wrong with a mesh, seen as a whole: what leads nowhere, contradicts itself or never takes effect.',
    )
    .argument('[files...]', 'files, directories (*.yaml, *.yml, *.json), or - for stdin')
    .option(
      '-n, --namespace <namespace>',
      'of objects that do not name one; only messages about it are shown',
    )
    .option('-A, --all-namespaces', 'show messages about all namespaces (default, unless -n is given)')
    .option('-i, --istioNamespace <namespace>', "the namespace of Istio's own objects", 'istio-system')
    .addOption(
      new Option('-o, --output <format>', 'how messages are written')
        .choices(['log', 'json', 'yaml'])
        .default('log'),
    )
    .option(
      '-S, --suppress <code=object>',
      'leave out a code for objects: "IST0102=Namespace *"; may be repeated',
      collectSuppression,
    )
    .option('--failure-threshold <level>', 'the level from which on the exit code says so', level, 'Error')
    .option('--output-threshold <level>', 'the level from which on messages are shown', level, 'Info')
    .option('--analyzer <name>', 'run this analyzer only; may be repeated', collect)
    .option('-L, --list-analyzers', 'list the analyzers, and do nothing else')
    .option('--meshConfigFile <file>', 'mesh settings (default: ConfigMap istio among the files)')
    .option('--ignore-unknown [boolean]', 'do not fail for documents that cannot be read', flag, false)
    .option('-k, --use-kube [boolean]', 'false: take the files for a part of a mesh, as istioctl does', flag)
    .option('--color [boolean]', 'colours (default: on a terminal)', flag)
    .option('-v, --verbose', 'also say which analyzers ran and which had nothing to look at')
    .addOption(new Option('--timeout <duration>', 'accepted for istioctl').argParser(duration).hideHelp())
    .addOption(new Option('-R, --recursive', 'accepted for istioctl: directories always are').hideHelp())
    .addHelpText(
      'after',
      `
The files are taken for the whole mesh. What they hold nothing of is not
missed: without any Service among them, no host is called unknown. With
--use-kube=false, Services, Pods, Namespaces, Nodes and Secrets are not read
from files at all, as istioctl does where it has no cluster.

An object's annotation galley.istio.io/analyze-suppress names codes that are
not said of it.

Examples:
  fairlead analyze samples/bookinfo
  fairlead analyze -n bookinfo --failure-threshold Warning routes.yaml
  fairlead analyze -S "IST0102=Namespace *" -o json config/ | jq '.[].code'
  kubectl get vs,dr,gw,svc,pods -A -o yaml | fairlead analyze -

Exit code: 0, or 79 if a message reaches the failure threshold, or 65 if a
document cannot be read. With -o json and yaml always 0: the messages say it.`,
    )
    .action((files: readonly string[], flags: Flags) => run(files, flags));
}

function run(paths: readonly string[], flags: Flags): void {
  if (flags.listAnalyzers === true) {
    for (const { name, description } of allAnalyzers())
      process.stdout.write(`* ${name}:\n    ${description}\n`);
    return;
  }
  if (flags.useKube === true)
    throw new UserError(
      '--use-kube=true: a cluster cannot be analyzed yet; name files, and leave --use-kube out',
    );
  if (paths.length === 0)
    throw new UserError('you must name files to analyze: fairlead analyze FILE... (or - for stdin)');
  const isPart = flags.useKube === false;
  const namespace = flags.namespace ?? 'default';
  // istioctl shows one namespace; files that are a whole mesh are all looked at.
  const isOne = flags.allNamespaces !== true && (flags.namespace !== undefined || isPart);
  const report = analyzeFiles({
    paths,
    readStdin: () => readFileSync(0),
    nowMs: systemClock.now(),
    defaultNamespace: namespace,
    ...(isOne ? { onlyNamespace: namespace } : {}),
    istioNamespace: flags.istioNamespace,
    isWholeMesh: !isPart,
    suppressions: flags.suppress ?? [],
    outputThreshold: flags.outputThreshold,
    failureThreshold: flags.failureThreshold,
    analyzers: flags.analyzer ?? [],
    ...(flags.meshConfigFile === undefined ? {} : { meshConfigFile: flags.meshConfigFile }),
  });
  const { stdout, stderr, exitCode } = renderReport(report, {
    output: flags.output,
    target: isOne ? `namespace: ${namespace}` : 'all namespaces',
    isColoured: flags.color ?? (process.stdout.isTTY && !isDumb()),
    isVerbose: flags.verbose === true,
    ignoreUnknown: flags.ignoreUnknown,
    formatYaml,
  });
  process.stderr.write(stderr.notes);
  process.stdout.write(stdout);
  process.stderr.write(stderr.conclusion);
  process.exitCode = exitCode;
}

function isDumb(): boolean {
  return process.env['TERM'] === 'dumb' || (process.env['NO_COLOR'] ?? '') !== '';
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function collectSuppression(
  value: string,
  before: readonly Suppression[] | undefined,
): readonly Suppression[] {
  const [code = '', resource, ...rest] = value.split('=');
  if (resource === undefined || rest.length > 0)
    throw new InvalidArgumentError('It must be CODE=OBJECT, such as "IST0102=Namespace *".');
  return [...(before ?? []), { code, resource }];
}

function level(value: string): Level {
  const found = levels.find((one) => one.toLowerCase() === value.toLowerCase());
  if (found === undefined) throw new InvalidArgumentError(`It must be one of ${levels.join(', ')}.`);
  return found;
}

/** Of an option that may stand without a value; a value must come after `=`. */
function flag(value: string): boolean {
  if (value !== 'true' && value !== 'false')
    throw new InvalidArgumentError('Its value is true or false, after "="; put the option after the files.');
  return value === 'true';
}

function duration(value: string): string {
  if (parseDurationMs(value) === undefined)
    throw new InvalidArgumentError('It must be a duration such as 30s.');
  return value;
}
