// `fairlead validate FILE...`
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { UserError } from '../base/user-error.ts';
import { validateFiles, validationValue } from '../config/validate-files.ts';
import { formatValue } from '../istioctl/output.ts';

interface Options {
  readonly filename?: string[];
  readonly referential?: boolean;
  readonly namespace?: string;
  readonly istioNamespace?: string;
  readonly output: 'text' | 'json' | 'yaml';
  readonly meshConfigFile?: string[];
}

export function command(): Command {
  return new Command('validate')
    .description('Say what is wrong with Istio and Kubernetes YAML before it is applied.')
    .argument('[files...]', 'files, directories (*.yaml, *.yml, *.json), or - for stdin')
    .option('-f, --filename <file>', 'a file, a directory, or - for stdin', collect)
    .option(
      '-x, --referential',
      'also warn of references among the files that lead nowhere (default: where a directory is given)',
    )
    .option('--no-referential', 'do not look at references')
    .option('-n, --namespace <namespace>', 'the namespace of objects that do not name one', 'default')
    .option('-i, --istioNamespace <namespace>', "the namespace of Istio's own objects", 'istio-system')
    .option('--meshConfigFile <file>', 'a file that holds a MeshConfig; may be repeated', collect)
    .addOption(
      new Option('-o, --output <format>', 'how the findings are written')
        .choices(['text', 'json', 'yaml'])
        .default('text'),
    )
    .addHelpText(
      'after',
      `
Examples:
  fairlead validate samples/bookinfo
  fairlead validate -x gateway.yaml routes.yaml
  kubectl get virtualservices -o yaml | fairlead validate -
  fairlead validate -o json config/ | jq '.diagnostics[] | select(.severity == "error")'

Also see \`fairlead analyze\`, which looks at all objects together.

Exit code: 0 if everything is valid (warnings do not count), 1 if not.`,
    )
    .action(async (files: string[], options: Options) => {
      const paths = [...(options.filename ?? []), ...files];
      const meshConfigFiles = options.meshConfigFile ?? [];
      if (paths.length === 0 && meshConfigFiles.length === 0)
        throw new UserError(
          'you must name files to validate: fairlead validate FILE... (or -f FILE, or - for stdin)',
        );
      const { namespace, istioNamespace, referential, output } = options;
      const report = validateFiles({
        paths,
        meshConfigFiles,
        readStdin: () => readFileSync(0),
        ...(referential === undefined ? {} : { checkReferences: referential }),
        ...(namespace === undefined ? {} : { defaultNamespace: namespace }),
        ...(istioNamespace === undefined ? {} : { istioNamespace }),
      });
      if (output === 'text') {
        process.stdout.write(report.output);
        for (const error of report.errors) process.stderr.write(`${error}\n`);
      } else process.stdout.write(await formatValue(validationValue(report), output));
      if (report.errors.length > 0) process.exitCode = 1;
    });
}

/** `-f a -f b,c` */
function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...value.split(',')];
}
