// From the text of a file to the objects in it and what is wrong with them. Unlike the control plane's reader,
// this keeps objects that are refused: analyzers have something to say of them, too.
import type { Diagnostic } from '../config/config.ts';
import { configKey, kindKey } from '../config/config.ts';
import { istioKinds } from '../config/istio-schemas.ts';
import { kubeSchemas } from '../config/kube-schemas.ts';
import { readMetadata } from '../config/metadata.ts';
import type { Item } from '../config/reader.ts';
import { TextReader, documentsMax, itemsOf } from '../config/reader.ts';
import type { Schema } from '../config/schema.ts';
import { checkStructure, isRecord, withoutNulls } from '../config/schema.ts';
import { DocumentText, parseDocument } from '../config/yaml-document.ts';
import { splitDocuments } from '../config/yaml-split.ts';
import type { Finding } from './analyzer.ts';
import type { AnalyzedKind } from './kinds.ts';
import { analyzedKind } from './kinds.ts';
import type { AnalysisObject } from './object.ts';

export interface LoadOptions {
  /** Of objects that do not name one. */
  readonly defaultNamespace: string;
  /** Whether kinds that live in a cluster (Service, Pod, Namespace, Node, Secret) are taken from files. */
  readonly withLiveKinds: boolean;
  readonly cluster?: string;
}

export interface Loaded {
  /** Those whose fields have the types of their kind; others have only findings. */
  readonly objects: readonly AnalysisObject[];
  readonly findings: readonly Finding[];
  /** Documents that could not be read at all. */
  readonly problems: readonly Diagnostic[];
}

/** Complaints about a text rather than about an object. */
const textProblems: ReadonlySet<string> = new Set([
  'alias',
  'duplicate-key',
  'encoding',
  'limit',
  'not-kubernetes',
  'syntax',
]);

/** Namespaces of the cluster's own, which Istio does not look into. */
const ignoredNamespaces: ReadonlySet<string> = new Set([
  'kube-node-lease',
  'kube-public',
  'kube-system',
  'local-path-storage',
]);

/** Reads one file. Never throws. */
export function loadText(file: string, content: string | Uint8Array, options: LoadOptions): Loaded {
  // Kubernetes gives every object a namespace; where the caller has none, that is no mistake of the object.
  const reader = new TextReader(file, { defaultNamespace: options.defaultNamespace });
  const { diagnostics } = reader.read(content);
  const problems = diagnostics.filter(({ code }) => textProblems.has(code));
  const named = new Map<string, AnalysisObject>();
  const objects: AnalysisObject[] = [];
  if (problems.some(({ code }) => code === 'encoding')) return { objects, findings: [], problems };
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
  for (const chunk of splitDocuments(text.replace(/^\uFEFF/, ''), documentsMax)) {
    const document = new DocumentText(file, chunk.firstLine, chunk.text);
    const parsed = parseDocument(chunk.text);
    if (parsed.problems.length > 0) continue;
    for (const item of itemsOf(parsed.value)) {
      const read = readObject(document, item, options);
      if (read === undefined) continue;
      const key = configKey(read.object);
      if (!named.has(key)) named.set(key, read.object);
      if (read.isReadable) objects.push(read.object);
    }
  }
  const findings: Finding[] = [];
  for (const diagnostic of diagnostics) {
    if (textProblems.has(diagnostic.code) || diagnostic.object === undefined) continue;
    const object = named.get(configKey(diagnostic.object));
    if (object !== undefined) findings.push({ diagnostic, object });
  }
  return { objects, findings, problems };
}

interface ReadObject {
  readonly object: AnalysisObject;
  readonly isReadable: boolean;
}

function readObject(
  document: DocumentText,
  { value, path }: Item,
  options: LoadOptions,
): ReadObject | undefined {
  if (!isRecord(value)) return undefined;
  const { apiVersion, kind: kindName, metadata: _metadata, ...written } = value;
  if (typeof apiVersion !== 'string' || typeof kindName !== 'string') return undefined;
  const kind = analyzedKind(apiVersion, kindName);
  if (kind === undefined || (kind.isLive === true && !options.withLiveKinds)) return undefined;
  const metadata = readMetadata(value);
  const namespace = kind.isClusterWide === true ? '' : (metadata.namespace ?? options.defaultNamespace);
  if (ignoredNamespaces.has(kind.kind === 'Namespace' ? metadata.name : namespace)) return undefined;
  const body = withoutNulls(written);
  return {
    object: {
      kind: kindKey(kind.group, kind.kind),
      namespace,
      name: metadata.name,
      labels: metadata.labels,
      annotations: metadata.annotations,
      body,
      creationTimeMs: metadata.creationTimeMs,
      cluster: options.cluster ?? '',
      locate: (field) => document.locate([...path, ...field]),
    },
    isReadable: metadata.name !== '' && hasRightTypes(kind, body),
  };
}

/** Whether the fields that we know have the types that analyzers count on. */
function hasRightTypes(kind: AnalyzedKind, body: Readonly<Record<string, unknown>>): boolean {
  const istio = istioKinds.get(`${kind.group}/${kind.kind}`);
  const schema: Schema | undefined =
    istio === undefined
      ? kubeSchemas[kind.kind]
      : { type: 'object', properties: { spec: istio.spec }, required: [], open: true };
  if (schema === undefined) return true;
  let isRight = true;
  checkStructure(schema, body, [], ({ code }) => {
    if (code === 'wrong-type') isRight = false;
  });
  return isRight;
}
