// A few files that are read again when they change: certificates and keys, as they are mounted and replaced.
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import type { Clock, Timer } from './clock.ts';

/** What stands in each file, by path; an Error where it cannot be read. */
export type FileContents = ReadonlyMap<string, Buffer | Error>;

export interface WatchedFilesOptions {
  readonly paths: readonly string[];
  readonly clock: Clock;
  /** Called with all of them when one has changed. */
  readonly onChange: (contents: FileContents) => void;
  /** Default 1 s. */
  readonly periodMs?: number;
}

/** Larger ones are not read: no bundle of certificates is. */
const fileBytesMax = 1024 * 1024;

/**
 * Looks at the files once in a while instead of waiting for events: those get lost where a mounted Secret is
 * replaced by the swap of a symlink, or where a file does not exist yet. A look is one `stat` a file.
 */
export class WatchedFiles {
  readonly #options: WatchedFilesOptions;
  readonly #timer: Timer;
  #stamps: readonly string[];
  #contents: FileContents;

  constructor(options: WatchedFilesOptions) {
    this.#options = options;
    this.#stamps = options.paths.map(stampOf);
    this.#contents = readAll(options.paths);
    this.#timer = options.clock.every(options.periodMs ?? 1000, () => this.#look());
  }

  get contents(): FileContents {
    return this.#contents;
  }

  close(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const { paths, onChange } = this.#options;
    const stamps = paths.map(stampOf);
    if (stamps.every((stamp, index) => stamp === this.#stamps[index])) return;
    this.#stamps = stamps;
    const before = this.#contents;
    this.#contents = readAll(paths);
    if (paths.some((path) => !sameContent(before.get(path), this.#contents.get(path))))
      onChange(this.#contents);
  }
}

function readAll(paths: readonly string[]): FileContents {
  return new Map(paths.map((path) => [path, read(path)]));
}

/** Follows symlinks: a swap makes it another file. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.dev}/${stat.ino}/${stat.size}/${stat.mtimeNs}/${stat.ctimeNs}`;
}

function read(path: string): Buffer | Error {
  try {
    const file = openSync(path, 'r');
    try {
      const stat = fstatSync(file);
      if (!stat.isFile()) throw new Error(`${path} is no file`);
      if (stat.size > fileBytesMax)
        throw new Error(`${path} has ${stat.size} bytes: accepted are ${fileBytesMax}`);
      return readFileSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function sameContent(a: Buffer | Error | undefined, b: Buffer | Error | undefined): boolean {
  if (a instanceof Error && b instanceof Error) return a.message === b.message;
  return a instanceof Uint8Array && b instanceof Uint8Array && a.equals(b);
}
