// Where objects stand in the directories that a control plane watches, and what a file is when one of them changes.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { UserError } from '../../base/user-error.ts';
import type { Config } from '../../config/config.ts';
import { configKey, kindName } from '../../config/config.ts';
import { isFile, readBounded } from '../../config/read-files.ts';
import { itemsOf, readText } from '../../config/reader.ts';
import { isConfigFileName } from '../../config/watch-tree.ts';
import { parseDocument } from '../../config/yaml-document.ts';
import type { DocumentChunk } from '../../config/yaml-split.ts';
import { contentOffset, splitDocuments } from '../../config/yaml-split.ts';

/** A document that holds an object, whole or as one of several. */
export interface Place {
  readonly file: string;
  readonly chunk: DocumentChunk;
  /** Absent where what stands there is not valid. */
  readonly config: Config | undefined;
  /** One of several in a List or array. */
  readonly isItem: boolean;
}

/** Which object is meant. */
export type ObjectKey = Pick<Config, 'kind' | 'namespace' | 'name'>;

/** Files of directories (or single files), read once and edited in memory. */
export class ConfigTree {
  readonly #roots: readonly string[];
  /** What the file will be; undefined: gone. */
  readonly #edited = new Map<string, string | undefined>();
  readonly #read = new Map<string, string>();
  #files: readonly string[] | undefined;

  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** Files with what they are to hold; undefined: they go. Only those that change. */
  get edits(): ReadonlyMap<string, string | undefined> {
    return new Map([...this.#edited].filter(([file, text]) => text !== this.#read.get(file)));
  }

  /** Every place of an object, the one that is in force first (by file, then line). */
  placesOf(key: ObjectKey): readonly Place[] {
    const wanted = configKey(key);
    return this.#allFiles().flatMap((file) => {
      const text = this.#textOf(file);
      if (text === undefined || !text.includes(key.name)) return [];
      return splitDocuments(text, Number.POSITIVE_INFINITY).flatMap((chunk): Place[] => {
        if (!chunk.text.includes(key.name)) return [];
        const { configs, refusedKeys } = readText(file, chunk.text);
        const config = configs.find((each) => configKey(each) === wanted);
        if (config === undefined && !refusedKeys.includes(wanted)) return [];
        const items = itemsOf(parseDocument(chunk.text).value);
        return [{ file, chunk, config, isItem: items.some(({ path }) => path.length > 0) }];
      });
    });
  }

  /** Puts the object's text in the place of what stands there. */
  replace(place: Place, text: string): void {
    const { file, chunk } = place;
    refuseItem(place, 'replaced');
    const whole = this.#textOf(file) ?? '';
    const before = chunk.text.slice(0, contentOffset(chunk.text));
    const body = bodyFor(file, text);
    const content = body.slice(before === '' || /^---\s*$/.test(before.trim()) ? 0 : contentOffset(body));
    const lead = before.startsWith('---') && !before.includes('\n') ? '---\n' : before;
    this.#put(place, whole, `${lead}${content}${trailingComments(chunk.text)}`);
  }

  /** Takes the object out; a file in which nothing else stands goes. */
  remove(place: Place): void {
    refuseItem(place, 'taken out');
    const whole = this.#textOf(place.file) ?? '';
    const rest =
      whole.slice(0, place.chunk.offset) + whole.slice(place.chunk.offset + place.chunk.text.length);
    const isEmpty = splitDocuments(rest, 1).length === 0;
    this.#edited.set(place.file, isEmpty ? undefined : rest);
  }

  /** A new object: in a file of its own, or at the end of the one file that is watched. Returns the file. */
  add(object: ObjectKey, text: string): string {
    const root =
      this.#roots.find((each) => existsSync(each) && statSync(each).isDirectory()) ?? this.#roots[0];
    if (root === undefined) throw new UserError('there is no directory to write to');
    if (!existsSync(root))
      throw new UserError(`there is no directory ${root}; the control plane reads its configuration there`);
    if (!statSync(root).isDirectory()) {
      if (extname(root) === '.json')
        throw new UserError(`${root} is JSON and holds one object; give a directory`);
      const whole = this.#textOf(root) ?? '';
      const gap = whole === '' || whole.endsWith('\n') ? '' : '\n';
      this.#edited.set(root, `${whole}${gap}${splitDocuments(whole, 1).length === 0 ? '' : '---\n'}${text}`);
      return root;
    }
    const file = this.#freeName(root, object);
    this.#edited.set(file, text);
    this.#files = [...this.#allFiles(), file].sort();
    return file;
  }

  #put({ file, chunk }: Place, whole: string, text: string): void {
    const lines = whole.includes('\r\n') ? text.replaceAll(/\r?\n/g, '\r\n') : text;
    const end = chunk.offset + chunk.text.length;
    this.#edited.set(file, whole.slice(0, chunk.offset) + lines + whole.slice(end));
  }

  /** `virtualservice-reviews.yaml`, with the namespace before it where that is not `default`. */
  #freeName(root: string, { kind, namespace, name }: ObjectKey): string {
    const place = namespace === '' || namespace === 'default' ? '' : `${namespace}-`;
    const whole = `${kindName(kind).toLowerCase()}-${place}${name}`.replaceAll(/[^\w.-]/g, '-');
    const base = whole.slice(0, fileNameLengthMax);
    for (let count = 1; ; count++) {
      const file = join(root, `${base}${count === 1 ? '' : `-${count}`}.yaml`);
      if (!existsSync(file) && !this.#edited.has(file)) return file;
    }
  }

  #allFiles(): readonly string[] {
    this.#files ??= this.#roots.flatMap(filesBelow).sort();
    return this.#files;
  }

  #textOf(file: string): string | undefined {
    if (this.#edited.has(file)) return this.#edited.get(file);
    let text = this.#read.get(file);
    if (text === undefined) {
      try {
        text = readBounded(file).toString('utf8');
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT') return undefined;
        throw new UserError(`cannot read ${file}: ${code ?? String(error)}`);
      }
      this.#read.set(file, text);
    }
    return text;
  }
}

/** File systems take 255 bytes; of what is written beside it first, the name is longer by a few dozen. */
const fileNameLengthMax = 180;

/** The files that the control plane reads there. */
function filesBelow(root: string): readonly string[] {
  if (!existsSync(root)) return [];
  if (!statSync(root).isDirectory()) return [root];
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && isConfigFileName(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (file) =>
        !file
          .slice(root.length)
          .split('/')
          .some((part) => part.startsWith('.')) && isFile(file),
    );
}

function refuseItem({ file, chunk, isItem }: Place, what: string): void {
  if (!isItem) return;
  throw new UserError(
    `nothing was written: the object stands in a list at ${file}:${chunk.firstLine}, where it is not ${what}; edit that file, or write the list as documents`,
  );
}

/** A file that is called JSON stays JSON. */
function bodyFor(file: string, text: string): string {
  if (extname(file).toLowerCase() !== '.json') return text;
  return `${JSON.stringify(parseDocument(text).value, null, 2)}\n`;
}

/** Comments at the margin after the last line of a document: they may well be about what follows. */
function trailingComments(chunk: string): string {
  const lines = chunk.split('\n');
  let end = lines.length;
  while (end > 0 && /^(?:#.*|\s*)$/.test(lines[end - 1] ?? '')) end--;
  return lines.slice(end).join('\n');
}
