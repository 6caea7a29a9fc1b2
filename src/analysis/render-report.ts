// What `fairlead analyze` prints and how it exits, as istioctl does.
import type { AnalysisReport } from './analyze-files.ts';
import { formatMessage, messageValue } from './format.ts';

export interface RenderOptions {
  readonly output: 'log' | 'json' | 'yaml';
  /** What was analyzed, for people: `all namespaces`, `namespace: default`. */
  readonly target: string;
  readonly isColoured: boolean;
  readonly isVerbose: boolean;
  /** Documents that cannot be read are no failure. */
  readonly ignoreUnknown: boolean;
  readonly formatYaml: (value: unknown) => string;
}

export interface RenderedReport {
  readonly stdout: string;
  /** Before and after what goes to stdout. */
  readonly stderr: { readonly notes: string; readonly conclusion: string };
  readonly exitCode: number;
}

/** As istioctl: for what is wrong with the mesh, and for files that are not YAML. */
const exitCodes = { foundIssues: 79, cannotParse: 65 } as const;

export function renderReport(report: AnalysisReport, options: RenderOptions): RenderedReport {
  const { messages, hasFailed, parseErrors } = report;
  const conclusion = messages.length === 0 ? [cleanLine(report, options.target)] : [];
  let exitCode = 0;
  // Programs that ask for data find everything in it.
  if (options.output === 'log' && hasFailed) {
    conclusion.push(
      `Error: analyzers found issues when analyzing ${options.target}.`,
      'See https://istio.io/latest/docs/reference/config/analysis/ and docs/analyze.md for causes and cures.',
    );
    exitCode = exitCodes.foundIssues;
  } else if (options.output === 'log' && parseErrors.length > 0 && !options.ignoreUnknown) {
    conclusion.push("Error: some files couldn't be parsed.");
    exitCode = exitCodes.cannotParse;
  }
  return {
    stdout: messagesText(report, options),
    stderr: { notes: linesOf(notesOf(report, options)), conclusion: linesOf(conclusion) },
    exitCode,
  };
}

function messagesText({ messages }: AnalysisReport, options: RenderOptions): string {
  const { output, isColoured, formatYaml } = options;
  if (output === 'json') return `${JSON.stringify(messages.map(messageValue), undefined, '\t')}\n`;
  if (output === 'yaml') return formatYaml(messages.map(messageValue));
  return linesOf(messages.map((message) => formatMessage(message, isColoured)));
}

function notesOf(report: AnalysisReport, { target, isVerbose }: RenderOptions): readonly string[] {
  const { notes, foreignFiles, parseErrors, ran, skippedAnalyzers } = report;
  const lines = [...notes];
  if (parseErrors.length > 0)
    lines.push(`Error(s) adding files: ${parseErrors.length}`, ...parseErrors.map((error) => `  ${error}`));
  if (!isVerbose) return lines;
  lines.push(...foreignFiles, `Analyzed ${target}`, 'Analyzers that ran:', ...ran.map((name) => `  ${name}`));
  if (skippedAnalyzers.length > 0)
    lines.push('Analyzers without anything to compare with:', ...skippedAnalyzers.map((name) => `  ${name}`));
  return lines;
}

function cleanLine({ files, parseErrors }: AnalysisReport, target: string): string {
  const documents = parseErrors.length === 1 ? '1 document' : `${parseErrors.length} documents`;
  if (parseErrors.length > 0)
    return `No validation issues found when analyzing ${target} (but ${documents} could not be parsed).`;
  const shown = files.length > 1 ? `:\n  - ${files.join('\n  - ')}` : ` ${files[0] ?? target}.`;
  return `\u2714 No validation issues found when analyzing${shown}`;
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
