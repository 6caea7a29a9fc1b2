// Addresses for ServiceEntries that have none: proxies that answer DNS themselves give them to the application,
// so that TCP services of one port can be told apart.
import type { ServiceEntryConfig } from '../config/config.ts';
import { isWildcard } from '../model/hostname.ts';
import type { Service } from '../model/service.ts';

export type AllocatedAddresses = NonNullable<Service['allocatedAddresses']>;

/** Addresses of 240.240.0.0/16, which nothing outside a pod has, but for those that end in 0 and in 255. */
const slots = 256 * 254;
/** The largest prime below `slots`: any step of less than it meets every slot. */
const prime = 65_011;

/**
 * Whether addresses are given to this host: not where the user names some, chose not to have any, or the connection's
 * own address leads on (NONE). A wildcard has no address. Source: Istio `ShouldV2AutoAllocateIP`.
 */
export function takesAllocated(config: ServiceEntryConfig, hostname: string): boolean {
  const { spec, labels } = config;
  return (
    (spec.addresses ?? []).length === 0 &&
    (spec.resolution ?? 'NONE') !== 'NONE' &&
    labels['networking.istio.io/enable-autoallocate-ip'] !== 'false' &&
    !isWildcard(hostname)
  );
}

/** Those that a controller has written into the object's status for this host. */
export function writtenAddresses(
  { status }: ServiceEntryConfig,
  hostname: string,
): AllocatedAddresses | undefined {
  const { addresses = [] } = (status ?? {}) as {
    readonly addresses?: readonly { readonly value?: string; readonly host?: string }[];
  };
  const own = addresses.flatMap(({ value, host }) =>
    value !== undefined && host?.toLowerCase() === hostname ? [value] : [],
  );
  const v4 = own.find((address) => !address.includes(':'));
  const v6 = own.find((address) => address.includes(':'));
  if (v4 === undefined && v6 === undefined) return undefined;
  return { ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) };
}

/**
 * Addresses for `namespace/hostname` keys. Each is a hash of its key; of keys whose hashes meet, the first in sorted
 * order keeps it, and the others step on by a second hash. So other services hardly ever change one, and every control
 * plane gives the same. Keys beyond the range get none. Source: Istio `autoAllocateIPs`.
 */
export function allocateAddresses(keys: readonly string[]): ReadonlyMap<string, AllocatedAddresses> {
  const used = new Set<number>();
  const allocated = new Map<string, AllocatedAddresses>();
  for (const key of [...new Set(keys)].sort()) {
    const hash = fnv1a(key);
    const step = prime - (hash % prime);
    for (let tries = 0; tries < slots; tries++) {
      const slot = (hash + tries * step) % slots;
      // The one that would end in 0.
      if (used.has(slot) || (slot + 1) % 255 === 0) continue;
      used.add(slot);
      allocated.set(key, addressesOf(slot + 1));
      break;
    }
  }
  return allocated;
}

function addressesOf(number: number): AllocatedAddresses {
  const third = Math.floor(number / 255);
  const fourth = number % 255;
  const low = `${third === 0 ? '' : third.toString(16)}${fourth.toString(16)}`;
  return { v4: `240.240.${third}.${fourth}`, v6: `2001:2::f0f0:${low}` };
}

/** The 32-bit FNV-1a hash of a text. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
