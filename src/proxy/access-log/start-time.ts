// %START_TIME(format)%: strftime, with Envoy's fractions of a second.
import { ConfigError } from '../config-error.ts';

export type TimeFormat = (epochMs: number) => string;

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** ISO 8601 with milliseconds when `format` is undefined. All times are UTC. Throws ConfigError. */
export function compileTimeFormat(format: string | undefined, field: string): TimeFormat {
  if (format === undefined || format === '') return cached((date) => date.toISOString());
  const parts = [...format.matchAll(/%(E?\d*[A-Za-z%])|[^%]+|%/g)].map((match) =>
    match[1] === undefined ? () => match[0] : specifier(match[1], field),
  );
  return cached((date) => parts.map((part) => part(date)).join(''));
}

/** Many requests start in the same millisecond. */
function cached(format: (date: Date) => string): TimeFormat {
  let lastMs = Number.NaN;
  let last = '';
  return (epochMs) => {
    if (epochMs !== lastMs) {
      last = format(new Date(epochMs));
      lastMs = epochMs;
    }
    return last;
  };
}

function specifier(name: string, field: string): (date: Date) => string {
  const fraction = /^(E?)(\d*)(f|S)$/.exec(name);
  if (fraction !== null && name !== 'S') {
    const digits = fraction[2] === '' ? 9 : Math.min(9, Number(fraction[2]));
    const withSeconds = fraction[3] === 'S';
    return (date) => {
      const text = String(date.getUTCMilliseconds()).padStart(3, '0').padEnd(9, '0').slice(0, digits);
      return withSeconds ? `${two(date.getUTCSeconds())}.${text}` : text;
    };
  }
  const make = specifiers[name];
  if (make === undefined) throw new ConfigError(field, `START_TIME: %${name} is not supported`);
  return make;
}

const specifiers: Readonly<Record<string, (date: Date) => string>> = {
  '%': () => '%',
  Y: (date) => String(date.getUTCFullYear()).padStart(4, '0'),
  y: (date) => two(date.getUTCFullYear() % 100),
  m: (date) => two(date.getUTCMonth() + 1),
  d: (date) => two(date.getUTCDate()),
  e: (date) => String(date.getUTCDate()).padStart(2, ' '),
  H: (date) => two(date.getUTCHours()),
  M: (date) => two(date.getUTCMinutes()),
  S: (date) => two(date.getUTCSeconds()),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  T: (date) => date.toISOString().slice(11, 19),
  F: (date) => date.toISOString().slice(0, 10),
  b: (date) => months[date.getUTCMonth()] ?? '',
  a: (date) => weekdays[date.getUTCDay()] ?? '',
  Z: () => 'UTC',
  z: () => '+0000',
};

function two(value: number): string {
  return String(value).padStart(2, '0');
}
