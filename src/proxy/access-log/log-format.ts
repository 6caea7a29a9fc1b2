// Access log formats, TEXT and JSON, compiled to one function that makes a line. Whatever a peer sent is
// escaped, so that it can neither end a line nor a quoted part of it (traps row 20).
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { ConfigError } from '../config-error.ts';
import type { StreamInfo } from '../stream-info.ts';
import type { Operator, OperatorContext } from './operators.ts';
import { compileOperator } from './operators.ts';

/** Makes one line with its newline, one character for each byte. */
export type LineFormat = (info: StreamInfo) => string;

/** Envoy's default, used where a log names no format. */
export const defaultTextFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** Throws ConfigError. With `omitEmpty` absent values print as nothing, not as `-`. */
export function compileTextFormat(
  format: string,
  omitEmpty: boolean,
  context: OperatorContext,
  field: string,
): LineFormat {
  const parts = parseFormat(format, context, field);
  const absent = omitEmpty ? '' : '-';
  // Runs of [text, operator] pairs: a line is made by one loop over flat arrays.
  const texts: string[] = [''];
  const operators: FormatPart[] = [];
  for (const part of parts) {
    if (typeof part === 'string') {
      texts[texts.length - 1] += part;
      continue;
    }
    operators.push(part);
    texts.push('');
  }
  return (info) => {
    let line = texts[0]!;
    for (let i = 0; i < operators.length; i++) {
      const { operator, lengthMax } = operators[i] as OperatorPart;
      const value = operator(info);
      if (value === undefined || value === '') line += absent;
      else if (typeof value === 'number') line += value;
      else line += escapeText(lengthMax === undefined ? value : value.slice(0, lengthMax));
      line += texts[i + 1]!;
    }
    return line;
  };
}

/** Objects nest; a value that is one operator keeps its type. Throws ConfigError. */
export function compileJsonFormat(
  format: JsonObject,
  omitEmpty: boolean,
  sortKeys: boolean,
  context: OperatorContext,
  field: string,
): LineFormat {
  const write = compileJsonValue(format, omitEmpty, sortKeys, context, field);
  return (info) => `${toBytes(write(info) ?? '{}')}\n`;
}

interface OperatorPart {
  readonly operator: Operator;
  readonly lengthMax: number | undefined;
}

type FormatPart = string | OperatorPart;

function parseFormat(format: string, context: OperatorContext, field: string): FormatPart[] {
  const parts: FormatPart[] = [];
  for (let at = 0; at < format.length;) {
    const percent = format.indexOf('%', at);
    if (percent !== at) {
      const end = percent < 0 ? format.length : percent;
      parts.push(toBytes(format.slice(at, end)));
      at = end;
      continue;
    }
    if (format[at + 1] === '%') {
      parts.push('%');
      at += 2;
      continue;
    }
    const match = /^%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%/.exec(format.slice(at));
    if (match === null) {
      throw new ConfigError(
        field,
        `cannot read the operator at ${JSON.stringify(format.slice(at, at + 30))}; the form is %NAME(argument):length%, and %% for a percent sign`,
      );
    }
    const [whole, name = '', argument, length] = match;
    parts.push({
      operator: compileOperator(name, argument, context, field),
      lengthMax: length === undefined ? undefined : Number(length),
    });
    at += whole.length;
  }
  return parts;
}

/** Gives JSON text, or undefined where the value is absent and to be left out. */
type JsonWriter = (info: StreamInfo) => string | undefined;

function compileJsonValue(
  value: JsonValue,
  omitEmpty: boolean,
  sortKeys: boolean,
  context: OperatorContext,
  field: string,
): JsonWriter {
  if (typeof value === 'string') return compileJsonText(value, omitEmpty, context, field);
  if (value === null || typeof value !== 'object') {
    const text = JSON.stringify(value);
    return () => text;
  }
  if (Array.isArray(value)) {
    const items = value.map((item, index) =>
      compileJsonValue(item, omitEmpty, sortKeys, context, `${field}[${index}]`),
    );
    return (info) => `[${items.map((item) => item(info) ?? 'null').join(',')}]`;
  }
  const entries = Object.entries(value).map(
    ([key, item]) =>
      [JSON.stringify(key), compileJsonValue(item, omitEmpty, sortKeys, context, `${field}.${key}`)] as const,
  );
  if (sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return (info) => {
    let text = '';
    for (const [key, write] of entries) {
      const item = write(info);
      if (item !== undefined) text += `${text === '' ? '' : ','}${key}:${item}`;
    }
    return `{${text}}`;
  };
}

function compileJsonText(
  format: string,
  omitEmpty: boolean,
  context: OperatorContext,
  field: string,
): JsonWriter {
  const parts = parseFormat(format, context, field);
  const only = parts[0];
  if (parts.length === 1 && only !== undefined && typeof only !== 'string') {
    return (info) => {
      const value = only.operator(info);
      if (value === undefined) return omitEmpty ? undefined : 'null';
      if (typeof value === 'number') return String(value);
      return jsonString(only.lengthMax === undefined ? value : value.slice(0, only.lengthMax));
    };
  }
  return (info) => {
    let text = '';
    for (const part of parts) {
      if (typeof part === 'string') {
        text += part;
        continue;
      }
      const value = String(part.operator(info) ?? (omitEmpty ? '' : '-'));
      text += part.lengthMax === undefined ? value : value.slice(0, part.lengthMax);
    }
    return jsonString(text);
  };
}

const plainText = /^[\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]*$/;

/** Quotes, backslashes and everything that is not a printable byte. */
function escapeText(value: string): string {
  if (plainText.test(value)) return value;
  // eslint-disable-next-line no-control-regex
  return value.replaceAll(/["\\\u0000-\u001f\u007f\u0100-\uffff]/g, (character) => {
    if (character === '"' || character === '\\') return `\\${character}`;
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Bytes of a peer are read as UTF-8; what is none becomes U+FFFD. */
function jsonString(bytes: string): string {
  const text = /^[\x20-\x7e]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
  return JSON.stringify(text);
}

/** Text of the configuration as one character for each of its UTF-8 bytes. */
function toBytes(text: string): string {
  return /^[\t\n\x20-\x7e]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}
