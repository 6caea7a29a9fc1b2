// What each field of a user's object does: the object is translated with it and without it, and the resources are
// compared. So a field counts as built only if taking it away, or changing it, changes what a proxy gets.
import type { DescMessage, JsonValue } from '@bufbuild/protobuf';
import { parseAllDocuments } from 'yaml';
import { messageToJson } from '../../src/api/any.ts';
import { lookUpKind } from '../../src/config/kinds.ts';
import type { Kind } from '../../src/config/kinds.ts';
import * as translate from '../../src/translate/index.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import type { AnyResourceKind, GoldenHeader } from '../support/golden.ts';
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
}

/** Kind -> field -> what it reaches. */
export type Effects = Map<string, Map<string, FieldEffect>>;

export interface FieldEffect {
  /** Paths of Envoy's fields, the most particular case's. */
  reaches: readonly string[];
  readonly cases: Set<string>;
}

type Json = Record<string, unknown>;

/** Adds what the fields of these kinds do in one case. Throws where the case itself is refused. */
export function addEffects(effects: Effects, corpusCase: CorpusCase, kinds: ReadonlySet<string>): void {
  const documents = parseAllDocuments(corpusCase.config)
    .map((document) => document.toJS() as Json | null)
    .filter((document) => document !== null);
  const before = resourcesOf(corpusCase, documents);
  const done = new Set<string>();
  for (const [index, document] of documents.entries()) {
    const kind = kindOf(document);
    if (kind === undefined || !kinds.has(kind.kind)) continue;
    for (const leaf of leavesIn(kind.schema(), document, kind.kind, [])) {
      // One that shows something is enough, but not all do: a rule may stand behind another.
      if (done.has(leaf.field)) continue;
      const reaches = effectOf(corpusCase, documents, index, kind, leaf, before);
      if (reaches.length === 0) continue;
      done.add(leaf.field);
      record(effects, kind.kind, leaf.field, reaches, corpusCase.name);
    }
  }
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
  documents: readonly Json[],
  index: number,
  kind: Kind,
  { path }: Leaf,
  before: Resources,
): readonly string[] {
  const original = documents[index];
  const schema = schemaOf(kind.schema(), path);
  const variants = [
    () => without(original, path, false),
    () => without(original, path, true),
    ...otherValues(schema, valueAt(original, path)).map((value) => () => withOther(original, path, value)),
  ];
  for (const variant of variants) {
    const changed = documents.map((document, at) => (at === index ? (variant() as Json) : document));
    let after;
    try {
      after = resourcesOf(corpusCase, changed);
    } catch {
      // Refused: the field is needed, or may not have that value.
      continue;
    }
    const reaches = differingFields(before, after);
    if (reaches.length > 0) return reaches;
  }
  return [];
}

/** Throws where the config is refused. */
function resourcesOf({ proxies }: CorpusCase, documents: readonly Json[]): Resources {
  // JSON is YAML that no reader takes for something else (`no`, `1e3`).
  const text = documents.map((document) => JSON.stringify(document)).join('\n---\n');
  const configs = configsOfYaml(text);
  const resources: Record<string, Record<string, JsonValue>> = {};
  for (const [number, { proxy, mesh }] of proxies.entries()) {
    const world = worldOf(configs, mesh ?? {});
    const scope = proxyScope(world, proxyNode(proxy));
    for (const kind of Object.values(translate) as unknown as readonly AnyResourceKind[]) {
      const messageName = (kind.schema as DescMessage).name;
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
