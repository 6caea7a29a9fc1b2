// Writes a set of files so that an Envoy that reads them never sees half of one, nor a reference to one that is not
// there: each beside its place and then moved, parts before what names them.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import type { FileSet } from './file-set.ts';
import { clustersFile, fileNamePattern, listenersFile, responseText } from './file-set.ts';

export class FileWriter {
  readonly #directory: string;
  #clusters: readonly JsonObject[] = [];

  /** The folder is made if it is not there. */
  constructor(directory: string) {
    this.#directory = directory;
    for (const folder of ['eds', 'rds']) mkdirSync(join(directory, folder), { recursive: true });
  }

  /**
   * Everything that is new. Clusters that are gone are kept beside: routes that Envoy has not replaced yet may still
   * name them. Returns whether something was changed, and whether `finish` has something to do.
   */
  make(files: FileSet): { readonly changed: boolean; readonly leftovers: boolean } {
    const named = new Set(files.clusters.map((cluster) => cluster['name']));
    const gone = this.#clusters.filter((cluster) => !named.has(cluster['name']));
    let changed = false;
    const place = (path: string, text: string): void => {
      if (this.#place(path, text)) changed = true;
    };
    for (const [path, text] of files.parts) if (path.startsWith('eds/')) place(path, text);
    place(clustersFile, responseText([...files.clusters, ...gone]));
    for (const [path, text] of files.parts) if (path.startsWith('rds/')) place(path, text);
    place(listenersFile, responseText(files.listeners));
    this.#clusters = [...files.clusters, ...gone];
    return { changed, leftovers: gone.length > 0 || this.#unnamed(files).length > 0 };
  }

  /** What is not needed any more goes, some time after `make`. */
  finish(files: FileSet): void {
    this.#place(clustersFile, responseText(files.clusters));
    this.#clusters = files.clusters;
    for (const path of this.#unnamed(files)) rmSync(join(this.#directory, path), { force: true });
  }

  /** An Envoy that starts before the first answer finds a file that says nothing. */
  ensure(path: string): void {
    if (!existsSync(join(this.#directory, path))) this.#place(path, responseText([]));
  }

  /** A file beside the configuration. */
  write(path: string, text: string): void {
    this.#place(path, text);
  }

  #unnamed(files: FileSet): string[] {
    return ['eds', 'rds'].flatMap((folder) =>
      readdirSync(join(this.#directory, folder))
        .filter((name) => fileNamePattern.test(name))
        .map((name) => `${folder}/${name}`)
        .filter((path) => !files.parts.has(path)),
    );
  }

  /** Returns false where the file says this already: then Envoy need not read it again. */
  #place(path: string, text: string): boolean {
    const to = join(this.#directory, path);
    try {
      if (readFileSync(to, 'utf8') === text) return false;
    } catch {
      // It is not there yet.
    }
    const beside = join(dirname(to), `.${process.pid}.tmp`);
    writeFileSync(beside, text);
    renameSync(beside, to);
    return true;
  }
}
