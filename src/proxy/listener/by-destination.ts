// Which listener a connection goes to that was handed over with its original destination (use_original_dst).
import type { SocketAddress } from '../io/socket-address.ts';

/**
 * Exact address and port, then the port on every address of the destination's family: `0.0.0.0` takes no IPv6.
 * The first of several.
 */
export function findByDestination<Listener extends { readonly addresses: readonly SocketAddress[] }>(
  listeners: Iterable<Listener>,
  destination: Pick<SocketAddress, 'address' | 'port'>,
): Listener | undefined {
  const every = destination.address.includes(':') ? '::' : '0.0.0.0';
  let wildcard: Listener | undefined;
  for (const listener of listeners) {
    for (const address of listener.addresses) {
      if (address.port !== destination.port) continue;
      if (address.address === destination.address) return listener;
      if (address.address === every) wildcard ??= listener;
    }
  }
  return wildcard;
}
