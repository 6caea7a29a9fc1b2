// Which clients are on this machine.
import { isIPv4 } from 'node:net';

/**
 * Of an address, such as a socket's remote one; an IPv6 address may stand in brackets. A name is no address, whatever
 * it begins with: `127.0.0.1.example.com` leads to wherever its owner likes.
 */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const bare = address.replace(/^\[(.*)\]$/, '$1');
  const plain = bare.replace(/^::ffff:/i, '');
  return isIPv4(plain) ? plain.startsWith('127.') : bare === '::1';
}
