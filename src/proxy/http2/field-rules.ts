// What names and values of HTTP/2 fields may hold, and the numbers of pseudo headers.

/** 1 for bytes of a field name: RFC 9110's token without upper case (RFC 9113 section 8.2.1). */
export const regularNameByte = new Uint8Array(256);
for (const byte of Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", 'latin1'))
  regularNameByte[byte] = 1;

/** 1 for bytes of a field value: HTAB, SP to ~, and obs-text; so neither NUL, CR nor LF can reach HTTP/1.1. */
export const valueByte = new Uint8Array(256);
for (let byte = 0x20; byte < 256; byte++) valueByte[byte] = 1;
valueByte[0x7f] = 0;
valueByte[9] = 1;

/** Numbers of pseudo headers, where those of known names are positive and other names are 0. */
export const pseudo = {
  authority: -1,
  method: -2,
  path: -3,
  scheme: -4,
  status: -5,
  protocol: -6,
  unknown: -7,
} as const;

const kinds: ReadonlyMap<string, number> = new Map([
  [':authority', pseudo.authority],
  [':method', pseudo.method],
  [':path', pseudo.path],
  [':scheme', pseudo.scheme],
  [':status', pseudo.status],
  [':protocol', pseudo.protocol],
]);

/** The number of a name that starts with a colon. */
export function pseudoKind(name: string): number {
  return kinds.get(name) ?? pseudo.unknown;
}
