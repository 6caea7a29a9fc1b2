// `fairlead x mesh`: synthetic meshes as YAML.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { seededRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import { meshShapes } from '../load/mesh/shapes.ts';

interface Flags {
  readonly services: number;
  readonly pods?: number;
  readonly namespaces: number;
  readonly routes: number;
  readonly routed: number;
  readonly gateways: number;
  readonly gatewayPods: number;
  readonly sidecars?: true;
  readonly serviceEntries: number;
  readonly endpoints: 'pods' | 'slices';
  readonly shape: string;
  readonly seed: number;
  readonly out?: string;
}

export function meshCommand(): Command {
  const shapes = meshShapes.map(({ name, about }) => `  ${name.padEnd(28)}${about}`).join('\n');
  return new Command('mesh')
    .description('Write a synthetic mesh as YAML: the same one for the same options.')
    .requiredOption('--services <n>', 'services', count(1, 50_000))
    .option('--pods <n>', 'pods, dealt out to the services in turn (default: one each)', count(0, 500_000))
    .option('--namespaces <n>', 'namespaces, among which the services are dealt out', count(1, 10_000), 10)
    .option('--routes <n>', 'routes of each service; 0: no VirtualServices', count(0, 1000), 1)
    .option('--routed <percent>', 'services that have them', count(0, 100), 100)
    .option('--gateways <n>', 'Gateway objects; services are exposed on them in turn', count(0, 10_000), 0)
    .option('--gateway-pods <n>', 'pods behind the Gateways', count(1, 1000), 1)
    .option('--sidecars', 'a Sidecar in each namespace: its proxies see it and the next one')
    .option('--service-entries <n>', 'hosts outside of the mesh', count(0, 50_000), 0)
    .addOption(
      new Option('--endpoints <from>', 'what lists endpoints: Pods alone, or EndpointSlices beside them')
        .choices(['pods', 'slices'])
        .default('pods'),
    )
    .addOption(
      new Option('--shape <name>', 'see below')
        .choices(meshShapes.map(({ name }) => name))
        .default('kubernetes'),
    )
    .option('--seed <n>', 'of what is left to chance: weights, zones, limits', count(0, 2 ** 32 - 1), 1)
    .option('--out <dir>', 'an empty directory, or a new one; default: one stream of YAML to stdout')
    .addHelpText(
      'after',
      `
Shapes (routes, gateways, sidecars and hosts outside are options of the first; the others are shapes of
Istio's own benchmarks):
${shapes}

Examples:
  fairlead x mesh --services 1000 --pods 2000 --routes 3 --out mesh
  fairlead x mesh --services 100 --shape gateways-shared | fairlead validate -f -`,
    )
    .action((flags: Flags) => writeMesh(flags));
}

function writeMesh(flags: Flags): void {
  const shape = meshShapes.find(({ name }) => name === flags.shape);
  if (shape === undefined) throw new UserError(`--shape ${flags.shape}: there is no such shape`);
  const files = shape.files(
    { ...flags, pods: flags.pods ?? flags.services, sidecars: flags.sidecars === true },
    seededRandom(flags.seed),
  );
  const { out } = flags;
  if (out === undefined) {
    for (const { text } of files) process.stdout.write(`---\n${text}`);
    return;
  }
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new UserError(`--out ${out}: is not empty; what is in it would become a part of the mesh`);
  let written = 0;
  let bytes = 0;
  for (const { path, text } of files) {
    const file = join(out, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    written++;
    bytes += text.length;
  }
  process.stdout.write(`${written} files, ${(bytes / 1024 / 1024).toFixed(1)} MB, in ${out}\n`);
}

/** A whole number within bounds. */
export function count(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most))
      throw new InvalidArgumentError(
        `${JSON.stringify(text)} is not a whole number from ${least} to ${most}.`,
      );
    return value;
  };
}
