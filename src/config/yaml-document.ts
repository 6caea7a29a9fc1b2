// One YAML document: its text, its plain value, and where each field stands. Nothing in a text may
// take the process down, so what libraries do without bounds (aliases, nesting) is done here with them.
import type { Document, Node, Pair, Scalar, YAMLMap } from 'yaml';
import { Composer, Lexer, Parser, isAlias, isMap, isScalar, isSeq } from 'yaml';
import type { FieldPath } from '../model/origin.ts';
import type { Position } from './config.ts';
import { resolvePlainScalar } from './yaml-scalar.ts';

/** What one document may cost. */
export interface DocumentLimits {
  /** Levels of maps and lists. */
  readonly depthMax: number;
  /** Syntactic tokens of one document. */
  readonly tokensMax: number;
  /** Values that aliases stand for, each counted as often as it is meant. What is written out, the tokens bound. */
  readonly aliasedMax: number;
}

const defaultDocumentLimits: DocumentLimits = {
  depthMax: 100,
  // `kubectl get -A -o yaml` prints one document: this is 3,000 VirtualServices of 100 lines, and takes 0.8 GB.
  tokensMax: 2_000_000,
  aliasedMax: 200_000,
};

/** What is wrong with a text as YAML. */
export interface SyntaxProblem {
  readonly code: 'syntax' | 'limit' | 'duplicate-key' | 'alias';
  readonly message: string;
  /** In UTF-16 units from the start of the document's text. */
  readonly offset: number;
  readonly fieldPath: FieldPath;
}

export interface ParsedDocument {
  /** Strings, finite numbers, booleans, null, arrays and plain objects. */
  readonly value: unknown;
  readonly problems: readonly SyntaxProblem[];
}

/**
 * One document of a file and its place there. The file and line may be changed when text above it
 * comes or goes: everything that asks for positions later then gets the new ones.
 */
export class DocumentText {
  readonly text: string;
  readonly file: string;
  /** Of the first line of `text`, counted from 1. */
  firstLine: number;

  constructor(file: string, firstLine: number, text: string) {
    this.file = file;
    this.firstLine = firstLine;
    this.text = text;
  }

  positionAt(offset: number): Position {
    let line = this.firstLine;
    let lineStart = 0;
    for (let at = this.text.indexOf('\n'); at >= 0 && at < offset; at = this.text.indexOf('\n', at + 1)) {
      line++;
      lineStart = at + 1;
    }
    return { file: this.file, line, column: offset - lineStart + 1 };
  }

  /**
   * Where a field's name stands (for list items: the item); for a field that is absent, its nearest
   * parent that is there. Parses the text again: positions are asked for rarely, and keeping syntax
   * trees takes 19 kB an object where the text takes 0.6 kB.
   */
  locate(path: FieldPath): Position {
    const { contents, anchors, lineStarts } = syntaxOf(this);
    const offset = offsetOf(this.text, contents, anchors, path);
    const line = lastAtMost(lineStarts, offset);
    return { file: this.file, line: this.firstLine + line, column: offset - (lineStarts[line] ?? 0) + 1 };
  }
}

/** Reads one document. Never throws. */
export function parseDocument(text: string, limits: DocumentLimits = defaultDocumentLimits): ParsedDocument {
  const parsed = composeBounded(text, limits);
  if ('problem' in parsed) return { value: undefined, problems: [parsed.problem] };
  const { document } = parsed;
  const problems: SyntaxProblem[] = [];
  const value = new ValueReader(limits, problems).read(document.contents, []);
  const [error] = document.errors;
  if (error === undefined) return { value, problems };
  // What follows the first syntax error is mostly its echo.
  const message = syntaxMessage(error.code, error.message, text);
  return { value, problems: [{ code: 'syntax', message, offset: error.pos[0], fieldPath: [] }] };
}

type Composed = { readonly document: Document.Parsed } | { readonly problem: SyntaxProblem };

function composeBounded(text: string, limits: DocumentLimits): Composed {
  const limit = (offset: number, message: string): Composed => ({
    problem: { code: 'limit', message, offset, fieldPath: [] },
  });
  const parser = new Parser();
  const composer = new Composer({
    schema: 'failsafe',
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
    keepSourceTokens: false,
  });
  let document: Document.Parsed | undefined;
  let tokens = 0;
  // Each level of nesting is one entry of the parser's stack, under which the document is the first.
  const stackMax = limits.depthMax + 2;
  for (const lexeme of new Lexer().lex(text)) {
    if (++tokens > limits.tokensMax)
      return limit(
        parser.offset,
        `the document is too long: more than ${limits.tokensMax} tokens; split it into several objects`,
      );
    for (const token of parser.next(lexeme)) for (const done of composer.next(token)) document ??= done;
    if (parser.stack.length > stackMax)
      return limit(parser.offset, `nested too deeply: more than ${limits.depthMax} levels`);
  }
  for (const token of parser.end()) for (const done of composer.next(token)) document ??= done;
  for (const done of composer.end(true, text.length)) document ??= done;
  if (document === undefined) return limit(0, 'the document cannot be read');
  return { document };
}

function syntaxMessage(code: string, message: string, text: string): string {
  if (code === 'TAB_AS_INDENT') return 'not YAML: a tab cannot indent; use spaces';
  if (/\{\{[^}\n]*\}\}/.test(text)) return 'not YAML: {{ }} is a template; render it first';
  return `not YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

/** Turns a syntax tree into plain values, with bounds on what aliases expand to. */
class ValueReader {
  readonly #limits: DocumentLimits;
  readonly #problems: SyntaxProblem[];
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Node, Node | undefined>();
  readonly #open = new Set<Node>();
  #aliased = 0;
  #aliasDepth = 0;
  #full = false;

  constructor(limits: DocumentLimits, problems: SyntaxProblem[]) {
    this.#limits = limits;
    this.#problems = problems;
  }

  read(node: Node | null | undefined, path: FieldPath): unknown {
    if (node === null || node === undefined || this.#full) return null;
    if (this.#aliasDepth > 0) this.#aliased++;
    if (this.#aliased > this.#limits.aliasedMax || path.length > this.#limits.depthMax) {
      this.#full = true;
      this.#report('limit', node, path, this.#fullMessage());
      return null;
    }
    if (isAlias(node)) return this.#readAlias(node, path);
    if ('anchor' in node && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return this.#readScalar(node, path);
    this.#open.add(node);
    let value: unknown = null;
    if (isMap(node)) value = this.#readMap(node, path);
    else if (isSeq(node)) value = this.#readList(node.items as readonly (Node | null)[], path);
    this.#open.delete(node);
    return value;
  }

  #fullMessage(): string {
    return this.#aliased > this.#limits.aliasedMax
      ? `too many values: aliases stand for more than ${this.#limits.aliasedMax}`
      : `nested too deeply: more than ${this.#limits.depthMax} levels`;
  }

  #readAlias(node: Node & { readonly source: string }, path: FieldPath): unknown {
    if (!this.#targets.has(node)) this.#targets.set(node, this.#anchors.get(node.source));
    const target = this.#targets.get(node);
    if (target === undefined) {
      this.#report('alias', node, path, `*${node.source} has no anchor &${node.source} before it`);
      return null;
    }
    if (this.#open.has(target)) {
      this.#report('alias', node, path, `*${node.source} stands inside its own anchor: the value has no end`);
      return null;
    }
    this.#aliasDepth++;
    const value = this.read(target, path);
    this.#aliasDepth--;
    return value;
  }

  #readScalar(node: Scalar, path: FieldPath): unknown {
    const text = scalarText(node);
    const isPlain = node.type === 'PLAIN' || node.type === undefined;
    switch (node.tag) {
      case undefined:
        break;
      case 'tag:yaml.org,2002:str':
      case 'tag:yaml.org,2002:binary':
      case '!':
        return text;
      case 'tag:yaml.org,2002:int':
      case 'tag:yaml.org,2002:float':
      case 'tag:yaml.org,2002:bool':
      case 'tag:yaml.org,2002:null':
        return this.#resolve(node, text, path);
      default:
        this.#report('syntax', node, path, `the tag ${node.tag} has no meaning here`);
        return null;
    }
    return isPlain ? this.#resolve(node, text, path) : text;
  }

  #resolve(node: Node, text: string, path: FieldPath): unknown {
    const value = resolvePlainScalar(text);
    if (typeof value !== 'number' || Number.isFinite(value)) return value;
    this.#report('syntax', node, path, `${text} is not a number that JSON can hold`);
    return null;
  }

  #readList(items: readonly (Node | null)[], path: FieldPath): unknown[] {
    return items.map((item, index) => this.read(item, [...path, index]));
  }

  #readMap(node: YAMLMap, path: FieldPath): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    const merged = new Map<string, unknown>();
    for (const pair of node.items) {
      if (this.#full) break;
      if (isMergeKey(pair)) {
        this.#merge(pair.value as Node | null, path, merged);
        continue;
      }
      const key = keyText(pair);
      if (key === undefined) {
        this.#report('syntax', (pair.key as Node | null) ?? node, path, 'a key must be a string');
        continue;
      }
      const at = [...path, key];
      if (entries.has(key)) this.#report('duplicate-key', pair.key as Node, at, `the key stands here twice`);
      entries.set(key, this.read(pair.value as Node | null, at));
    }
    const value: Record<string, unknown> = {};
    for (const [key, mergedValue] of merged) if (!entries.has(key)) assign(value, key, mergedValue);
    for (const [key, own] of entries) assign(value, key, own);
    return value;
  }

  /** `<<: *base` or `<<: [*first, *second]`: fields written out win, then the earlier map. */
  #merge(node: Node | null, path: FieldPath, into: Map<string, unknown>): void {
    const value = this.read(node, path);
    for (const map of Array.isArray(value) ? value : [value]) {
      if (typeof map !== 'object' || map === null || Array.isArray(map)) {
        if (node !== null) this.#report('alias', node, path, '<< must stand for a map or a list of maps');
        return;
      }
      for (const [key, item] of Object.entries(map)) if (!into.has(key)) into.set(key, item);
    }
  }

  #report(code: SyntaxProblem['code'], node: Node, fieldPath: FieldPath, message: string): void {
    if (this.#problems.length < 10)
      this.#problems.push({ code, message, offset: node.range?.[0] ?? 0, fieldPath });
  }
}

function isMergeKey(pair: Pair): boolean {
  return isScalar(pair.key) && pair.key.value === '<<' && pair.key.type === 'PLAIN';
}

function keyText(pair: Pair): string | undefined {
  if (!isScalar(pair.key) || pair.key.value === null) return undefined;
  return scalarText(pair.key);
}

/** The failsafe schema makes a string of every scalar. */
function scalarText(node: Scalar): string {
  return typeof node.value === 'string' ? node.value : '';
}

/** Sets an own property, whatever its name is (`__proto__` too). */
function assign(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
  else target[key] = value;
}

function offsetOf(
  text: string,
  contents: Node | null,
  anchors: ReadonlyMap<string, Node>,
  path: FieldPath,
): number {
  let node: Node | null | undefined = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const [index, part] of path.entries()) {
    if (isScalar(node) && node.type === 'BLOCK_LITERAL')
      return offsetInBlock(text, node, path.slice(index)) ?? offset;
    const place = childOf(node, part, anchors, 0);
    if (place === undefined) break;
    offset = place.offset;
    node = place.value;
  }
  return offset;
}

/** A field of YAML that stands in a block (`mesh: |`) of YAML; undefined where that cannot be told. */
function offsetInBlock(text: string, block: Scalar, path: FieldPath): number | undefined {
  const start = text.indexOf('\n', block.range?.[0]) + 1;
  const indent = /^(?:[ \t]*\r?\n)*( *)/.exec(text.slice(start))?.[1]?.length ?? 0;
  const inner = new DocumentText('', 1, scalarText(block));
  const { line, column } = inner.locate(path);
  let lineStart = start;
  for (let skipped = 1; skipped < line; skipped++) {
    lineStart = text.indexOf('\n', lineStart) + 1;
    if (lineStart === 0) return undefined;
  }
  return start === 0 ? undefined : lineStart + indent + column - 1;
}

interface Place {
  readonly offset: number;
  readonly value: Node | null | undefined;
}

function childOf(
  parent: Node | null | undefined,
  part: string | number,
  anchors: ReadonlyMap<string, Node>,
  hops: number,
): Place | undefined {
  if (isAlias(parent) && hops < 10) return childOf(anchors.get(parent.source), part, anchors, hops + 1);
  if (isSeq(parent) && typeof part === 'number') {
    const item = parent.items[part] as Node | null | undefined;
    return item?.range === undefined || item.range === null
      ? undefined
      : { offset: item.range[0], value: item };
  }
  if (!isMap(parent)) return undefined;
  for (const pair of parent.items) {
    if (keyText(pair) !== String(part)) continue;
    const offset = (pair.key as Node).range?.[0];
    if (offset !== undefined) return { offset, value: pair.value as Node | null };
  }
  for (const pair of parent.items) {
    if (!isMergeKey(pair) || hops >= 10) continue;
    const sources = isSeq(pair.value) ? pair.value.items : [pair.value];
    for (const source of sources) {
      const place = childOf(source as Node, part, anchors, hops + 1);
      if (place !== undefined) return place;
    }
  }
  return undefined;
}

/** The last anchor of a name wins: near enough for positions. */
function collectAnchors(root: Node, anchors: Map<string, Node>, nodesMax: number): void {
  const open: (Node | null)[] = [root];
  for (let count = 0; count < nodesMax; count++) {
    const node = open.pop();
    if (node === undefined) return;
    if (node === null || isAlias(node)) continue;
    if ('anchor' in node && node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isMap(node)) for (const pair of node.items) open.push(pair.value as Node | null);
    else if (isSeq(node)) for (const item of node.items) open.push(item as Node | null);
  }
}

/** A syntax tree with what finding places in it takes; a list of objects is asked thousands of times. */
interface Syntax {
  readonly contents: Node | null;
  readonly anchors: ReadonlyMap<string, Node>;
  /** Offset of the start of each line. */
  readonly lineStarts: readonly number[];
}

/** The syntax trees that were asked for last: a document's problems come together. */
const recentSyntax: (Syntax & { readonly document: DocumentText })[] = [];
const recentSyntaxMax = 4;

function syntaxOf(document: DocumentText): Syntax {
  const known = recentSyntax.find((entry) => entry.document === document);
  if (known !== undefined) return known;
  const composed = composeBounded(document.text, defaultDocumentLimits);
  const contents = 'document' in composed ? composed.document.contents : null;
  const anchors = new Map<string, Node>();
  if (contents !== null) collectAnchors(contents, anchors, defaultDocumentLimits.tokensMax);
  const entry = { document, contents, anchors, lineStarts: lineStartsOf(document.text) };
  recentSyntax.unshift(entry);
  if (recentSyntax.length > recentSyntaxMax) recentSyntax.pop();
  return entry;
}

function lineStartsOf(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** Index of the last of the ascending numbers that is not above the bound. */
function lastAtMost(numbers: readonly number[], bound: number): number {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((numbers[middle] ?? 0) <= bound) low = middle;
    else high = middle - 1;
  }
  return low;
}
