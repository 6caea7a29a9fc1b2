// Whether a connection speaks HTTP, from its first bytes, as Envoy's http_inspector decides it.

export type HttpPreface =
  /** The bytes so far fit, and more are needed. */
  'more' | 'not-http' | 'http/1.0' | 'http/1.1' | 'h2c';

const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const newline = 0x0a;
const space = 0x20;

/** Looks at the bytes from the start of a connection; the first line decides. */
export function readHttpPreface(bytes: Buffer): HttpPreface {
  const compared = Math.min(bytes.length, http2Preface.length);
  if (bytes.compare(http2Preface, 0, compared, 0, compared) === 0) {
    return compared === http2Preface.length ? 'h2c' : 'more';
  }
  const end = bytes.indexOf(newline);
  if (end < 0) return fitsRequestLine(bytes) ? 'more' : 'not-http';
  const line = bytes.toString('latin1', 0, end);
  const version = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\xff]+ HTTP\/1\.([01])\r?$/.exec(line)?.[1];
  if (version === undefined) return 'not-http';
  return version === '1' ? 'http/1.1' : 'http/1.0';
}

/** A method, and after it nothing but printable characters. */
function fitsRequestLine(bytes: Buffer): boolean {
  const methodEnd = bytes.indexOf(space);
  const method = bytes.toString('latin1', 0, methodEnd < 0 ? bytes.length : methodEnd);
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/.test(method) || methodEnd === 0) return false;
  for (let i = method.length; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte < space && byte !== 0x0d) return false;
  }
  return true;
}
