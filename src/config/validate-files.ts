// `fairlead validate`: files, directories and stdin, judged and reported in istioctl's words.
import { formatFieldPath } from '../model/origin.ts';
import { parseProtocol } from '../model/protocol.ts';
import type { Config, Diagnostic } from './config.ts';
import { configKey, formatDiagnostic, kindName } from './config.ts';
import type { KubeServiceSpec } from './kube-types.ts';
import { readMeshConfig } from './mesh-config-reader.ts';
import { filesOf, readBounded, shownName } from './read-files.ts';
import { TextReader } from './reader.ts';
import { findDanglingReferences } from './references.ts';
import { comparePositions, duplicateDiagnostic } from './store.ts';
import { DocumentText } from './yaml-document.ts';

export interface ValidateFilesOptions {
  /** Files, directories, and `-` for stdin. */
  readonly paths: readonly string[];
  readonly readStdin: () => string | Uint8Array;
  /** Whether references among the objects are checked; undefined: where a directory is among the paths. */
  readonly checkReferences?: boolean;
  /** Of objects that do not name one. Default: `default`. */
  readonly defaultNamespace?: string;
  /** Services here may name their ports as they like. Default: istio-system. */
  readonly istioNamespace?: string;
  /** Files that hold a MeshConfig. */
  readonly meshConfigFiles?: readonly string[];
}

export interface ValidationReport {
  /** Lines for stdout: which files are valid, and warnings. */
  readonly output: string;
  /** Lines for stderr: `file:line:col: ...`, one an error. */
  readonly errors: readonly string[];
  /** Everything that was found, by position. */
  readonly diagnostics: readonly Diagnostic[];
  /** One sentence for each path that cannot be read. */
  readonly unreadable: readonly string[];
}

/** Validates without changing anything. Throws nothing: a file that cannot be read is one of the errors. */
export function validateFiles(options: ValidateFilesOptions): ValidationReport {
  const { files, errors: unreadable, hasDirectory } = filesOf(options.paths);
  const meshConfigFiles = options.meshConfigFiles ?? [];
  const diagnostics = new Map<string, Diagnostic[]>([...files, ...meshConfigFiles].map((file) => [file, []]));
  const contentOf = (file: string): string | Uint8Array | undefined => {
    try {
      return file === '-' ? options.readStdin() : readBounded(file);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      unreadable.push(`cannot read file "${file}": ${reason}`);
      return undefined;
    }
  };
  const configs: Config[] = [];
  for (const file of files) {
    const content = contentOf(file);
    if (content === undefined) continue;
    const reader = new TextReader(shownName(file), {
      defaultNamespace: options.defaultNamespace ?? 'default',
    });
    const result = reader.read(content);
    diagnostics.get(file)?.push(...result.diagnostics);
    configs.push(...result.configs);
  }
  for (const file of meshConfigFiles) {
    const content = contentOf(file);
    if (content !== undefined) diagnostics.get(file)?.push(...meshDiagnostics(shownName(file), content));
  }
  const across = [...duplicates(configs), ...portNames(configs, options.istioNamespace ?? 'istio-system')];
  if (options.checkReferences ?? hasDirectory) across.push(...findDanglingReferences(configs));
  for (const diagnostic of across) {
    const { file } = diagnostic.position;
    diagnostics.get(file === 'stdin' && !diagnostics.has(file) ? '-' : file)?.push(diagnostic);
  }
  const all = [...diagnostics.values()].flat().sort((a, b) => comparePositions(a.position, b.position));
  const errors = [...unreadable, ...all.filter(({ severity }) => severity === 'error').map(formatDiagnostic)];
  return { output: describeFiles(diagnostics, errors.length > 0), errors, diagnostics: all, unreadable };
}

/** The report for programs: `valid`, `diagnostics` with code, field and position, and `unreadable` paths. */
export function validationValue({ errors, diagnostics, unreadable }: ValidationReport): unknown {
  return {
    valid: errors.length === 0,
    diagnostics: diagnostics.map(({ severity, code, message, position, object, fieldPath }) => ({
      severity,
      code,
      message,
      ...(fieldPath.length === 0 ? {} : { field: formatFieldPath(fieldPath) }),
      ...(object === undefined ? {} : { object: { ...object, kind: kindName(object.kind) } }),
      file: position.file,
      line: position.line,
      column: position.column,
    })),
    ...(unreadable.length === 0 ? {} : { unreadable }),
  };
}

function meshDiagnostics(file: string, content: string | Uint8Array): readonly Diagnostic[] {
  const text = Buffer.from(content).toString('utf8');
  const { findings, syntaxOffset } = readMeshConfig(text);
  const document = new DocumentText(file, 1, text);
  return findings.map((finding) => ({
    ...finding,
    position:
      syntaxOffset === undefined ? document.locate(finding.fieldPath) : document.positionAt(syntaxOffset),
  }));
}

/** The same name in two files: a mistake within one mesh, but the files may also be alternatives. */
function duplicates(configs: readonly Config[]): Diagnostic[] {
  const first = new Map<string, Config>();
  const found: Diagnostic[] = [];
  for (const config of [...configs].sort((a, b) => comparePositions(a.locate([]), b.locate([])))) {
    const known = first.get(configKey(config));
    if (known === undefined) first.set(configKey(config), config);
    else found.push({ ...duplicateDiagnostic(config, known.locate([])), severity: 'warning' });
  }
  return found;
}

/** istioctl's demand on Services: every port says its protocol, by appProtocol or by its name. */
function portNames(configs: readonly Config[], istioNamespace: string): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const config of configs) {
    if (config.kind !== 'Service' || config.namespace === istioNamespace) continue;
    const { ports } = config.spec as KubeServiceSpec;
    for (const [index, { name, protocol, appProtocol }] of (ports ?? []).entries()) {
      if (protocol === 'UDP') continue;
      const said = appProtocol ?? name;
      const isKnown =
        said !== undefined &&
        (parseProtocol(appProtocol ?? said.split('-', 1)[0] ?? '') !== 'unsupported' ||
          said.startsWith('kubernetes.io/'));
      if (isKnown) continue;
      const fieldPath = ['spec', 'ports', index];
      const what = said === undefined ? 'the port has no name' : `"${said}" says no protocol`;
      found.push({
        severity: 'error',
        code: 'port-name',
        message: `${what}; name it <protocol>[-<suffix>] (http, http2, grpc, tcp, tls, ...) or set appProtocol`,
        position: config.locate(fieldPath),
        object: { kind: config.kind, namespace: config.namespace, name: config.name },
        fieldPath,
      });
    }
  }
  return found;
}

function describeFiles(diagnostics: ReadonlyMap<string, readonly Diagnostic[]>, hasErrors: boolean): string {
  const lines: string[] = [];
  for (const [file, ofFile] of diagnostics) {
    const warnings = ofFile
      .filter(({ severity }) => severity === 'warning')
      .sort((a, b) => comparePositions(a.position, b.position));
    if (warnings.length > 0) {
      lines.push(`"${shownName(file)}" has warnings:`);
      for (const warning of warnings) lines.push(`\t* ${formatDiagnostic(warning)}`);
    } else if (!hasErrors) lines.push(file === '-' ? 'validation succeed' : `"${file}" is valid`);
  }
  return lines.map((line) => `${line}\n`).join('');
}
