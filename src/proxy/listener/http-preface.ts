// Whether a connection speaks HTTP, from its first bytes, as Envoy's http_inspector decides it.

export type HttpPreface =
  /** The bytes so far fit, and more are needed. */
  'more' | 'not-http' | 'http/1.0' | 'http/1.1' | 'h2c';

const http2Preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const newline = 0x0a;

/** Looks at the bytes from the start of a connection; the first line decides. */
export function readHttpPreface(bytes: Buffer): HttpPreface {
  const compared = Math.min(bytes.length, http2Preface.length);
  if (bytes.compare(http2Preface, 0, compared, 0, compared) === 0) {
    return compared === http2Preface.length ? 'h2c' : 'more';
  }
  const end = bytes.indexOf(newline);
  if (end < 0) return fitsRequestLine(bytes) ? 'more' : 'not-http';
  const [, method = '', target = '', version] = requestLine.exec(bytes.toString('latin1', 0, end)) ?? [];
  if (version === undefined || !isTarget(target, method === 'CONNECT')) return 'not-http';
  return version === '1' ? 'http/1.1' : 'http/1.0';
}

/**
 * Envoy's parser takes any run of white space after the method, and of control characters too around the version,
 * which may even be the end of the target.
 */
const requestLine =
  // oxlint-disable-next-line no-control-regex -- see above
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)[\t\v\f\r ]+([^\0-\x20]+?)[\0-\x20]*HTTP\/1\.([01])[\0-\x20]*$/;

/** Looser than RFC 9112: what Envoy's HTTP/1 parser lets through. */
function isTarget(target: string, isConnect: boolean): boolean {
  if (/^[/*][!-~]*$/.test(target)) return true;
  const rest = isConnect ? target : /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(.*)$/.exec(target)?.[1];
  return (
    rest !== undefined &&
    /^[!$%&'()*+,\-.:;=@[\]_~0-9A-Za-z]*(?:[/?][!-~]*)?$/.test(rest) &&
    !/^[^/?]*@@/.test(rest)
  );
}

/** A method, and after it nothing that no request line has. */
function fitsRequestLine(bytes: Buffer): boolean {
  const text = bytes.toString('latin1');
  // oxlint-disable-next-line no-control-regex -- see requestLine
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[\t\v\f\r ][\0-\x7e]*)?$/.test(text);
}
