// Addresses for pods that share one machine: every pod gets a pair of loopback addresses.

export interface PodAddresses {
  /** What the mesh calls the pod by: the sidecar listens here, or the app of a pod without one. */
  readonly podIp: string;
  /** Where the app of a pod with a sidecar listens. */
  readonly appAddress: string;
}

/** `127.66.0.0/15`: its lower half for pods, its upper half for their apps. */
export const defaultAddressRange = '127.66.0.0/15';

interface Halves {
  readonly podBase: number;
  readonly appBase: number;
  /** Pairs in the range; the first and the last of each half are not given out. */
  readonly size: number;
}

/**
 * Gives out pairs in order and comes back to a returned one as late as it can: somebody may still
 * hold a connection, or an old endpoint, to the pod that had it.
 */
export class AddressAllocator {
  readonly #halves: Halves;
  readonly #taken = new Set<number>();
  #next = 1;

  /** Throws Error on a range that `parseAddressRange` refuses. */
  constructor(range: string = defaultAddressRange) {
    this.#halves = parseAddressRange(range);
  }

  /** The range's own first address: never a pod's. */
  get networkAddress(): string {
    return formatIpv4(this.#halves.podBase);
  }

  /** Throws Error when every pair is taken. */
  allocate(): PodAddresses {
    const last = this.#halves.size - 2;
    for (let tried = 0; tried < last; tried++) {
      const index = this.#next;
      this.#next = index >= last ? 1 : index + 1;
      if (this.#taken.has(index)) continue;
      this.#taken.add(index);
      return {
        podIp: formatIpv4(this.#halves.podBase + index),
        appAddress: formatIpv4(this.#halves.appBase + index),
      };
    }
    throw new Error(`no address is left for another pod: all ${last} of the range are taken`);
  }

  release(addresses: PodAddresses): void {
    const address = parseIpv4(addresses.podIp);
    if (address !== undefined) this.#taken.delete(address - this.#halves.podBase);
  }
}

/**
 * `127.66.0.0/15`, or for short `127.66`, which is `127.66.0.0/16`. Throws Error unless it is an IPv4
 * network inside 127.0.0.0/8 of /9 to /29, beyond 127.0.0.0/16.
 */
export function parseAddressRange(range: string): Halves {
  const [text = '', prefixText = ''] = (/^127\.\d+$/.test(range) ? `${range}.0.0/16` : range).split('/');
  const address = parseIpv4(text);
  const prefix = /^\d{1,2}$/.test(prefixText) ? Number(prefixText) : 0;
  const size = 2 ** (32 - prefix);
  const fits = address !== undefined && prefix >= 9 && prefix <= 29 && address % size === 0;
  if (!fits || Math.floor(address / 2 ** 24) !== 127 || address < 127 * 2 ** 24 + 2 ** 16) {
    throw new Error(
      `the address range ${range} cannot be used: give a network of loopback addresses with a prefix of /9 to /29 outside 127.0.0.0/16, such as ${defaultAddressRange}`,
    );
  }
  return { podBase: address, appBase: address + size / 2, size: size / 2 };
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255))
    return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
