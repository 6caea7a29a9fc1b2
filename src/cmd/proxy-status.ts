// `fairlead proxy-status`: which proxy has acknowledged what, and whether one runs what was meant for it.
import { Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { compareDumps } from '../istioctl/compare.ts';
import { parseConfigDump } from '../istioctl/config-dump.ts';
import { ControlPlane, defaultDebugAddress } from '../istioctl/control-plane.ts';
import { checkOutputFormat, formatValue } from '../istioctl/output.ts';
import { connectedProxies, findProxy } from '../istioctl/proxies.ts';
import { readDump } from '../istioctl/proxy-admin.ts';
import { proxyStatusTable, proxyStatusValue } from '../istioctl/proxy-status.ts';
import { refusalNotes } from '../istioctl/refusals.ts';
import { remoteReport } from '../istioctl/version-report.ts';
import { compatOption, portNumber } from './proxy-config.ts';
import { readStdin } from './stdin.ts';

interface Flags {
  readonly namespace?: string;
  readonly output: string;
  readonly verbosity: string;
  readonly compat: '1.19' | '1.32';
  readonly file?: string;
  readonly proxyAdminPort: number;
  readonly debugAddress: string;
  readonly xdsAddress?: string;
  readonly certDir?: string;
  readonly authority?: string;
  readonly plaintext?: boolean;
  readonly istioNamespace?: string;
}

export function command(): Command {
  return new Command('proxy-status')
    .alias('ps')
    .description('Which proxy has acknowledged what; with POD: whether it runs what the control plane means.')
    .argument('[pod]', 'POD[.NAMESPACE] or deploy/NAME[.NAMESPACE]')
    .option('-n, --namespace <namespace>', 'only proxies of this namespace')
    .option(
      '-i, --istioNamespace <namespace>',
      'namespace of the control plane: with --xds-address that of who asks',
    )
    .option('-o, --output <format>', 'one of json, yaml, table', 'table')
    .option('-v, --verbosity <level>', '0: subscribed types; 1: a column for each type, with ages', '0')
    .option('--file <file>', "with POD: the proxy's config dump from a file; - is stdin")
    .option('--proxy-admin-port <port>', 'admin port of the proxies', portNumber, 15000)
    .addOption(
      new Option('--debug-address <url>', 'debug port of the control plane')
        .env('FAIRLEAD_DEBUG_ADDRESS')
        .default(defaultDebugAddress),
    )
    .option('--xds-address <host:port>', 'ask on the xDS port of the control plane instead')
    .option('--cert-dir <folder>', 'with --xds-address: cert-chain.pem, key.pem and root-cert.pem, for TLS')
    .option('--authority <name>', 'with --cert-dir: the name in the certificate of the control plane')
    .option('--plaintext', 'with --xds-address: no TLS (so without --cert-dir in any case)')
    .addOption(compatOption())
    .addHelpText(
      'after',
      `
SYNCED: the proxy acknowledged the last configuration. STALE: it has not yet. ERROR: it refused it.
NOT SENT: there was nothing to send. IGNORED: it did not ask for this type.
What proxies refused, with the line of YAML that it came from, is told on standard error.

Examples:
  fairlead proxy-status
  fairlead ps -v 1 -n default
  fairlead ps --xds-address 127.0.0.1:15010
  fairlead ps deploy/productpage-v1`,
    )
    .action(async (pod: string | undefined, flags: Flags) => {
      process.stdout.write(await (pod === undefined ? statusOfAll(flags) : comparisonOf(pod, flags)));
    });
}

async function statusOfAll(flags: Flags): Promise<string> {
  const output = checkOutputFormat(flags.output, ['table', 'json', 'yaml']);
  const controlPlane = controlPlaneOf(flags);
  const all = await connectedProxies(controlPlane);
  const proxies = all.filter((proxy) => flags.namespace === undefined || proxy.namespace === flags.namespace);
  if (output === 'table') {
    const verbose = Number(flags.verbosity) > 0;
    for (const note of await refusalNotes(controlPlane)) process.stderr.write(`${note}\n`);
    return proxyStatusTable(proxies, { compat: flags.compat, verbose, nowMs: systemClock.now() });
  }
  const report = await remoteReport(controlPlane);
  return formatValue(proxyStatusValue(proxies, report.meshVersion?.[0]?.Info.version ?? ''), output);
}

async function comparisonOf(pod: string, flags: Flags): Promise<string> {
  const controlPlane = controlPlaneOf(flags);
  const proxy = findProxy(await connectedProxies(controlPlane), pod, flags.namespace);
  const path = `/debug/config_dump?proxyID=${encodeURIComponent(proxy.id)}`;
  const place = {
    ...(flags.file === undefined ? { name: proxy.id } : { file: flags.file }),
    adminPort: flags.proxyAdminPort,
    debugAddress: controlPlane.address,
  };
  const [meant, { dump }] = await Promise.all([
    controlPlane.get(path),
    readDump({ clock: systemClock, readStdin, directory: process.cwd() }, place),
  ]);
  const comparison = compareDumps(parseConfigDump(meant, controlPlane.address + path), dump);
  return comparison.text;
}

function controlPlaneOf(flags: Flags): ControlPlane {
  const { xdsAddress, certDir, authority, plaintext, istioNamespace } = flags;
  if (xdsAddress === undefined) return new ControlPlane(systemClock, flags.debugAddress);
  if (xdsAddress.startsWith('http://')) return new ControlPlane(systemClock, xdsAddress, '--xds-address');
  return ControlPlane.overXds(systemClock, {
    address: xdsAddress,
    certDirectory: plaintext === true ? undefined : certDir,
    authority,
    namespace: istioNamespace,
  });
}
