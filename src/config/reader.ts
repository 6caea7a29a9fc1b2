// From a text (YAML or JSON, any number of documents) to objects, and to what is wrong with it.
import { isUtf8 } from 'node:buffer';
import type { FieldPath } from '../model/origin.ts';
import type { Config, Diagnostic, Position } from './config.ts';
import { configKey, kindKey } from './config.ts';
import type { Kind } from './kinds.ts';
import { clusterKinds, lookUpKind, validateKind } from './kinds.ts';
import { checkMetadata, readMetadata } from './metadata.ts';
import type { Finding } from './schema.ts';
import { checkStructure, describeValue, isRecord, withoutNulls } from './schema.ts';
import type { ObjectMeta } from './semantic/validator.ts';
import { comparePositions, duplicateDiagnostic } from './store.ts';
import { DocumentText, parseDocument } from './yaml-document.ts';
import { splitDocuments } from './yaml-split.ts';

/** Files larger than this are refused. */
export const fileBytesMax = 10 * 1024 * 1024;
/** Documents in one file. */
export const documentsMax = 20_000;
/** Complaints about one document; what follows is counted. */
const findingsMax = 20;

export interface ReadResult {
  /** The objects that are right, in the order of the text; no key twice. */
  readonly configs: readonly Config[];
  readonly diagnostics: readonly Diagnostic[];
  /** Keys of objects that stand in the text but were refused: their last good version stays in force. */
  readonly refusedKeys: readonly string[];
  /**
   * Some document is so broken that not even its name can be told: nothing that this text held
   * before may be taken for deleted.
   */
  readonly hasUnnamed: boolean;
}

export interface TextReaderOptions {
  /** Of objects that do not name one. Default: `default`. */
  readonly defaultNamespace?: string;
}

/**
 * Reads one text again and again: documents whose text has not changed are not parsed again.
 * Reading never throws.
 */
export class TextReader {
  readonly #file: string;
  readonly #defaultNamespace: string;
  #documents = new Map<string, ReadDocument[]>();

  /** `file` is how positions name the text. */
  constructor(file: string, options: TextReaderOptions = {}) {
    this.#file = file;
    this.#defaultNamespace = options.defaultNamespace ?? 'default';
  }

  read(content: string | Uint8Array): ReadResult {
    const decoded = decode(this.#file, content);
    if ('problem' in decoded) return broken(decoded.problem);
    const chunks = splitDocuments(decoded.text, documentsMax + 1);
    if (chunks.length > documentsMax)
      return broken({
        ...fileProblem(this.#file, `more than ${documentsMax} documents in one file; split it`, 'limit'),
        position: { file: this.#file, line: chunks.at(-1)?.firstLine ?? 1, column: 1 },
      });
    const previous = this.#documents;
    this.#documents = new Map();
    const read: ReadDocument[] = [];
    for (const { text, firstLine } of chunks) {
      const reusable = previous.get(text)?.shift();
      if (reusable !== undefined) reusable.document.firstLine = firstLine;
      const document =
        reusable ??
        readDocument(new DocumentText(this.#file, firstLine, detach(text)), this.#defaultNamespace);
      const same = this.#documents.get(document.document.text);
      if (same === undefined) this.#documents.set(document.document.text, [document]);
      else same.push(document);
      read.push(document);
    }
    return combine(read);
  }
}

/** Reads one text once. */
export function readText(file: string, content: string | Uint8Array): ReadResult {
  return new TextReader(file).read(content);
}

interface ReadDocument {
  readonly document: DocumentText;
  readonly configs: readonly Config[];
  /** Positions are made when they are asked for: the document may move within its file. */
  readonly complaints: readonly Complaint[];
  readonly refusedKeys: readonly string[];
  readonly hasUnnamed: boolean;
}

interface Complaint {
  readonly diagnostic: Omit<Diagnostic, 'position'>;
  readonly place: number | FieldPath;
}

/** An object within a document: the document itself, or an item of a List. */
export interface Item {
  readonly value: unknown;
  readonly path: FieldPath;
}

/** A copy of its own: a part of a string would keep the whole file's text in memory, version after version. */
function detach(text: string): string {
  return Buffer.from(text).toString();
}

function decode(
  file: string,
  content: string | Uint8Array,
): { readonly text: string } | { readonly problem: Diagnostic } {
  if (content.length > fileBytesMax)
    return {
      problem: fileProblem(
        file,
        `the file is larger than ${fileBytesMax / 1024 / 1024} MB; split it`,
        'limit',
      ),
    };
  if (typeof content !== 'string') {
    if ((content[0] === 0xff && content[1] === 0xfe) || (content[0] === 0xfe && content[1] === 0xff))
      return { problem: fileProblem(file, 'the file is UTF-16; save it as UTF-8', 'encoding') };
    if (!isUtf8(content)) return { problem: badUtf8(file, content) };
  }
  let text =
    typeof content === 'string'
      ? content
      : Buffer.from(content.buffer, content.byteOffset, content.length).toString('utf8');
  if (text.startsWith('\uFEFF')) text = text.slice(1);
  // oxlint-disable-next-line no-control-regex -- finding control characters is what this is for
  const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.exec(text);
  if (control === null) return { text };
  const code = control[0].charCodeAt(0).toString(16).padStart(4, '0');
  return {
    problem: {
      ...fileProblem(file, `the control character U+${code.toUpperCase()} cannot stand in YAML`, 'encoding'),
      position: new DocumentText(file, 1, text).positionAt(control.index),
    },
  };
}

function badUtf8(file: string, bytes: Uint8Array): Diagnostic {
  // The longest prefix that is right: bisect over bytes, allowing for a character cut at the end.
  let good = 0;
  let bad = bytes.length;
  const isGoodPrefix = (length: number): boolean =>
    [0, 1, 2, 3].some((cut) => length - cut >= 0 && isUtf8(bytes.subarray(0, length - cut)));
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isGoodPrefix(middle)) good = middle;
    else bad = middle;
  }
  let start = good;
  while (start > 0 && !isUtf8(bytes.subarray(0, start))) start--;
  const before = Buffer.from(bytes.buffer, bytes.byteOffset, start).toString('utf8');
  const byte = (bytes[start] ?? 0).toString(16).padStart(2, '0');
  return {
    ...fileProblem(file, `byte ${start} (0x${byte}) is not UTF-8; save the file as UTF-8`, 'encoding'),
    position: new DocumentText(file, 1, before).positionAt(before.length),
  };
}

function fileProblem(file: string, message: string, code: string): Diagnostic {
  return { severity: 'error', code, message, position: { file, line: 1, column: 1 }, fieldPath: [] };
}

function broken(diagnostic: Diagnostic): ReadResult {
  return { configs: [], diagnostics: [diagnostic], refusedKeys: [], hasUnnamed: true };
}

function combine(documents: readonly ReadDocument[]): ReadResult {
  const configs = new Map<string, Config>();
  const diagnostics: Diagnostic[] = [];
  let foreign: Position | undefined;
  for (const { document, configs: own, complaints } of documents) {
    for (const { diagnostic, place } of complaints) {
      const position = typeof place === 'number' ? document.positionAt(place) : document.locate(place);
      // A file of something else altogether is said once, not for each of its documents.
      if (diagnostic.code === 'not-kubernetes') {
        if (foreign !== undefined) continue;
        foreign = position;
      }
      diagnostics.push({ ...diagnostic, position });
    }
    for (const config of own) {
      const key = configKey(config);
      const first = configs.get(key);
      if (first === undefined) configs.set(key, config);
      else diagnostics.push(duplicateDiagnostic(config, first.locate([])));
    }
  }
  return {
    configs: [...configs.values()],
    diagnostics: diagnostics.sort((a, b) => comparePositions(a.position, b.position)),
    refusedKeys: documents.flatMap((document) => document.refusedKeys),
    hasUnnamed: documents.some((document) => document.hasUnnamed),
  };
}

function readDocument(document: DocumentText, defaultNamespace: string): ReadDocument {
  const { value, problems } = parseDocument(document.text);
  if (problems.length > 0) {
    const key = guessKey(value, document.text, defaultNamespace);
    const object = key === undefined ? {} : { object: key };
    return {
      document,
      configs: [],
      complaints: problems.map(({ code, message, offset, fieldPath }) => ({
        diagnostic: { severity: 'error', code, message, ...object, fieldPath },
        place: offset,
      })),
      refusedKeys: key === undefined ? [] : [configKey(key)],
      hasUnnamed: key === undefined,
    };
  }
  const configs: Config[] = [];
  const complaints: Complaint[] = [];
  const refusedKeys: string[] = [];
  let hasUnnamed = false;
  for (const item of itemsOf(value)) {
    const result = readObject(document, item, defaultNamespace);
    complaints.push(...result.complaints);
    if (result.config !== undefined) configs.push(result.config);
    if (result.refusedKey !== undefined) refusedKeys.push(result.refusedKey);
    hasUnnamed ||= result.isUnnamed;
  }
  return { document, configs, complaints, refusedKeys, hasUnnamed };
}

/** The items of a List of any kind (ServiceList too), of a JSON array, or the object itself. */
export function itemsOf(value: unknown): Item[] {
  if (value === null || value === undefined) return [];
  if (
    isRecord(value) &&
    typeof value['kind'] === 'string' &&
    value['kind'].endsWith('List') &&
    Array.isArray(value['items'])
  )
    return value['items'].map((item: unknown, index) => ({ value: item, path: ['items', index] }));
  return [{ value, path: [] }];
}

interface ReadObject {
  readonly config?: Config;
  readonly complaints: readonly Complaint[];
  readonly refusedKey?: string;
  readonly isUnnamed: boolean;
}

function readObject(document: DocumentText, item: Item, defaultNamespace: string): ReadObject {
  const { value, path } = item;
  const notKubernetes = (message: string): ReadObject => ({
    complaints: [
      {
        diagnostic: { severity: 'warning', code: 'not-kubernetes', message, fieldPath: path },
        place: path,
      },
    ],
    isUnnamed: false,
  });
  if (!isRecord(value))
    return notKubernetes(`not a Kubernetes object but ${describeValue(value)}; it is left out`);
  const { apiVersion, kind: kindName, metadata: _metadata, ...written } = value;
  if (typeof apiVersion !== 'string' || typeof kindName !== 'string')
    return notKubernetes('not a Kubernetes object: apiVersion and kind are missing; it is left out');

  const metadata = readMetadata(value);
  const answer = lookUpKind(apiVersion, kindName);
  const isNamespaced = !answer.known || answer.kind.isNamespaced;
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const identity = {
    kind: kindKey(group, kindName),
    namespace: isNamespaced ? (metadata.namespace ?? defaultNamespace) : '',
    name: metadata.name,
  };
  const named = metadata.name === '' ? {} : { object: identity };
  const toComplaint = ({ fieldPath, ...finding }: Finding): Complaint => ({
    diagnostic: { ...finding, ...named, fieldPath: [...path, ...fieldPath] },
    place: [...path, ...fieldPath],
  });
  if (!answer.known) {
    const { severity, code, message } = answer;
    return {
      complaints: [toComplaint({ severity, code, message, fieldPath: [] })],
      ...(severity === 'error' && metadata.name !== '' ? { refusedKey: configKey(identity) } : {}),
      isUnnamed: false,
    };
  }
  const findings: Finding[] = [];
  const object = checkObject(
    answer.kind,
    value,
    written,
    { ...identity, labels: metadata.labels, annotations: metadata.annotations },
    findings,
  );
  const complaints = findings.slice(0, findingsMax).map(toComplaint);
  if (findings.some((finding) => finding.severity === 'error'))
    return {
      complaints,
      ...(metadata.name === '' ? {} : { refusedKey: configKey(identity) }),
      isUnnamed: metadata.name === '',
    };
  const { kind } = answer;
  const config: Config = {
    group: kind.group,
    version: apiVersion.slice(apiVersion.indexOf('/') + 1),
    ...identity,
    labels: metadata.labels,
    annotations: metadata.annotations,
    creationTimeMs: metadata.creationTimeMs,
    ...(metadata.deletionTimeMs === undefined ? {} : { deletionTimeMs: metadata.deletionTimeMs }),
    ...(metadata.controller === undefined ? {} : { controller: metadata.controller }),
    ...(metadata.generation === undefined ? {} : { generation: metadata.generation }),
    spec: kind.specIs === 'spec' ? (object['spec'] ?? {}) : object,
    ...(object['status'] === undefined ? {} : { status: object['status'] }),
    locate: (fieldPath) => document.locate([...path, ...fieldPath]),
  };
  return { config, complaints, isUnnamed: false };
}

/** Checks one object, and returns it without the fields that hold nothing. */
function checkObject(
  kind: Kind,
  whole: Readonly<Record<string, unknown>>,
  written: Readonly<Record<string, unknown>>,
  meta: ObjectMeta,
  findings: Finding[],
): Readonly<Record<string, unknown>> {
  const report = (finding: Finding): void => {
    if (findings.length < 1000) findings.push(kind.kind === 'Secret' ? withoutValue(finding) : finding);
  };
  checkMetadata(whole, kind.isNamespaced, report);
  checkStructure(kind.schema(), written, [], report);
  const object = withoutNulls(written);
  const hasErrors = (): boolean => findings.some((finding) => finding.severity === 'error');
  if (!hasErrors()) validateKind(kind, object, meta, report);
  return hasErrors() ? object : (kind.withDefaults?.(object) ?? object);
}

/** What stands in a Secret is told to nobody. */
function withoutValue(finding: Finding): Finding {
  const isEntry = finding.fieldPath[0] === 'data' || finding.fieldPath[0] === 'stringData';
  return isEntry ? { ...finding, message: finding.message.replace(/, not .*$/s, '') } : finding;
}

/** Which object a broken document is about: from what could be read of it, else from its lines. */
function guessKey(
  value: unknown,
  text: string,
  defaultNamespace: string,
): { readonly kind: string; readonly namespace: string; readonly name: string } | undefined {
  const known = isRecord(value) ? value : {};
  const metadata = readMetadata(known);
  const lines = linesOfIdentity(text);
  const written = typeof known['kind'] === 'string' ? known['kind'] : lines.kind;
  const version = typeof known['apiVersion'] === 'string' ? known['apiVersion'] : lines.apiVersion;
  const kind = written === undefined ? undefined : kindKey(version?.split('/')[0] ?? '', written);
  const name = metadata.name === '' ? lines.name : metadata.name;
  if (kind === undefined || name === undefined || kind.endsWith('List')) return undefined;
  const place = isRecord(known['metadata']) ? known['metadata']['namespace'] : undefined;
  const namespace = typeof place === 'string' ? place : (lines.namespace ?? defaultNamespace);
  return { kind, namespace: clusterKinds.has(kind) ? '' : namespace, name };
}

interface IdentityLines {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** `kind:` at the margin, and the `name:` and `namespace:` that stand least deep below `metadata:`. */
function linesOfIdentity(text: string): IdentityLines {
  const found: { apiVersion?: string; kind?: string; namespace?: string; name?: string } = {};
  let isMetadata = false;
  let depth: number | undefined;
  for (const line of text.slice(0, 16_384).split('\n')) {
    const field = /^( *)([A-Za-z]+): *(?:["']?([A-Za-z0-9./-]+)["']?)?/.exec(line);
    if (field === null) continue;
    const [, indent = '', name = '', value] = field;
    if (indent === '') {
      isMetadata = name === 'metadata';
      if (name === 'apiVersion' && value !== undefined) found.apiVersion ??= value;
      if (name === 'kind' && value !== undefined) found.kind ??= value;
    } else if (isMetadata) {
      depth ??= indent.length;
      if (indent.length !== depth || value === undefined) continue;
      if (name === 'name') found.name ??= value;
      if (name === 'namespace') found.namespace ??= value;
    }
  }
  return found;
}
