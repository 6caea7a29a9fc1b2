// Golden cases: config in, xDS resources out. `UPDATE_GOLDEN=1` writes the outputs anew.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DescMessage } from '@bufbuild/protobuf';
import { parse, stringify } from 'yaml';
import { messageToJson } from '../../src/api/any.ts';
import { Graph } from '../../src/collections/index.ts';
import type { Config } from '../../src/config/config.ts';
import { configKey } from '../../src/config/config.ts';
import type { MeshConfig } from '../../src/config/mesh-config.ts';
import { defaultMeshConfig } from '../../src/config/mesh-config.ts';
import { formatFieldPath } from '../../src/model/origin.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { PilotWorld } from '../../src/pilot/world/world.ts';
import { clusters, endpoints, extensionConfigs, listeners, routes } from '../../src/translate/index.ts';
import type { ResourceKind } from '../../src/translate/resource.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import type { World } from '../../src/translate/world.ts';
import { configsOfYaml, proxyNode, worldOf } from './world.ts';

/** The first document of `in.yaml`; the others are the config. */
export interface GoldenHeader {
  /** What the case shows, for people; names the inventory rows that it proves. */
  readonly shows: string;
  readonly proxy?: Partial<ProxyNode>;
  /** Fields of our MeshConfig, not of Istio's. */
  readonly mesh?: Partial<MeshConfig>;
  /** Which kinds of resource to write: `clusters`, `endpoints`, `listeners`, `routes`. */
  readonly kinds: readonly string[];
  /** Regular expression that names must match; absent: all. For kinds that answer to any name: the names. */
  readonly only?: string;
  /** Names asked for beside those that a wildcard gives (EDS and RDS). */
  readonly ask?: readonly string[];
  /** Whether to write where each part came from. */
  readonly sources?: boolean;
}

export interface GoldenCase {
  readonly name: string;
  readonly directory: string;
  readonly header: GoldenHeader;
  readonly config: string;
}

// The kinds differ in their type parameters; what comes out of one goes back into the same.
export type AnyResourceKind = ResourceKind<never, DescMessage>;

/** The kinds that every proxy asks for. */
export const proxyKinds = [
  clusters,
  endpoints,
  listeners,
  routes,
  extensionConfigs,
] as unknown as readonly AnyResourceKind[];

/** The cases below `directory`, sorted. Throws on folders without `in.yaml` and files that belong to no case. */
export function readGoldenCases(directory: string): readonly GoldenCase[] {
  return readdirSync(directory)
    .sort()
    .map((name) => {
      const caseDirectory = join(directory, name);
      const strangers = readdirSync(caseDirectory).filter((file) => !['in.yaml', 'out.yaml'].includes(file));
      if (strangers.length > 0)
        throw new Error(`${caseDirectory}: ${strangers.join(', ')}: only in.yaml and out.yaml belong here`);
      const input = join(caseDirectory, 'in.yaml');
      if (!existsSync(input)) throw new Error(`${caseDirectory}: an output without in.yaml: delete it`);
      const text = readFileSync(input, 'utf8');
      const end = text.indexOf('\n---');
      const header = parse(end < 0 ? text : text.slice(0, end)) as GoldenHeader;
      return { name, directory: caseDirectory, header, config: end < 0 ? '' : text.slice(end + 1) };
    });
}

/** Makes a World of objects. */
export type WorldFactory = (configs: readonly Config[], mesh: Partial<MeshConfig>) => World;

/** What the case's output is now. Throws where the documents in reverse, or a World of pilot's, give another. */
export function renderGolden(
  { header, config }: GoldenCase,
  kinds: Readonly<Record<string, AnyResourceKind>>,
): string {
  const text = renderConfig(header, config, kinds, worldOf);
  const reversed = config
    .split(/^---$/m)
    .filter((document) => document.trim() !== '')
    .reverse()
    .join('\n---\n');
  const again = renderConfig(header, reversed, kinds, worldOf);
  if (again !== text)
    throw new Error(`the order of documents changes the output:\n${text}\n--- in reverse ---\n${again}`);
  const onEngine = renderConfig(header, config, kinds, pilotWorldOf);
  if (onEngine !== text)
    throw new Error(`pilot's World gives another output:\n${text}\n--- pilot ---\n${onEngine}`);
  return text;
}

/** The expected output: what stands in `out.yaml`, or `actual` after writing it there (UPDATE_GOLDEN=1). */
export function expectedGolden(golden: GoldenCase, actual: string): string {
  const file = join(golden.directory, 'out.yaml');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, actual);
  if (!existsSync(file))
    throw new Error(`${file} is missing: run with UPDATE_GOLDEN=1 and read what it writes`);
  return readFileSync(file, 'utf8');
}

function renderConfig(
  header: GoldenHeader,
  config: string,
  kinds: Readonly<Record<string, AnyResourceKind>>,
  makeWorld: WorldFactory,
): string {
  const world = makeWorld(configsOfYaml(config), header.mesh ?? {});
  const scope = proxyScope(world, proxyNode(header.proxy));
  const only = new RegExp(header.only ?? '');
  const output: Record<string, unknown> = {};
  for (const kindName of header.kinds) {
    const kind = kinds[kindName];
    if (kind === undefined) throw new Error(`no kind ${kindName}: one of ${Object.keys(kinds).join(', ')}`);
    const names = [...new Set([...kind.names(world, scope), ...(header.ask ?? [])])].filter((name) =>
      only.test(name),
    );
    output[kindName] = names.map((name) => {
      const input = kind.input(world, scope, name);
      if (input === undefined) return { name, absent: true };
      const built = kind.build(input);
      const sources = built.provenance.map(({ at, origin }) =>
        `${at === '' ? '.' : at} <- ${origin.kind} ${origin.namespace}/${origin.name} ${formatFieldPath(origin.fieldPath)}`.trimEnd(),
      );
      const json = messageToJson(kind.schema, built.message);
      return header.sources === true ? { resource: json, sources } : json;
    });
  }
  return stringify(output, { lineWidth: 110, aliasDuplicateObjects: false });
}

/** Pilot's own, whose objects come one after the other and are read in between. */
function pilotWorldOf(configs: readonly Config[], mesh: Partial<MeshConfig>): World {
  const world = new PilotWorld(new Graph(), { ...defaultMeshConfig, ...mesh });
  for (const config of configs) {
    world.apply([{ key: configKey(config), after: config }]);
    world.servicesVisibleTo('default');
  }
  return world;
}
