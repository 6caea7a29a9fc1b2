// `proxy-config log`: the levels of a proxy's loggers.
import { UserError } from '../base/user-error.ts';

const levels = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'];

/** What to ask of the proxy's /logging: all loggers first, then single ones. */
export interface LevelChange {
  /** undefined: all loggers. */
  readonly logger?: string;
  readonly level: string;
}

/**
 * Reads `debug`, `http:debug,router:trace` or `http=debug`. `current` is the proxy's answer, which names its
 * loggers. Throws a UserError, in istioctl's words, for an unknown level or logger.
 */
export function parseLevels(asked: string, current: string): readonly LevelChange[] {
  const loggers = loggersIn(current);
  const changes: LevelChange[] = [];
  for (const part of asked.split(',')) {
    // A scope of a namespace, `istio::http:debug`, means the logger after it.
    const [name, level] = (part.split('::').at(-1) ?? '').split(/[:=](.*)/s);
    if (level === undefined) {
      changes.unshift({ level: knownLevel(name ?? '') });
      continue;
    }
    if (name === 'level') changes.unshift({ level: knownLevel(level) });
    else if (name === undefined || !loggers.has(name))
      throw new UserError(
        `unrecognized logger name: ${name}; this proxy has ${[...loggers].join(', ') || 'none'}`,
      );
    else changes.push({ logger: name, level: knownLevel(level) });
  }
  return changes;
}

/** The query of /logging for one change. */
export function levelQuery(change: LevelChange): string {
  return `${encodeURIComponent(change.logger ?? 'level')}=${change.level}`;
}

function knownLevel(name: string): string {
  const level = name === 'warn' ? 'warning' : name;
  if (!levels.includes(level))
    throw new UserError(`unrecognized logging level: ${name}; levels are ${levels.join(', ')}`);
  return level;
}

/** `  http: warning` a line. */
function loggersIn(answer: string): ReadonlySet<string> {
  return new Set(
    [...answer.matchAll(/^\s*([\w.-]+):\s/gm)]
      .map((match) => match[1] ?? '')
      .filter((name) => name !== 'active'),
  );
}
