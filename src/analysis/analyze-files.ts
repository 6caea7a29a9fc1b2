// `fairlead analyze`: files to messages, and how the command ends.
import { extname } from 'node:path';
import { UserError } from '../base/user-error.ts';
import { formatDiagnostic } from '../config/config.ts';
import { fileExtensions, filesOf, readBounded, shownName } from '../config/read-files.ts';
import type { ConfigMap } from '../config/kube-types.ts';
import { readMeshConfig } from '../config/mesh-config-reader.ts';
import { hintFor } from '../config/schema.ts';
import { analyze, isRunnable, isSuppressed } from './analyze.ts';
import type { Suppression } from './analyze.ts';
import type { Analyzer, Message } from './analyzer.ts';
import { allAnalyzers, defaultAnalyzers } from './analyzers.ts';
import { assumedObjects } from './assumed.ts';
import type { Loaded } from './load.ts';
import { loadText } from './load.ts';
import type { MeshSettings } from './mesh-settings.ts';
import { readMeshSettings } from './mesh-settings.ts';
import type { Level } from './messages.ts';
import { isAtLeast, isKnownCode } from './messages.ts';

export interface AnalyzeFilesOptions {
  /** Files, directories, and `-` for stdin. */
  readonly paths: readonly string[];
  readonly readStdin: () => string | Uint8Array;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Of objects that do not name one. */
  readonly defaultNamespace: string;
  /** Messages are about objects of this namespace, or of none; undefined: of all. */
  readonly onlyNamespace?: string;
  readonly istioNamespace: string;
  /** The files are the whole mesh. False: a part, as istioctl takes them without a cluster. */
  readonly isWholeMesh: boolean;
  readonly suppressions: readonly Suppression[];
  readonly outputThreshold: Level;
  readonly failureThreshold: Level;
  /** Names; empty: those that run by default. */
  readonly analyzers: readonly string[];
  readonly meshConfigFile?: string;
}

export interface AnalysisReport {
  /** At or above the output threshold. */
  readonly messages: readonly Message[];
  /** Whether some message, shown or not, reaches the failure threshold. */
  readonly hasFailed: boolean;
  /** Lines about what the command line names and what was not used. */
  readonly notes: readonly string[];
  /** Lines about files in directories that were not read. */
  readonly foreignFiles: readonly string[];
  /** One for each document that could not be read. */
  readonly parseErrors: readonly string[];
  readonly files: readonly string[];
  readonly ran: readonly string[];
  /** For want of anything to compare with. */
  readonly skippedAnalyzers: readonly string[];
}

/** Throws a UserError for what the command line asks wrongly; what is wrong with files is in the report. */
export function analyzeFiles(options: AnalyzeFilesOptions): AnalysisReport {
  const chosen = chooseAnalyzers(options.analyzers);
  const notes = options.suppressions
    .filter(({ code }) => !isKnownCode(code))
    .map(({ code }) => `Warning: no message has the code ${code}; suppressing it has no effect.`);
  const { files, foreignFiles } = readableFiles(options.paths, notes);
  const loaded = files.map((file) =>
    loadText(shownName(file), readFile(file, options.readStdin), {
      defaultNamespace: options.defaultNamespace,
      withLiveKinds: options.isWholeMesh,
    }),
  );
  const own = loaded.flatMap(({ objects }) => objects);
  const mesh = meshOf(options, own);
  const kinds = new Set(own.map(({ kind }) => kind));
  const runnable = chosen.filter((analyzer) => isRunnable(analyzer, kinds));
  const all = analyze({
    objects: [...own, ...assumedObjects(mesh, options.istioNamespace)],
    findings: loaded.flatMap(({ findings }) => findings),
    mesh,
    nowMs: options.nowMs,
    analyzers: runnable,
  });
  const messages = all.filter(
    (message) =>
      !isSuppressed(message, options.suppressions) &&
      (options.onlyNamespace === undefined || ['', options.onlyNamespace].includes(message.object.namespace)),
  );
  return {
    messages: messages.filter(({ type }) => isAtLeast(type.level, options.outputThreshold)),
    hasFailed: messages.some(({ type }) => isAtLeast(type.level, options.failureThreshold)),
    notes,
    foreignFiles,
    parseErrors: loaded.flatMap((one, index) => parseErrorsOf(one, shownName(files[index] ?? ''))),
    files: files.map(shownName),
    ran: runnable.map(({ name }) => name),
    skippedAnalyzers: chosen.filter((analyzer) => !runnable.includes(analyzer)).map(({ name }) => name),
  };
}

function chooseAnalyzers(names: readonly string[]): readonly Analyzer[] {
  if (names.length === 0) return defaultAnalyzers;
  const all = allAnalyzers();
  return names.map((name) => {
    const found = all.find((analyzer) => analyzer.name === name);
    if (found !== undefined) return found;
    const hint = hintFor(
      name,
      all.map((analyzer) => analyzer.name),
    );
    throw new UserError(`there is no analyzer "${name}"${hint}`, 64);
  });
}

/** Adds a note for each file that is named and neither YAML nor JSON. */
function readableFiles(
  paths: readonly string[],
  notes: string[],
): { readonly files: readonly string[]; readonly foreignFiles: readonly string[] } {
  const { files, skipped, errors } = filesOf(paths);
  if (errors[0] !== undefined) throw new UserError(errors[0]);
  const skippedLine = (file: string): string =>
    `Skipping file ${file}, recognized file extensions are: [${fileExtensions.join(' ')}]`;
  const foreign = files.filter((file) => file !== '-' && !fileExtensions.includes(extname(file)));
  notes.push(...foreign.map(skippedLine));
  return {
    files: files.filter((file) => !foreign.includes(file)),
    foreignFiles: skipped.map(skippedLine),
  };
}

function readFile(file: string, readStdin: () => string | Uint8Array): string | Uint8Array {
  try {
    return file === '-' ? readStdin() : readBounded(file);
  } catch (error) {
    throw new UserError(
      `cannot read file "${file}": ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** The settings of `--meshConfigFile`, or else those of ConfigMap `istio` among the files. */
function meshOf(
  { meshConfigFile, istioNamespace, readStdin }: AnalyzeFilesOptions,
  objects: Loaded['objects'],
): MeshSettings {
  const inFiles = objects.find(
    ({ kind, namespace, name }) => kind === 'ConfigMap' && namespace === istioNamespace && name === 'istio',
  );
  const data = (inFiles?.body as ConfigMap | undefined)?.data;
  if (meshConfigFile === undefined) return readMeshSettings(data?.['mesh'], data?.['meshNetworks']);
  const text = Buffer.from(readFile(meshConfigFile, readStdin)).toString('utf8');
  const syntax = readMeshConfig(text);
  const [error] = syntax.syntaxOffset === undefined ? [] : syntax.findings;
  if (error !== undefined) throw new UserError(`${meshConfigFile} is no MeshConfig: ${error.message}`);
  return readMeshSettings(text, data?.['meshNetworks']);
}

function parseErrorsOf({ problems }: Loaded, file: string): readonly string[] {
  return problems.map((problem) => `errors parsing content "${file}": ${formatDiagnostic(problem)}`);
}
