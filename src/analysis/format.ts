// Messages as people and programs read them.
import type { Message } from './analyzer.ts';
import type { Level } from './messages.ts';
import { friendlyName } from './object.ts';

const colours: Readonly<Record<Level, string>> = { Info: '', Warning: '\u001b[33m', Error: '\u001b[1;31m' };
const plain = '\u001b[0m';

/** `<Level> [<Code>] (<Kind> <namespace/name> <file>:<line>) <text>` */
export function formatMessage({ type, text, object, position }: Message, isColoured: boolean): string {
  const { level, code } = type;
  const shown = isColoured && colours[level] !== '' ? `${colours[level]}${level}${plain}` : level;
  const place = position === undefined ? '' : ` ${position.file}:${position.line}`;
  return `${shown} [${code}] (${oneLine(friendlyName(object))}${oneLine(place)}) ${oneLine(text)}`;
}

/** As istioctl's JSON and YAML: `code`, `level`, `origin`, `reference`, `message`, `documentationUrl`. */
export function messageValue({ type, text, object, position }: Message): Readonly<Record<string, unknown>> {
  const { level, code } = type;
  return {
    code,
    // Istio's pages have nothing on our own codes.
    ...(code.startsWith('IST')
      ? { documentationUrl: `https://istio.io/latest/docs/reference/config/analysis/${code.toLowerCase()}/` }
      : {}),
    level,
    message: text,
    origin: friendlyName(object),
    ...(position === undefined ? {} : { reference: `${position.file}:${position.line}` }),
  };
}

/** One message is one line, whatever stands in the user's text. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is replaced
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
