// `apply` and `delete` in file mode: objects into the directory that the control plane watches, and until they arrive.
import { realpathSync } from 'node:fs';
import { relative, resolve, sep } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { UserError } from '../../base/user-error.ts';
import type { Config } from '../../config/config.ts';
import { configDigest } from '../../config/config-digest.ts';
import { sameConfig } from '../../config/store.ts';
import type { ControlPlane } from '../control-plane.ts';
import type { ObjectRevisionJson } from '../distribution.ts';
import {
  askObject,
  describeRevision,
  isDistributed,
  isHopeless,
  lastWord,
  untilOver,
} from '../distribution.ts';
import { objectTitle } from '../resource-kinds.ts';
import type { ObjectKey } from './config-tree.ts';
import { ConfigTree } from './config-tree.ts';
import type { Manifest } from './manifests.ts';
import type { Disk } from './write-files.ts';
import { writeFiles } from './write-files.ts';

export interface ApplyOptions {
  readonly clock: Clock;
  readonly controlPlane: ControlPlane;
  /** Where to write; undefined: where the control plane says that it reads. */
  readonly directory: string | undefined;
  /** Undefined: do not wait. */
  readonly timeoutMs: number | undefined;
  /** Of this process: for names of temporary files. */
  readonly uniqueName: string;
  /** The current directory: files are named from there. */
  readonly workingDirectory: string;
  readonly disk?: Disk;
  /** Lines for stdout. */
  readonly write: (line: string) => void;
  /** Lines for stderr. */
  readonly tell: (line: string) => void;
}

/** What is waited for. */
interface Expected {
  readonly object: ObjectKey;
  readonly title: string;
  /** Undefined: that it is gone. */
  readonly digest: string | undefined;
}

/** Throws a UserError where something cannot be written, or does not arrive. */
export async function applyManifests(manifests: readonly Manifest[], options: ApplyOptions): Promise<void> {
  const roots = await rootsOf(options);
  const tree = new ConfigTree(roots);
  const outcomes = manifests.map(({ config, text }) => {
    const [place] = tree.placesOf(config);
    const title = objectTitle(config);
    if (place === undefined) {
      const file = tree.add(config, text);
      return { title, word: 'created', file };
    }
    if (place.config !== undefined && sameConfig(place.config, config)) return { title, word: 'unchanged' };
    tree.replace(place, text);
    return { title, word: 'configured', file: place.file };
  });
  checkEdits(tree, manifests);
  const secretFiles = outcomes.flatMap(({ file }, index) =>
    file !== undefined && manifests[index]?.config.kind === 'Secret' ? [file] : [],
  );
  writeFiles(tree.edits, options.uniqueName, options.disk, new Set(secretFiles));
  for (const { title, word } of outcomes) options.write(`${title} ${word}`);
  const files = new Set(outcomes.flatMap(({ file }) => file ?? []));
  for (const file of files) options.tell(`written: ${shown(file, options)}`);
  await untilArrived(
    manifests.map(({ config }) => ({
      object: config,
      title: objectTitle(config),
      digest: configDigest(config),
    })),
    options,
  );
}

export async function deleteObjects(
  objects: readonly (ObjectKey & Pick<Config, 'group'>)[],
  options: ApplyOptions,
): Promise<void> {
  const tree = new ConfigTree(await rootsOf(options));
  const missing: string[] = [];
  const found = objects.filter((object) => {
    // From the end, so that places before it stay where they are.
    const places = tree.placesOf(object).toReversed();
    for (const place of places) tree.remove(place);
    if (places.length === 0) missing.push(`(NotFound): ${objectTitle(object).replace('/', ' "')}" not found`);
    return places.length > 0;
  });
  const files = [...tree.edits.keys()];
  writeFiles(tree.edits, options.uniqueName, options.disk);
  for (const object of found) {
    const [kind = '', name = ''] = objectTitle(object).split('/');
    options.write(`${kind} "${name}" deleted`);
  }
  for (const file of files)
    options.tell(`${tree.edits.get(file) === undefined ? 'removed' : 'written'}: ${shown(file, options)}`);
  await untilArrived(
    found.map((object) => ({ object, title: objectTitle(object), digest: undefined })),
    options,
  );
  if (missing.length > 0) throw new UserError(missing.join('\n'));
}

/** Where to write: what was asked for, or where the control plane reads. */
async function rootsOf(options: ApplyOptions): Promise<readonly string[]> {
  const { controlPlane, directory, timeoutMs } = options;
  const own = directory === undefined ? undefined : resolve(directory);
  if (own !== undefined && timeoutMs === undefined) return [own];
  const answer = await controlPlane.getJson('/debug/config_sources');
  const { sources = [] } = answer as { readonly sources?: readonly { readonly absolutePath: string }[] };
  const watched = sources.map(({ absolutePath }) => absolutePath);
  if (watched.length === 0)
    throw new UserError(
      `the control plane at ${controlPlane.address} reads no directory to which could be written; nothing was written`,
    );
  if (own === undefined) return watched;
  if (!watched.some((root) => isWithin(own, root)))
    throw new UserError(
      `the control plane at ${controlPlane.address} does not read --config ${directory ?? ''}, but ${watched.join(', ')}; nothing was written`,
    );
  return [own];
}

function isWithin(path: string, root: string): boolean {
  const [inner, outer] = [real(path), real(root)];
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Reads what is to be written as the control plane will: a text that came out wrong must not reach a disk. */
function checkEdits(tree: ConfigTree, manifests: readonly Manifest[]): void {
  for (const { config } of manifests) {
    const [place] = tree.placesOf(config);
    if (place?.config === undefined || !sameConfig(place.config, config))
      throw new UserError(
        `nothing was written: ${objectTitle(config)} cannot be put into ${place?.file ?? 'its file'} so that it reads the same there; write it into a file of its own`,
      );
  }
}

async function untilArrived(expected: readonly Expected[], options: ApplyOptions): Promise<void> {
  const { clock, timeoutMs, tell } = options;
  if (timeoutMs === undefined || expected.length === 0) return;
  const startMs = clock.monotonicMs();
  const endMs = startMs + timeoutMs;
  const failures: string[] = [];
  // Objects of one revision fail with the same details: these are told once, after all titles.
  const details = new Set<string>();
  const told = new Set<string>();
  for (const each of expected) {
    const restMs = Math.max(0, endMs - clock.monotonicMs());
    // oxlint-disable-next-line no-await-in-loop -- they arrive together: the first that is waited for is the longest
    const lines = await arrivalOf(each, restMs, options);
    const [failure, ...rest] = lines.failures;
    if (failure !== undefined) failures.push(failure);
    if (rest.length > 0) details.add(rest.join('\n'));
    if (lines.said !== undefined) told.add(lines.said);
  }
  for (const line of told) tell(line);
  if (failures.length > 0) throw new UserError([...failures, ...details].join('\n'));
  tell(`all affected proxies have it, after ${Math.round(clock.monotonicMs() - startMs)} ms`);
}

async function arrivalOf(
  { object, title, digest }: Expected,
  timeoutMs: number,
  { clock, controlPlane }: ApplyOptions,
): Promise<{ readonly failures: readonly string[]; readonly said?: string }> {
  const isTaken = (report: ObjectRevisionJson): boolean =>
    digest === undefined ? !report.object.inForce : report.object.digest === digest;
  const isLast = lastWord(clock, 1);
  const { report } = await untilOver({
    clock,
    timeoutMs,
    ask: () => askObject(controlPlane, object),
    isPatient: true,
    isOver: (each) =>
      isTaken(each)
        ? each.accepted !== true || isLast(each)
        : each.object.diagnostics.some(({ severity }) => severity === 'error'),
  });
  if (isTaken(report)) {
    // Gone, and never known to this control plane.
    if (report.accepted !== true) return { failures: [] };
    const [first = '', ...rest] = describeRevision(report, clock.now());
    if (isDistributed(report, 1)) return { failures: [], said: first };
    const why = isHopeless(report, 1) ? 'was refused by a proxy' : 'has not arrived in time';
    return { failures: [`${title} ${why}`, first, ...rest] };
  }
  const complaints = report.object.diagnostics.map(({ text }) => text);
  const state =
    report.object.revision === undefined
      ? `it is at revision ${report.latest} and does not know the object`
      : `it still has the form of revision ${report.object.revision}`;
  return {
    failures: [
      `the control plane at ${controlPlane.address} has not taken ${title} over: ${complaints.length > 0 ? 'it refuses it' : state}`,
      ...complaints,
    ],
  };
}

function shown(file: string, { workingDirectory }: ApplyOptions): string {
  const near = relative(workingDirectory, file);
  return near.startsWith('..') ? file : near;
}
