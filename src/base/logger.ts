// Logging in the form of Istio's components: `2026-01-01T00:00:00.000000Z\tinfo\tscope\tmessage`.
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';

export const logLevels = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface Logger {
  readonly scope: string;
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Whether a message of this level would be written: ask before building a costly one. */
  enabled(level: LogLevel): boolean;
  /** A logger whose scope is `scope`, with the same sink and its own level. */
  child(scope: string): Logger;
}

export interface LoggerOptions {
  readonly level?: LogLevel;
  readonly clock?: Clock;
  /** Takes one line without its newline. Default: stderr. */
  readonly write?: (line: string) => void;
}

/** The levels of all scopes of one process; `/logging` changes them while it runs. */
export class LoggerRegistry {
  readonly #levels = new Map<string, LogLevel>();
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  #defaultLevel: LogLevel;

  constructor(options: LoggerOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#write = options.write ?? ((line) => void process.stderr.write(`${line}\n`));
    this.#defaultLevel = options.level ?? 'info';
  }

  logger(scope: string): Logger {
    if (!this.#levels.has(scope)) this.#levels.set(scope, this.#defaultLevel);
    const enabled = (level: LogLevel): boolean =>
      logLevels.indexOf(level) >= logLevels.indexOf(this.#levels.get(scope) ?? this.#defaultLevel);
    const log = (level: LogLevel, message: string): void => {
      if (!enabled(level)) return;
      // A line is one event: what a peer sent must not be able to start another (log injection).
      const oneLine = message.replaceAll(/[\r\n]+/g, '\\n').replaceAll(control, escaped);
      this.#write(`${new Date(this.#clock.now()).toISOString()}\t${level}\t${scope}\t${oneLine}`);
    };
    return {
      scope,
      debug: (message) => log('debug', message),
      info: (message) => log('info', message),
      warn: (message) => log('warning', message),
      error: (message) => log('error', message),
      enabled,
      child: (childScope) => this.logger(childScope),
    };
  }

  /** Scope -> level, sorted by scope. */
  levels(): readonly (readonly [string, LogLevel])[] {
    return [...this.#levels].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Sets one scope, or all of them (and the ones to come). Returns false for an unknown scope. */
  setLevel(level: LogLevel, scope?: string): boolean {
    if (scope !== undefined) {
      if (!this.#levels.has(scope)) return false;
      this.#levels.set(scope, level);
      return true;
    }
    this.#defaultLevel = level;
    for (const known of this.#levels.keys()) this.#levels.set(known, level);
    return true;
  }
}

/** What terminals and other readers of lines take for more than text, but for the tab: C0, C1, line separators. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g;

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** A logger that writes nothing. */
export const silentLogger: Logger = new LoggerRegistry({ level: 'off', write: () => {} }).logger('silent');
