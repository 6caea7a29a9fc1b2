// An IP address and port of one end of a connection.

/** `text` is what Envoy prints: `10.0.0.1:80`, `[::1]:80`. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
  readonly text: string;
}

/** Any textual IP address; an IPv4-mapped IPv6 address is shown as IPv4 (traps row 19). */
export function socketAddress(address: string, port: number): SocketAddress {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  return { address: plain, port, text: plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}` };
}

export const unknownAddress: SocketAddress = { address: '0.0.0.0', port: 0, text: '-' };
