// Reads SNI and ALPN out of the first bytes of a connection, without consuming them (RFC 8446 4.1.2, RFC
// 6066 3, RFC 7301 3.1). Nothing in it is trusted: every length is checked against what is there.

export type ClientHello =
  /** The bytes so far fit, and more are needed. */
  | { readonly kind: 'more' }
  | { readonly kind: 'not-tls' }
  | {
      readonly kind: 'hello';
      readonly serverName: string | undefined;
      readonly applicationProtocols: readonly string[];
    };

const more: ClientHello = { kind: 'more' };
const notTls: ClientHello = { kind: 'not-tls' };

const handshakeRecord = 22;
const clientHelloType = 1;
const serverNameExtension = 0;
const alpnExtension = 16;

/** Looks at the bytes from the start of a connection. */
export function readClientHello(bytes: Buffer): ClientHello {
  const handshake = joinRecords(bytes);
  if (handshake === undefined) return notTls;
  if (handshake.length < 4) return more;
  if (handshake[0] !== clientHelloType) return notTls;
  const length = handshake.readUIntBE(1, 3);
  if (handshake.length < 4 + length) return more;
  const reader = new Reader(handshake.subarray(4, 4 + length));
  reader.skip(2 + 32);
  reader.skip(reader.uint(1));
  reader.skip(reader.uint(2));
  reader.skip(reader.uint(1));
  let serverName: string | undefined;
  let applicationProtocols: readonly string[] = [];
  // A hello without extensions ends here.
  const extensions = reader.remaining === 0 ? new Reader(Buffer.alloc(0)) : reader.part(reader.uint(2));
  while (extensions.remaining > 0 && !extensions.broken) {
    const type = extensions.uint(2);
    const body = extensions.part(extensions.uint(2));
    if (type === serverNameExtension) serverName = readServerName(body);
    else if (type === alpnExtension) applicationProtocols = readProtocols(body);
    if (body.broken) return notTls;
  }
  if (reader.broken || extensions.broken) return notTls;
  return { kind: 'hello', serverName, applicationProtocols };
}

/** The handshake bytes of the leading handshake records; undefined if this is no TLS. */
function joinRecords(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] !== handshakeRecord) return parts.length > 0 ? Buffer.concat(parts) : undefined;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return undefined;
    if (at + 5 > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 16_384 + 256) return undefined;
    parts.push(bytes.subarray(at + 5, Math.min(at + 5 + length, bytes.length)));
    at += 5 + length;
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

function readServerName(body: Reader): string | undefined {
  const list = body.part(body.uint(2));
  while (list.remaining > 0 && !list.broken) {
    const type = list.uint(1);
    const name = list.bytes(list.uint(2));
    // A name with other than printable ASCII is no hostname: it must not reach matchers or logs.
    if (type === 0 && name !== undefined && /^[\x21-\x7e]{1,255}$/.test(name.toString('latin1'))) {
      return name.toString('latin1').toLowerCase();
    }
  }
  return undefined;
}

function readProtocols(body: Reader): string[] {
  const list = body.part(body.uint(2));
  const protocols: string[] = [];
  while (list.remaining > 0 && !list.broken) {
    const name = list.bytes(list.uint(1));
    if (name !== undefined && name.length > 0) protocols.push(name.toString('latin1'));
  }
  return protocols;
}

/** Reads forward; a read past the end makes it `broken` and gives zeros. */
class Reader {
  broken = false;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  uint(size: number): number {
    if (this.remaining < size) {
      this.#fail();
      return 0;
    }
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  skip(size: number): void {
    if (this.remaining < size) this.#fail();
    else this.#at += size;
  }

  bytes(size: number): Buffer | undefined {
    if (this.remaining < size) {
      this.#fail();
      return undefined;
    }
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  part(size: number): Reader {
    const bytes = this.bytes(size);
    const part = new Reader(bytes ?? Buffer.alloc(0));
    if (bytes === undefined) part.broken = true;
    return part;
  }

  #fail(): void {
    this.broken = true;
    this.#at = this.#bytes.length;
  }
}
