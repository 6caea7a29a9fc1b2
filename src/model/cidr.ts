// Ranges of addresses: `10.0.0.0/8`, `fd00::/8`, and addresses alone.
import { isIP } from 'node:net';

export interface Cidr {
  /** The first address of the range, in its shortest form. */
  readonly address: string;
  readonly prefixLength: number;
}

/** The range with its insignificant bits cleared, so that equal ranges have equal texts; undefined for other texts. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = isIP(address);
  const bits = family === 4 ? 32 : 128;
  const length = slash < 0 ? String(bits) : text.slice(slash + 1);
  // Zones (`fe80::1%eth0`) belong to one machine.
  if (family === 0 || address.includes('%') || !/^\d{1,3}$/.test(length) || Number(length) > bits)
    return undefined;
  const hostBits = BigInt(bits - Number(length));
  const network = (toNumber(address, family) >> hostBits) << hostBits;
  return { address: toText(network, family), prefixLength: Number(length) };
}

export function formatCidr({ address, prefixLength }: Cidr): string {
  return `${address}/${prefixLength}`;
}

function toNumber(address: string, family: number): bigint {
  if (family === 4) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  return groupsOf(address).reduce((sum, group) => sum * 65_536n + BigInt(group), 0n);
}

/** The eight groups of an IPv6 address; its last two may be written as an IPv4 address. */
function groupsOf(address: string): readonly number[] {
  const [head = '', tail] = address.split('::');
  const groups = (part: string): number[] =>
    part.split(':').flatMap((group) => {
      if (!group.includes('.')) return group === '' ? [] : [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
      return [a * 256 + b, c * 256 + d];
    });
  const first = groups(head);
  const last = groups(tail ?? '');
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}

function toText(number: bigint, family: number): string {
  const size = family === 4 ? 8n : 16n;
  const count = family === 4 ? 4 : 8;
  const parts = Array.from({ length: count }, (_part, index) =>
    Number((number >> (size * BigInt(count - 1 - index))) & ((1n << size) - 1n)),
  );
  if (family === 4) return parts.join('.');
  // URLs have the shortest form (RFC 5952) for us.
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(':')}]/`).hostname.slice(1, -1);
}
