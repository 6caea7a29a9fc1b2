// What is to be applied: objects of files and stdin, each with the text that stands for it in a file of its own.
import { parseDocument as parseYaml, stringify } from 'yaml';
import { UserError } from '../../base/user-error.ts';
import type { Config } from '../../config/config.ts';
import { configKey, formatDiagnostic } from '../../config/config.ts';
import { filesOf, readBounded, shownName } from '../../config/read-files.ts';
import { itemsOf, readText } from '../../config/reader.ts';
import { isRecord } from '../../config/schema.ts';
import { validateFiles } from '../../config/validate-files.ts';
import { parseDocument } from '../../config/yaml-document.ts';
import { contentOffset, splitDocuments } from '../../config/yaml-split.ts';

export interface Manifest {
  readonly config: Config;
  /** YAML without a marker; ends with a newline. */
  readonly text: string;
}

export interface ReadManifests {
  /** In the order of the text; no object twice. */
  readonly manifests: readonly Manifest[];
  /** What does no harm, one line each: also of objects that are not read, and so not applied. */
  readonly warnings: readonly string[];
}

export interface ManifestOptions {
  /** Files, directories, and `-` for stdin. */
  readonly paths: readonly string[];
  readonly readStdin: () => string;
  /** Of objects that do not name one. Those that name another are refused, as kubectl does. */
  readonly namespace: string | undefined;
}

/** Throws a UserError that lists everything that is wrong: then nothing may be applied. */
export function readManifests({ paths, readStdin, namespace }: ManifestOptions): ReadManifests {
  const stdin = paths.includes('-') ? readStdin() : '';
  const report = validateFiles({
    paths,
    readStdin: () => stdin,
    checkReferences: false,
    ...(namespace === undefined ? {} : { defaultNamespace: namespace }),
  });
  if (report.errors.length > 0)
    throw new UserError(`nothing was written, for not everything is valid:\n${report.errors.join('\n')}`);
  const manifests = new Map<string, Manifest>();
  for (const file of filesOf(paths).files) {
    const content = file === '-' ? stdin : readBounded(file).toString('utf8');
    for (const manifest of manifestsOf(file, content, namespace)) {
      const key = configKey(manifest.config);
      if (manifests.has(key))
        throw new UserError(
          `nothing was written: ${manifest.config.kind} ${manifest.config.name} stands twice in what is to be applied, again in ${shownName(file)}`,
        );
      manifests.set(key, manifest);
    }
  }
  return { manifests: [...manifests.values()], warnings: report.diagnostics.map(formatDiagnostic) };
}

function manifestsOf(file: string, content: string, namespace: string | undefined): readonly Manifest[] {
  const found: Manifest[] = [];
  const text = content.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n');
  for (const chunk of splitDocuments(text, Number.POSITIVE_INFINITY)) {
    const { value } = parseDocument(chunk.text);
    for (const item of itemsOf(value)) {
      // Of a List, or of JSON, each object is written anew; else the user's own text is kept, with its comments.
      const isOwn = item.path.length === 0 && !/^[[{]/.test(chunk.text.slice(contentOffset(chunk.text)));
      const own = isOwn ? bodyOf(chunk.text) : stringify(item.value, { lineWidth: 0 });
      const placed = withNamespace(own, item.value, namespace, shownName(file));
      const [config] = readText(shownName(file), placed).configs;
      if (config !== undefined) found.push({ config, text: placed });
    }
  }
  return found;
}

/** Without the marker before it and the blank lines around. */
function bodyOf(chunk: string): string {
  return `${chunk
    .replace(/^---[ \t]*(?:\n|(?=#))/, '')
    .replace(/^---[ \t]+/, '')
    .trim()}\n`;
}

function withNamespace(text: string, value: unknown, namespace: string | undefined, file: string): string {
  const metadata = isRecord(value) && isRecord(value['metadata']) ? value['metadata'] : {};
  const written = metadata['namespace'];
  if (namespace === undefined || written === namespace) return text;
  const [config] = readText(file, text).configs;
  // Cluster-wide kinds have none.
  if (config === undefined || config.namespace === '') return text;
  if (typeof written === 'string' && written !== '')
    throw new UserError(
      `nothing was written: the namespace from the provided object "${written}" does not match the namespace "${namespace}". You must pass '--namespace=${written}' to perform this operation.`,
    );
  const document = parseYaml(text);
  document.setIn(['metadata', 'namespace'], namespace);
  return document.toString({ lineWidth: 0 });
}
