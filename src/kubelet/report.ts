// What a person at the terminal sees of a mesh: what runs where, what pods print, what goes wrong.
import type { Logger } from '../base/logger.ts';
import { silentLogger } from '../base/logger.ts';
import type { Diagnostic } from '../config/config.ts';
import { formatDiagnostic } from '../config/config.ts';
import type { EventSeverity, LocalPod } from './pod.ts';
import { proxyContainer } from './pod-factory.ts';

export interface ReportOptions {
  /** Takes one line without its newline. */
  readonly write: (line: string) => void;
  readonly colors: boolean;
  /** Milliseconds from an arbitrary origin. */
  readonly monotonicMs: () => number;
}

/** Colours that can be read on dark and on light backgrounds, none of them red or yellow. */
const podColors = [36, 35, 34, 32, 96, 95, 94, 92];
const warningColor = 33;
const errorColor = 31;
const dimColor = 2;
const prefixWidthMax = 40;

/** Writes to a terminal; keeps what it has to know in order to say everything once. */
export class Report {
  readonly #options: ReportOptions;
  readonly #startMs: number;
  readonly #ready = new Set<LocalPod>();
  readonly #logged = new Set<string>();
  #shownDiagnostics: ReadonlySet<string> = new Set();
  #prefixWidth = 0;

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#startMs = options.monotonicMs();
  }

  /** A heading and lines of `name  text`. */
  table(heading: string, rows: readonly (readonly [string, string])[]): void {
    const { write } = this.#options;
    const width = Math.max(...rows.map(([name]) => name.length));
    write(heading);
    for (const [name, text] of rows) write(`  ${name.padEnd(width)}  ${text}`);
  }

  /** A line of a pod's output. */
  line(pod: LocalPod, container: string, line: string): void {
    this.#options.write(`${this.#prefix(pod, container)} ${line}`);
  }

  event(pod: LocalPod, container: string, text: string, severity: EventSeverity): void {
    const color = severity === 'warning' ? warningColor : dimColor;
    this.#options.write(`${this.#prefix(pod, container)} ${this.#paint(color, text)}`);
  }

  notice(text: string): void {
    this.#options.write(text);
  }

  warn(text: string): void {
    this.#options.write(this.#paint(warningColor, text));
  }

  /** Says of each pod once when it becomes ready. */
  pods(pods: readonly LocalPod[]): void {
    for (const { facts } of pods) this.#widen(facts.name);
    for (const pod of pods) {
      if (!pod.ready || this.#ready.has(pod)) continue;
      this.#ready.add(pod);
      const { namespace, name, addresses } = pod.facts;
      const kind =
        pod.proxy === undefined ? 'no sidecar' : pod.containers.length === 0 ? 'gateway' : 'sidecar';
      this.#options.write(
        this.#paint(
          dimColor,
          `ready: ${namespace}/${name} at ${addresses.podIp} (${kind}), ${this.seconds()} s`,
        ),
      );
    }
    for (const pod of this.#ready) if (!pods.includes(pod)) this.#ready.delete(pod);
  }

  /** Writes each diagnostic when it appears, and says when the last one is gone. */
  diagnostics(diagnostics: readonly Diagnostic[]): void {
    const lines = new Map(
      diagnostics.map((diagnostic) => [formatDiagnostic(diagnostic), diagnostic.severity]),
    );
    for (const [line, severity] of lines)
      if (!this.#shownDiagnostics.has(line) && !this.#logged.has(line)) this.#problem(severity, line);
    // What the logger said is known from here on as a diagnostic, if it is one.
    this.#logged.clear();
    if (lines.size === 0 && this.#shownDiagnostics.size > 0)
      this.#options.write('all configuration is good again');
    this.#shownDiagnostics = new Set(lines.keys());
  }

  /** A logger that writes here, and leaves out what stands there as a diagnostic already. */
  logger(): Logger {
    const write = (severity: 'error' | 'warning', message: string): void => {
      if (this.#shownDiagnostics.has(message) || this.#logged.has(message)) return;
      this.#logged.add(message);
      this.#problem(severity, message);
    };
    return {
      ...silentLogger,
      warn: (message) => write('warning', message),
      error: (message) => write('error', message),
      child: () => this.logger(),
    };
  }

  #problem(severity: 'error' | 'warning', text: string): void {
    const color = severity === 'error' ? errorColor : warningColor;
    this.#options.write(this.#paint(color, `${severity}: ${text}`));
  }

  /** Since the start, with one digit. */
  seconds(): string {
    return ((this.#options.monotonicMs() - this.#startMs) / 1000).toFixed(1);
  }

  #prefix(pod: LocalPod, container: string): string {
    const only = pod.containers.length <= 1 && container !== proxyContainer;
    const name = only ? pod.facts.name : `${pod.facts.name}/${container}`;
    this.#widen(name);
    return this.#paint(colorOf(pod.facts.name), `${name.padEnd(this.#prefixWidth)} |`);
  }

  /** All prefixes have the width of the longest so far, so that the texts stand in one column. */
  #widen(name: string): void {
    this.#prefixWidth = Math.min(prefixWidthMax, Math.max(this.#prefixWidth, name.length));
  }

  #paint(color: number, text: string): string {
    return this.#options.colors ? `\u001b[${color}m${text}\u001b[0m` : text;
  }
}

function colorOf(name: string): number {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 65_521;
  return podColors[sum % podColors.length] ?? dimColor;
}
