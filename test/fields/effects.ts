// What each field of a user's object does: the object is translated with it and without it, and the resources are
// compared. So a field counts as built only if taking it away, or changing it, changes what a proxy gets.
import type { JsonValue } from '@bufbuild/protobuf';
import { parseAllDocuments } from 'yaml';
import { messageToJson } from '../../src/api/any.ts';
import type { Config } from '../../src/config/config.ts';
import { lookUpKind } from '../../src/config/kinds.ts';
import type { Kind } from '../../src/config/kinds.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import type { GoldenHeader } from '../support/golden.ts';
import { proxyKinds } from '../support/golden.ts';
import { configsOfYaml, proxyNode, worldOf } from '../support/world.ts';
import type { Resources } from './differences.ts';
import { differingFields } from './differences.ts';
import type { Leaf } from './field-paths.ts';
import { leavesIn, otherValues, schemaOf, valueAt, without, withOther } from './field-paths.ts';

/** A config, and for whom it is translated. */
export interface CorpusCase {
  /** The file that it stands in, for people. */
  readonly name: string;
  readonly config: string;
  readonly proxies: readonly Pick<GoldenHeader, 'proxy' | 'mesh'>[];
  /** Kinds whose fields it is about; absent: all. */
  readonly only?: readonly string[];
}

/** Kind -> field -> what it reaches. */
export type Effects = Map<string, Map<string, FieldEffect>>;

export interface FieldEffect {
  /** Paths of Envoy's fields, the most particular case's. */
  reaches: readonly string[];
  readonly cases: Set<string>;
}

type Json = Record<string, unknown>;

/** A field that this many cases show is shown. */
const casesMax = 2;
/** Of a field that stands in a case many times, so many are tried: a rule may stand behind another. */
const triesMax = 4;

/** Adds what the fields of these kinds do in one case. Throws where the case itself is refused. */
export function addEffects(effects: Effects, corpusCase: CorpusCase, kinds: ReadonlySet<string>): void {
  const documents = parseAllDocuments(corpusCase.config)
    .map((document) => document.toJS() as Json | null)
    .filter((document) => document !== null);
  const configs = documents.map(configsOf);
  const before = resourcesOf(corpusCase, configs.flat());
  const tries = new Map<string, number>();
  for (const [index, document] of documents.entries()) {
    const kind = kindOf(document);
    if (kind === undefined || !kinds.has(kind.kind) || corpusCase.only?.includes(kind.kind) === false)
      continue;
    for (const leaf of leavesIn(kind.schema(), document, kind.kind, [])) {
      const tried = tries.get(leaf.field) ?? 0;
      const known = effects.get(kind.kind)?.get(leaf.field.slice(kind.kind.length + 1));
      if (tried >= triesMax || (known?.cases.size ?? 0) >= casesMax) continue;
      tries.set(leaf.field, tried + 1);
      const reaches = effectOf(corpusCase, configs, document, index, kind, leaf, before);
      if (reaches.length === 0) continue;
      tries.set(leaf.field, triesMax);
      record(effects, kind.kind, leaf.field, reaches, corpusCase.name);
    }
  }
}

/** JSON is YAML that no reader takes for something else (`no`, `1e3`). Throws where it is refused. */
function configsOf(document: unknown): readonly Config[] {
  return configsOfYaml(JSON.stringify(document));
}

function kindOf(document: Json): Kind | undefined {
  const answer = lookUpKind(String(document['apiVersion']), String(document['kind']));
  return answer.known ? answer.kind : undefined;
}

/** Fewer paths say more: a change of one field rather than of whole resources. */
function record(
  effects: Effects,
  kind: string,
  field: string,
  reaches: readonly string[],
  name: string,
): void {
  const ofKind = effects.get(kind) ?? new Map<string, FieldEffect>();
  effects.set(kind, ofKind);
  const name0 = field.slice(kind.length + 1);
  const known = ofKind.get(name0);
  if (known === undefined) {
    ofKind.set(name0, { reaches, cases: new Set([name]) });
    return;
  }
  known.cases.add(name);
  if (particularity(reaches) > particularity(known.reaches)) known.reaches = reaches;
}

/** How much a set of paths says: deep ones say more than shallow ones, few more than many. */
function particularity(paths: readonly string[]): number {
  const depth = Math.min(...paths.map((path) => path.split('.').length));
  return depth * 100 - Math.min(paths.length, 99);
}

function effectOf(
  corpusCase: CorpusCase,
  configs: readonly (readonly Config[])[],
  original: Json,
  index: number,
  kind: Kind,
  { path }: Leaf,
  before: Resources,
): readonly string[] {
  const item = path.findLastIndex((part) => typeof part === 'number') + 1;
  const variants = [
    () => without(original, path, false),
    () => without(original, path, true),
    ...otherValues(schemaOf(kind.schema(), path), valueAt(original, path)).map(
      (value) => () => withOther(original, path, value),
    ),
    // Values that must fit together (shares that make 100): without the item or the block that they stand in.
    ...(item > 0 ? [() => without(original, path.slice(0, item), true)] : []),
  ];
  for (const variant of variants) {
    let changed;
    try {
      changed = configsOf(variant());
    } catch {
      // Refused: the field is needed, or may not have that value.
      continue;
    }
    const after = resourcesOf(corpusCase, configs.map((each, at) => (at === index ? changed : each)).flat());
    const reaches = differingFields(before, after);
    if (reaches.length > 0) return reaches;
  }
  return [];
}

function resourcesOf({ proxies }: CorpusCase, configs: readonly Config[]): Resources {
  const resources: Record<string, Record<string, JsonValue>> = {};
  for (const [number, { proxy, mesh }] of proxies.entries()) {
    const world = worldOf(configs, mesh ?? {});
    const scope = proxyScope(world, proxyNode(proxy));
    for (const kind of proxyKinds) {
      const messageName = kind.schema.name;
      const ofKind = (resources[messageName] ??= {});
      for (const name of kind.names(world, scope)) {
        const input = kind.input(world, scope, name);
        if (input !== undefined)
          ofKind[`${number} ${name}`] = messageToJson(kind.schema, kind.build(input).message);
      }
    }
  }
  return resources;
}
