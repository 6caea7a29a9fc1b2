// `fairlead version`
import { Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { ControlPlane, defaultDebugAddress } from '../istioctl/control-plane.ts';
import { formatValue } from '../istioctl/output.ts';
import { clientReport, longVersionText, remoteReport, versionText } from '../istioctl/version-report.ts';

interface Flags {
  readonly short: boolean;
  readonly remote: boolean;
  readonly output?: string;
  readonly debugAddress: string;
}

export function command(): Command {
  return new Command('version')
    .description('The versions of this program, of the control plane and of the connected proxies.')
    .option('-s, --short [boolean]', 'one line each; --short=false lists every proxy', isTrue, true)
    .option('--remote [boolean]', 'ask the control plane too', isTrue, true)
    .option('-i, --istioNamespace <namespace>', 'namespace of the control plane (accepted, not needed)')
    .option('-o, --output <format>', 'one of json, yaml')
    .addOption(
      new Option('--debug-address <url>', 'debug port of the control plane')
        .env('FAIRLEAD_DEBUG_ADDRESS')
        .default(defaultDebugAddress),
    )
    .addHelpText('after', '\nExamples:\n  fairlead version\n  fairlead version --remote=false -o json')
    .action(async (flags: Flags) => {
      const { output } = flags;
      if (output !== undefined && output !== 'json' && output !== 'yaml')
        throw new UserError(`--output must be 'yaml' or 'json', not ${JSON.stringify(output)}`);
      const report = flags.remote ? await reportOf(flags.debugAddress) : clientReport();
      const text = flags.short ? versionText(report) : longVersionText(report);
      process.stdout.write(output === undefined ? text : await formatValue(report, output));
    });
}

/** Without a control plane the client's version is still an answer: the reason goes to stderr. */
async function reportOf(debugAddress: string): Promise<ReturnType<typeof clientReport>> {
  const controlPlane = new ControlPlane(systemClock, debugAddress);
  try {
    return await remoteReport(controlPlane);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (debugAddress !== defaultDebugAddress) process.stderr.write(`fairlead: ${error.message}\n`);
    return clientReport();
  }
}

function isTrue(text: string): boolean {
  return text !== 'false';
}
