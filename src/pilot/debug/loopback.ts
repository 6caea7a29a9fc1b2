// Which clients are on this machine.

/** Of a socket's remote address; an IPv6 address may stand in brackets. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const bare = address.replace(/^\[(.*)\]$/, '$1');
  return /^(::ffff:)?127\./.test(bare) || bare === '::1';
}
