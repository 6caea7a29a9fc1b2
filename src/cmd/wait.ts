// `fairlead wait`: until the affected proxies have acknowledged a change.
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { ControlPlane, defaultDebugAddress } from '../istioctl/control-plane.ts';
import { waitForObject, waitForRevision } from '../istioctl/wait.ts';
import { parseDurationMs } from '../model/duration.ts';

interface Flags {
  readonly for: string;
  readonly timeout: number;
  readonly threshold: number;
  readonly generation?: number;
  readonly proxy?: string;
  readonly namespace?: string;
  readonly debugAddress: string;
}

export function command(): Command {
  return new Command('wait')
    .description('Wait until the proxies that a change affects have acknowledged it.')
    .argument('<what>', 'REVISION, or the kind of an object')
    .argument('[name]', 'NAME[.NAMESPACE] of the object')
    .option('--for <condition>', "wait condition: 'distribution', or 'delete'", 'distribution')
    .addOption(timeoutOption())
    .option('--threshold <ratio>', 'how many of the affected proxies must have it', parseRatio, 1)
    .option(
      '--generation <number>',
      'wait for this generation of the object, or a later one',
      parseGeneration,
    )
    .option('--proxy <proxy>', 'POD.NAMESPACE: wait for this proxy alone')
    .option('-n, --namespace <namespace>', 'namespace of the object')
    .addOption(debugAddressOption())
    .addHelpText(
      'after',
      `
A revision is the number of an accepted change; /debug/revisions lists them. Only proxies that the
change affects count. One that disconnects drops out.

Examples:
  fairlead wait --for=distribution virtualservice bookinfo.default
  fairlead wait --threshold=.99 --timeout=300s virtualservice bookinfo.default
  fairlead wait virtualservice bookinfo.default --proxy reviews-v1-0.default
  fairlead wait 17

Exit code: 0 when they have acknowledged (or nobody is affected), 1 when the time is over or a proxy refused.`,
    )
    .action(async (what: string, name: string | undefined, flags: Flags) => {
      const options = {
        clock: systemClock,
        controlPlane: new ControlPlane(systemClock, flags.debugAddress),
        timeoutMs: flags.timeout,
        threshold: flags.threshold,
        proxy: flags.proxy,
      };
      if (flags.for !== 'distribution' && flags.for !== 'delete')
        throw new UserError(`--for must be 'delete' or 'distribution', got: ${flags.for}`, 64);
      if (/^\d+$/.test(what)) {
        if (name !== undefined) throw new UserError(`wait ${what} takes no name: ${name}`, 64);
        process.stdout.write(`${await waitForRevision(Number(what), options)}\n`);
        return;
      }
      if (name === undefined)
        throw new UserError(`give a revision (a number), or KIND NAME[.NAMESPACE]: wait ${what} NAME`, 64);
      const line = await waitForObject(what, name, {
        ...options,
        isDelete: flags.for === 'delete',
        ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
        ...(flags.generation === undefined ? {} : { generation: flags.generation }),
      });
      process.stdout.write(`${line}\n`);
    });
}

/** `--timeout 30s`; shared with `apply` and `delete`. */
export function timeoutOption(): Option {
  return new Option('--timeout <duration>', 'how long to wait, such as 30s')
    .argParser(parseTimeout)
    .default(30_000, '30s');
}

/** Where the control plane answers. */
export function debugAddressOption(): Option {
  return new Option('--debug-address <url>', 'debug port of the control plane')
    .env('FAIRLEAD_DEBUG_ADDRESS')
    .default(defaultDebugAddress);
}

function parseTimeout(text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : parseDurationMs(text);
  if (ms === undefined || ms < 0) throw new InvalidArgumentError('give a duration such as 30s, 5m or 500ms.');
  return ms;
}

function parseRatio(text: string): number {
  const ratio = Number(text);
  if (text.trim() === '' || !(ratio >= 0 && ratio <= 1))
    throw new InvalidArgumentError('give a ratio from 0 to 1.');
  return ratio;
}

function parseGeneration(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('give a whole number.');
  return Number(text);
}
