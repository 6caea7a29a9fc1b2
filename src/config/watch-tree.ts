// Watches a directory tree, or one file, and says which files may have changed.
import type { FSWatcher, Stats } from 'node:fs';
import { readdirSync, realpathSync, statSync, watch } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';

export interface TreeWatcherOptions {
  /** A directory, or one file. It need not exist yet. */
  readonly root: string;
  readonly clock: Clock;
  /** Files (never directories) that came, changed or went; each batch has every path once. */
  readonly onTouched: (paths: ReadonlySet<string>) => void;
  /** Told, once each, of what is not as it should be: a directory that cannot be watched, too many files. */
  readonly onProblem?: (problem: string) => void;
  /** How often everything is looked at even if no event came: for symlinks that point elsewhere, and lost events. */
  readonly rescanMs?: number;
}

interface WatchedDirectory {
  readonly inode: number;
  watcher: FSWatcher | undefined;
}

/** Files in one tree; more are left out, so that a mistaken path (`/`) does not take the machine. */
const filesMax = 50_000;
const depthMax = 32;
/** Directories, counted each time that a symlink leads to one: links among a few give millions of ways. */
const directoriesMax = 10_000;
const extensions = new Set(['.yaml', '.yml', '.json']);

/** Whether a name is that of configuration: `*.yaml`, `*.yml`, `*.json`, not hidden, no editor's copy. */
export function isConfigFileName(name: string): boolean {
  return !isIgnoredName(name) && extensions.has(extname(name).toLowerCase());
}

/** Hidden files, and what editors leave while they save: `.x.swp`, `x~`, `#x#`, `.#x`, `4913`, `x.tmp`. */
function isIgnoredName(name: string): boolean {
  return (
    name.startsWith('.') ||
    name.endsWith('~') ||
    name.startsWith('#') ||
    /^\d+$/.test(name) ||
    /\.(?:swp|swx|swo|tmp|temp|bak|part|crdownload)$/i.test(name)
  );
}

/**
 * One inotify watch a directory (Node's own recursive watch misses directories that are moved in),
 * and a rescan now and then. Events of one turn of the event loop are told together.
 */
export class TreeWatcher {
  readonly #options: TreeWatcherOptions;
  readonly #directories = new Map<string, WatchedDirectory>();
  readonly #stamps = new Map<string, string>();
  #touched = new Set<string>();
  #flush: NodeJS.Immediate | undefined;
  #rescan: Timer | undefined;
  readonly #problems = new Set<string>();
  #isScanDue = false;
  #closed = false;

  constructor(options: TreeWatcherOptions) {
    this.#options = options;
  }

  /** Starts watching and returns the files that are there now, sorted. */
  start(): readonly string[] {
    this.#scan();
    const files = [...this.#stamps.keys()].sort();
    this.#touched.clear();
    this.#scheduleRescan(this.#options.rescanMs ?? 2000);
    return files;
  }

  close(): void {
    this.#closed = true;
    this.#rescan?.cancel();
    if (this.#flush !== undefined) clearImmediate(this.#flush);
    for (const { watcher } of this.#directories.values()) watcher?.close();
    this.#directories.clear();
  }

  /** Whether the root itself is there. */
  rootExists(): boolean {
    return statOf(this.#options.root) !== undefined;
  }

  /** Looks at everything now, without waiting for an event. */
  rescan(): void {
    this.#scan();
    this.#schedule();
  }

  #scheduleRescan(delayMs: number): void {
    this.#rescan = this.#options.clock.every(delayMs, () => {
      const started = this.#options.clock.monotonicMs();
      this.rescan();
      // A tree that takes long to look at is looked at less often: 1 % of the time at most.
      const wantedMs = Math.max(
        this.#options.rescanMs ?? 2000,
        (this.#options.clock.monotonicMs() - started) * 100,
      );
      if (wantedMs <= delayMs * 2) return;
      this.#rescan?.cancel();
      this.#scheduleRescan(wantedMs);
    });
  }

  #scan(): void {
    const { root } = this.#options;
    const seen = new Map<string, string>();
    const directories = new Set<string>();
    const stats = statOf(root);
    if (stats?.isDirectory() === true) this.#scanDirectory(root, stats, seen, directories, new Set(), 0);
    else {
      // One file: its directory tells of replacements by rename.
      const parent = dirname(root);
      const parentStats = statOf(parent);
      if (parentStats !== undefined) {
        directories.add(parent);
        this.#watch(parent, parentStats);
      }
      if (stats !== undefined) seen.set(root, stampOf(stats));
    }
    for (const [path, { watcher }] of this.#directories) {
      if (directories.has(path)) continue;
      watcher?.close();
      this.#directories.delete(path);
    }
    for (const path of this.#stamps.keys())
      if (!seen.has(path)) {
        this.#touched.add(path);
        this.#stamps.delete(path);
      }
    for (const [path, stamp] of seen) {
      if (this.#stamps.get(path) === stamp) continue;
      this.#stamps.set(path, stamp);
      this.#touched.add(path);
    }
  }

  #scanDirectory(
    path: string,
    stats: Stats,
    files: Map<string, string>,
    directories: Set<string>,
    ancestors: ReadonlySet<string>,
    depth: number,
  ): void {
    const real = realPathOf(path);
    // A symlink to a directory above it would never end.
    if (real === undefined || ancestors.has(real) || depth > depthMax) return;
    if (directories.size >= directoriesMax) {
      this.#complain(
        `more than ${directoriesMax} directories below ${this.#options.root}; the others are not read`,
      );
      return;
    }
    // The watch comes first: what changes while the directory is listed makes an event.
    directories.add(path);
    this.#watch(path, stats);
    for (const name of namesIn(path)) {
      if (isIgnoredName(name)) continue;
      if (files.size >= filesMax) {
        this.#complain(`more than ${filesMax} files below ${this.#options.root}; the others are not read`);
        return;
      }
      const child = join(path, name);
      const childStats = statOf(child);
      if (childStats === undefined) continue;
      if (childStats.isDirectory())
        this.#scanDirectory(child, childStats, files, directories, new Set([...ancestors, real]), depth + 1);
      else if (childStats.isFile() && isConfigFileName(name)) files.set(child, stampOf(childStats));
    }
  }

  #watch(path: string, stats: Stats): void {
    const known = this.#directories.get(path);
    if (known?.inode === stats.ino && known.watcher !== undefined) return;
    known?.watcher?.close();
    const entry: WatchedDirectory = { inode: stats.ino, watcher: undefined };
    this.#directories.set(path, entry);
    try {
      entry.watcher = watch(path, { persistent: false }, (event, name) => this.#onEvent(path, event, name));
      entry.watcher.on('error', () => {
        entry.watcher?.close();
        entry.watcher = undefined;
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#complain(`cannot watch ${path} (${reason}); changes in it are noticed by looking now and then`);
    }
  }

  #complain(problem: string): void {
    if (this.#problems.has(problem) || this.#problems.size >= 10) return;
    this.#problems.add(problem);
    this.#options.onProblem?.(problem);
  }

  #onEvent(directory: string, event: string, name: string | null): void {
    if (this.#closed) return;
    const { root } = this.#options;
    const isFileRoot = directory === dirname(root) && !this.#directories.has(root);
    if (isFileRoot) {
      if (name === null || name === basename(root) || name === '..data') {
        this.#touched.add(root);
        this.#isScanDue = true;
      }
    } else if (name !== null && isConfigFileName(name)) {
      const path = join(directory, name);
      this.#touched.add(path);
      // A rescan is to see only what events did not tell; a directory of that name needs one.
      const stats = statOf(path);
      if (stats === undefined) this.#stamps.delete(path);
      else if (stats.isDirectory()) this.#isScanDue = true;
      else this.#stamps.set(path, stampOf(stats));
    } else if (name === null || name === '..data' || name === basename(directory)) this.#isScanDue = true;
    else if (event === 'rename' && !isIgnoredName(name)) {
      // Of other names, only directories that come or go count.
      const path = join(directory, name);
      if (this.#directories.has(path) || statOf(path)?.isDirectory() === true) this.#isScanDue = true;
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#closed || (this.#touched.size === 0 && !this.#isScanDue)) return;
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined;
      if (this.#isScanDue) this.#scan();
      this.#isScanDue = false;
      const touched = this.#touched;
      this.#touched = new Set();
      if (touched.size > 0 && !this.#closed) this.#options.onTouched(touched);
    });
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A symlink loop, or a directory that may not be entered: as if it were not there.
    return undefined;
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

function realPathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function stampOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
}
