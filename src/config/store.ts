// All objects in force, whoever gave them: keyed, listed by kind, with one event per batch of changes.
import { isDeepStrictEqual } from 'node:util';
import type { Config, Diagnostic, Position } from './config.ts';
import { configKey } from './config.ts';

/** One object that came (`after` alone), changed (both) or went (`before` alone). */
export interface ConfigChange {
  /** `Kind/namespace/name`, see configKey. */
  readonly key: string;
  readonly before?: Config;
  readonly after?: Config;
}

/** Gets every change of one batch at once, in the order of their keys; never an empty list. */
export type ConfigListener = (changes: readonly ConfigChange[]) => void;

/** What one source says anew. A source is any name: a file's path, `kubelet`, a test. */
export interface SourceBatch {
  readonly source: string;
  /** Objects that the source holds now; each replaces its earlier version from the same source. */
  readonly upserts: readonly Config[];
  /** Keys of objects that the source no longer holds; unknown ones are ignored. */
  readonly deletes: readonly string[];
  /** Replaces all that the source complained of before; absent: unchanged. */
  readonly diagnostics?: readonly Diagnostic[];
}

interface Claim {
  readonly source: string;
  readonly config: Config;
}

interface Entry {
  /** The winner first. */
  claims: Claim[];
}

/**
 * In-memory store with several sources. If two sources hold the same object, the one that stands
 * first (by file path, then line, then source name) is in force and the other is a Diagnostic, so
 * the result does not depend on the order in which files were read. An upsert equal by structure to
 * what is in force makes no event.
 */
export class ConfigStore {
  readonly #entries = new Map<string, Entry>();
  readonly #keysOfKind = new Map<string, Set<string>>();
  readonly #listsOfKind = new Map<string, readonly Config[]>();
  readonly #keysOfSource = new Map<string, Set<string>>();
  readonly #sourceDiagnostics = new Map<string, readonly Diagnostic[]>();
  readonly #duplicates = new Set<string>();
  readonly #listeners = new Set<ConfigListener>();
  readonly #diagnosticListeners = new Set<() => void>();
  readonly #pendingEvents: (readonly ConfigChange[])[] = [];
  #delivering = false;

  get(kind: string, namespace: string, name: string): Config | undefined {
    return this.getByKey(configKey({ kind, namespace, name }));
  }

  getByKey(key: string): Config | undefined {
    return this.#entries.get(key)?.claims[0]?.config;
  }

  /** All objects of a kind in the order of their keys. The same array until one of them changes. */
  list(kind: string): readonly Config[] {
    const known = this.#listsOfKind.get(kind);
    if (known !== undefined) return known;
    const keys = [...(this.#keysOfKind.get(kind) ?? [])].sort();
    const list = keys.map((key) => this.getByKey(key)).filter((config) => config !== undefined);
    this.#listsOfKind.set(kind, list);
    return list;
  }

  /** Every object, by kind and then by key. */
  all(): readonly Config[] {
    return [...this.#keysOfKind.keys()].sort().flatMap((kind) => this.list(kind));
  }

  /** One source's change; see `apply`. */
  applyBatch(
    source: string,
    upserts: readonly Config[],
    deletes: readonly string[],
  ): readonly ConfigChange[] {
    return this.apply([{ source, upserts, deletes }]);
  }

  /**
   * Takes what several sources say as one batch and returns what changed. Subscribers are told
   * before this returns; a batch applied from within a subscriber is told after the current one has
   * reached every subscriber.
   */
  apply(batches: readonly SourceBatch[]): readonly ConfigChange[] {
    const before = new Map<string, Config | undefined>();
    let diagnosticsChanged = false;
    for (const { source, upserts, deletes, diagnostics } of batches) {
      for (const key of deletes) {
        remember(before, key, this.getByKey(key));
        this.#unclaim(source, key);
      }
      for (const config of upserts) {
        const key = configKey(config);
        remember(before, key, this.getByKey(key));
        this.#claim(source, key, config);
      }
      if (diagnostics !== undefined && this.#replaceDiagnostics(source, diagnostics))
        diagnosticsChanged = true;
    }
    const changes = this.#settle(before);
    for (const key of before.keys()) if (this.#noteDuplicates(key)) diagnosticsChanged = true;
    if (diagnosticsChanged) for (const listener of this.#diagnosticListeners) listener();
    if (changes.length > 0) this.#deliver(changes);
    return changes;
  }

  /** Takes away everything that a source holds, and its complaints. */
  dropSource(source: string): readonly ConfigChange[] {
    const deletes = [...(this.#keysOfSource.get(source) ?? [])];
    return this.apply([{ source, upserts: [], deletes, diagnostics: [] }]);
  }

  /** The keys that a source holds, in force or not. */
  keysOf(source: string): readonly string[] {
    return [...(this.#keysOfSource.get(source) ?? [])];
  }

  /** Everything that is wrong now, in the order of files and lines. */
  diagnostics(): readonly Diagnostic[] {
    const all = [...this.#sourceDiagnostics.values()].flat();
    for (const key of this.#duplicates) all.push(...duplicateDiagnostics(this.#entries.get(key)));
    return all.sort((a, b) => comparePositions(a.position, b.position));
  }

  /** Calls `listener` after every batch that changed something. Returns what ends that. */
  subscribe(listener: ConfigListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls `listener` whenever `diagnostics()` has changed. Returns what ends that. */
  subscribeDiagnostics(listener: () => void): () => void {
    this.#diagnosticListeners.add(listener);
    return () => void this.#diagnosticListeners.delete(listener);
  }

  #claim(source: string, key: string, config: Config): void {
    const entry = this.#entries.get(key) ?? { claims: [] };
    this.#entries.set(key, entry);
    const mine = entry.claims.findIndex((claim) => claim.source === source);
    if (mine >= 0) entry.claims[mine] = { source, config };
    else entry.claims.push({ source, config });
    if (entry.claims.length > 1) entry.claims.sort(compareClaims);
    setOf(this.#keysOfSource, source).add(key);
    setOf(this.#keysOfKind, config.kind).add(key);
    this.#listsOfKind.delete(config.kind);
  }

  #unclaim(source: string, key: string): void {
    const entry = this.#entries.get(key);
    const keys = this.#keysOfSource.get(source);
    if (entry === undefined || keys?.delete(key) !== true) return;
    if (keys.size === 0) this.#keysOfSource.delete(source);
    const kind = key.slice(0, key.indexOf('/'));
    entry.claims = entry.claims.filter((claim) => claim.source !== source);
    this.#listsOfKind.delete(kind);
    if (entry.claims.length > 0) return;
    this.#entries.delete(key);
    const ofKind = this.#keysOfKind.get(kind);
    ofKind?.delete(key);
    if (ofKind?.size === 0) this.#keysOfKind.delete(kind);
  }

  #replaceDiagnostics(source: string, diagnostics: readonly Diagnostic[]): boolean {
    const known = this.#sourceDiagnostics.get(source) ?? [];
    if (isDeepStrictEqual(known, diagnostics)) return false;
    if (diagnostics.length === 0) this.#sourceDiagnostics.delete(source);
    else this.#sourceDiagnostics.set(source, diagnostics);
    return true;
  }

  #settle(before: ReadonlyMap<string, Config | undefined>): readonly ConfigChange[] {
    const changes: ConfigChange[] = [];
    for (const key of [...before.keys()].sort()) {
      const old = before.get(key);
      const now = this.getByKey(key);
      if (old === now || (old !== undefined && now !== undefined && sameConfig(old, now))) continue;
      changes.push({
        key,
        ...(old === undefined ? {} : { before: old }),
        ...(now === undefined ? {} : { after: now }),
      });
    }
    return changes;
  }

  /** Whether the duplicates of this key may differ from what was reported. */
  #noteDuplicates(key: string): boolean {
    const several = (this.#entries.get(key)?.claims.length ?? 0) > 1;
    const known = this.#duplicates.has(key);
    if (several) this.#duplicates.add(key);
    else this.#duplicates.delete(key);
    return several || known;
  }

  #deliver(changes: readonly ConfigChange[]): void {
    this.#pendingEvents.push(changes);
    if (this.#delivering) return;
    this.#delivering = true;
    const failures: unknown[] = [];
    try {
      for (
        let event = this.#pendingEvents.shift();
        event !== undefined;
        event = this.#pendingEvents.shift()
      ) {
        for (const listener of this.#listeners) {
          try {
            listener(event);
          } catch (error) {
            failures.push(error);
          }
        }
      }
    } finally {
      this.#delivering = false;
    }
    // Everyone has been told: one failing subscriber does not hide a change from the others.
    if (failures.length > 0) throw failures[0];
  }
}

/** Whether two versions of an object say the same; their positions do not count. */
export function sameConfig(a: Config, b: Config): boolean {
  return (
    a.group === b.group &&
    a.version === b.version &&
    a.creationTimeMs === b.creationTimeMs &&
    a.deletionTimeMs === b.deletionTimeMs &&
    a.generation === b.generation &&
    isDeepStrictEqual(a.controller, b.controller) &&
    isDeepStrictEqual(a.labels, b.labels) &&
    isDeepStrictEqual(a.annotations, b.annotations) &&
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual(a.status, b.status)
  );
}

/** By file, line, column. */
export function comparePositions(a: Position, b: Position): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

function compareClaims(a: Claim, b: Claim): number {
  const order = comparePositions(a.config.locate([]), b.config.locate([]));
  return order !== 0 ? order : a.source < b.source ? -1 : 1;
}

function duplicateDiagnostics(entry: Entry | undefined): Diagnostic[] {
  const [winner, ...others] = entry?.claims ?? [];
  if (winner === undefined) return [];
  return others.map(({ config }) => duplicateDiagnostic(config, winner.config.locate([])));
}

/** The complaint at the later of two objects with one name. */
export function duplicateDiagnostic(config: Config, first: Position): Diagnostic {
  return {
    severity: 'error',
    code: 'duplicate',
    message: `this name is taken by the object at ${first.file}:${first.line}:${first.column}, which stays in force; rename one of them`,
    position: config.locate([]),
    object: { kind: config.kind, namespace: config.namespace, name: config.name },
    fieldPath: [],
  };
}

function remember(before: Map<string, Config | undefined>, key: string, config: Config | undefined): void {
  if (!before.has(key)) before.set(key, config);
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  const known = map.get(key) ?? new Set();
  map.set(key, known);
  return known;
}
