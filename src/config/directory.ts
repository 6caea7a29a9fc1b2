// Configuration from a directory (or one file): read, watched, and put into a store. What breaks is
// reported, and the last good version of it stays in force.
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { Clock, Timer } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Config, Diagnostic } from './config.ts';
import { configKey, formatDiagnostic } from './config.ts';
import { readDescriptor } from './read-files.ts';
import type { ReadResult } from './reader.ts';
import { TextReader } from './reader.ts';
import type { ConfigStore, SourceBatch } from './store.ts';
import { TreeWatcher } from './watch-tree.ts';

export interface DirectorySourceOptions {
  /** A directory (recursive: `*.yaml`, `*.yml`, `*.json`) or one file. */
  readonly path: string;
  readonly store: ConfigStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * How long a file that looks half-written may take to become whole: one that is gone, that is empty, that lost
   * objects, that is not YAML, or that does not end with a newline. All other changes apply at once.
   */
  readonly settleMs?: number;
  /** See TreeWatcherOptions. */
  readonly rescanMs?: number;
}

interface FileState {
  readonly path: string;
  readonly source: string;
  readonly reader: TextReader;
  /** What this file holds in the store. */
  claims: ReadonlyMap<string, Config>;
  /** Objects in it that were refused when it was read last. */
  refusedKeys: readonly string[];
  /** Of the bytes that were applied last. */
  digest: string;
  /** Set while it looks half-written. */
  suspicion: Suspicion | undefined;
}

interface Suspicion {
  /** Monotonic. */
  readonly sinceMs: number;
  /** When it was last seen to change. */
  readonly changedMs: number;
  readonly digest: string;
}

/** What a look at a file found. */
type Look =
  | { readonly what: 'unchanged' }
  | { readonly what: 'gone' }
  | { readonly what: 'unreadable'; readonly diagnostic: Diagnostic }
  | {
      readonly what: 'read';
      readonly result: ReadResult;
      readonly digest: string;
      readonly isOpenEnded: boolean;
    };

interface Outcome {
  readonly file: FileState;
  readonly look: Exclude<Look, { what: 'unchanged' }>;
}

/** A file that keeps changing and never looks whole is taken as it is after this time. */
const suspicionMsMax = 1000;

/** A directory whose objects are in a store for as long as it is open. */
export class DirectorySource {
  readonly #options: DirectorySourceOptions;
  readonly #watcher: TreeWatcher;
  readonly #files = new Map<string, FileState>();
  readonly #suspects = new Set<string>();
  readonly #settleMs: number;
  #settleTimer: Timer | undefined;
  #reported: ReadonlySet<string> = new Set();
  #isRootGone = false;

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    this.#settleMs = options.settleMs ?? 50;
    this.#watcher = new TreeWatcher({
      root: options.path,
      clock: options.clock,
      onTouched: (paths) => this.#look(paths, false),
      onProblem: (problem) => options.logger.warn(problem),
      ...(options.rescanMs === undefined ? {} : { rescanMs: options.rescanMs }),
    });
  }

  /** Reads everything that is there into the store, as one batch, and watches from then on. */
  start(): void {
    const files = this.#watcher.start();
    if (!this.#watcher.rootExists()) this.#reportRoot(true);
    this.#look(new Set(files), true);
  }

  /** Stops watching; the objects stay in the store. */
  close(): void {
    this.#settleTimer?.cancel();
    this.#watcher.close();
  }

  /** Looks at files; `isFinal`: what still looks half-written is taken as it is. */
  #look(paths: ReadonlySet<string>, isFinal: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    const outcomes: Outcome[] = [];
    for (const path of [...paths].sort()) {
      const file = this.#files.get(path) ?? newFile(path);
      const look = lookAt(file);
      if (look.what === 'unchanged') {
        this.#acquit(file);
        continue;
      }
      if (!isFinal && isSuspect(file, look) && this.#mayWait(file, look, nowMs)) continue;
      this.#acquit(file);
      outcomes.push({ file, look });
    }
    this.#apply(outcomes);
  }

  /** Notes the suspicion; false once the file has had its time. */
  #mayWait(file: FileState, look: Outcome['look'], nowMs: number): boolean {
    const digest = look.what === 'read' ? look.digest : look.what;
    const known = file.suspicion;
    const changedMs = known?.digest === digest ? known.changedMs : nowMs;
    const sinceMs = known?.sinceMs ?? nowMs;
    if (nowMs - changedMs >= this.#settleMs || nowMs - sinceMs >= suspicionMsMax) return false;
    file.suspicion = { sinceMs, changedMs, digest };
    this.#files.set(file.path, file);
    this.#suspects.add(file.path);
    this.#settleTimer ??= this.#options.clock.after(this.#settleMs + 1, () => {
      this.#settleTimer = undefined;
      this.#look(new Set(this.#suspects), false);
    });
    return true;
  }

  #acquit(file: FileState): void {
    file.suspicion = undefined;
    this.#suspects.delete(file.path);
  }

  #apply(outcomes: readonly Outcome[]): void {
    const isRootGone = !this.#watcher.rootExists();
    if (isRootGone !== this.#isRootGone) this.#reportRoot(isRootGone);
    const pending = outcomes
      .map((outcome) => this.#claimsOf(outcome, isRootGone))
      .filter((next) => next !== undefined);
    if (pending.length === 0) return;
    this.#adoptRefused(pending);
    const batches: SourceBatch[] = [];
    for (const { file, claims, diagnostics, digest, isGone, refusedKeys } of pending) {
      const upserts = [...claims].filter(([key, config]) => file.claims.get(key) !== config);
      const deletes = [...file.claims.keys()].filter((key) => !claims.has(key));
      batches.push({
        source: file.source,
        upserts: upserts.map(([, config]) => config),
        deletes,
        ...(diagnostics === undefined ? {} : { diagnostics }),
      });
      file.claims = claims;
      file.digest = digest;
      file.refusedKeys = refusedKeys;
      if (isGone) this.#files.delete(file.path);
      else this.#files.set(file.path, file);
    }
    this.#options.store.apply(batches);
    this.#log();
  }

  #claimsOf({ file, look }: Outcome, isRootGone: boolean): PendingFile | undefined {
    if (look.what === 'gone') {
      // A root that is gone (unmounted, being replaced) says nothing of its files.
      if (isRootGone && file.claims.size > 0) return undefined;
      return { file, claims: new Map(), diagnostics: [], digest: '', isGone: true, refusedKeys: [] };
    }
    if (look.what === 'unreadable') {
      const claims = new Map(file.claims);
      return { file, claims, diagnostics: [look.diagnostic], digest: '', isGone: false, refusedKeys: [] };
    }
    const { configs, diagnostics, refusedKeys, hasUnnamed } = look.result;
    const claims = new Map(configs.map((config) => [configKey(config), config] as const));
    for (const key of hasUnnamed ? file.claims.keys() : refusedKeys) {
      const lastGood = file.claims.get(key);
      if (lastGood !== undefined && !claims.has(key)) claims.set(key, lastGood);
    }
    return { file, claims, diagnostics, digest: look.digest, isGone: false, refusedKeys };
  }

  /** An object that was moved to another file and broken on the way: its last good version goes along. */
  #adoptRefused(pending: PendingFile[]): void {
    const changing = new Set(pending.map(({ file }) => file));
    const resting = [...this.#files.values()].filter((file) => !changing.has(file));
    const leaving = pending.flatMap(({ file, claims }) =>
      [...file.claims].filter(([key]) => !claims.has(key)),
    );
    for (const [key, lastGood] of leaving) {
      if (pending.some(({ claims }) => claims.has(key)) || resting.some(({ claims }) => claims.has(key)))
        continue;
      const inPending = pending.find(({ refusedKeys }) => refusedKeys.includes(key));
      if (inPending !== undefined) {
        inPending.claims.set(key, lastGood);
        continue;
      }
      const file = resting.find(({ refusedKeys }) => refusedKeys.includes(key));
      if (file === undefined) continue;
      const { claims, digest, refusedKeys } = file;
      const adopted = new Map(claims).set(key, lastGood);
      pending.push({ file, claims: adopted, diagnostics: undefined, digest, isGone: false, refusedKeys });
    }
  }

  #reportRoot(isGone: boolean): void {
    const { path, logger, store } = this.#options;
    this.#isRootGone = isGone;
    const message =
      'there is no such directory or file; what was read before stays in force until it is back';
    const diagnostic: Diagnostic = {
      severity: 'error',
      code: 'root-gone',
      message,
      position: { file: path, line: 1, column: 1 },
      fieldPath: [],
    };
    store.apply([{ source: path, upserts: [], deletes: [], diagnostics: isGone ? [diagnostic] : [] }]);
    if (isGone) logger.error(formatDiagnostic(diagnostic));
    else logger.info(`${path}: is back`);
  }

  /** Logs what is newly wrong, and that all is well again. */
  #log(): void {
    const { store, logger, path } = this.#options;
    const lines = new Map(
      store.diagnostics().map((diagnostic) => [formatDiagnostic(diagnostic), diagnostic.severity]),
    );
    for (const [line, severity] of lines) {
      if (this.#reported.has(line)) continue;
      if (severity === 'error') logger.error(line);
      else logger.warn(line);
    }
    if (lines.size === 0 && this.#reported.size > 0) logger.info(`${path}: nothing is wrong any more`);
    this.#reported = new Set(lines.keys());
  }
}

interface PendingFile {
  readonly file: FileState;
  readonly claims: Map<string, Config>;
  /** Absent: as before. */
  readonly diagnostics: readonly Diagnostic[] | undefined;
  readonly digest: string;
  readonly isGone: boolean;
  readonly refusedKeys: readonly string[];
}

function newFile(path: string): FileState {
  return {
    path,
    source: path,
    reader: new TextReader(path),
    claims: new Map(),
    refusedKeys: [],
    digest: '',
    suspicion: undefined,
  };
}

/** Nothing that could be read is there: a pipe, a directory and a symlink that loops are no files. */
const absentCodes = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENXIO']);

function lookAt(file: FileState): Look {
  let bytes: Buffer;
  try {
    bytes = readBounded(file.path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (typeof code === 'string' && absentCodes.has(code)) return { what: 'gone' };
    const said = error instanceof Error ? error.message : String(error);
    const reason = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : said;
    const message = `cannot be read (${reason}); what it held before stays in force`;
    return { what: 'unreadable', diagnostic: aboutFile(file, 'unreadable', message) };
  }
  // What a full disk leaves of a file: it was emptied to be written anew. Who means to take the objects away deletes it.
  if (bytes.length === 0 && file.claims.size > 0) {
    const message = 'is empty; what it held before stays in force: delete the file to take that away';
    return { what: 'unreadable', diagnostic: aboutFile(file, 'emptied', message) };
  }
  const digest = createHash('sha1').update(bytes).digest('base64');
  if (digest === file.digest) return { what: 'unchanged' };
  const isOpenEnded = bytes.length === 0 || bytes[bytes.length - 1] !== 0x0a;
  return { what: 'read', result: file.reader.read(bytes), digest, isOpenEnded };
}

function aboutFile({ path }: FileState, code: string, message: string): Diagnostic {
  return { severity: 'error', code, message, position: { file: path, line: 1, column: 1 }, fieldPath: [] };
}

/** At most one byte more than is allowed, so that the reader refuses what is too large. */
function readBounded(path: string): Buffer {
  // Opening a pipe without O_NONBLOCK would wait for its writer.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(descriptor).isFile()) throw Object.assign(new Error('not a file'), { code: 'EISDIR' });
    return readDescriptor(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Whether this may be a moment in the middle of a save. */
function isSuspect(file: FileState, look: Exclude<Look, { what: 'unchanged' }>): boolean {
  if (look.what === 'gone') return file.claims.size > 0;
  if (look.what === 'unreadable') return true;
  const { result, isOpenEnded } = look;
  if (isOpenEnded || result.hasUnnamed) return true;
  if (result.diagnostics.some((diagnostic) => diagnostic.code === 'syntax')) return true;
  const present = new Set([...result.configs.map(configKey), ...result.refusedKeys]);
  return [...file.claims.keys()].some((key) => !present.has(key));
}
