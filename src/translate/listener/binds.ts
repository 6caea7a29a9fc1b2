// The addresses that a proxy's listeners bind, by the families of its own addresses.
import { isIP } from 'node:net';
import type { ProxyScope } from '../resource.ts';
import type { SocketAddressInput } from './listener-input.ts';

export const wildcardAddress = '0.0.0.0';
const wildcardAddressV6 = '::';

/** The first is a listener's own address, after which it is named; others are added to it (dual stack). */
export type Binds = readonly [string, ...string[]];

/** Every address: of IPv4, of IPv6 where the proxy has no other, or of both. */
export function wildcards({ node }: ProxyScope): Binds {
  const families = new Set(node.ipAddresses.map((address) => isIP(address)));
  if (!families.has(6)) return [wildcardAddress];
  return families.has(4) ? [wildcardAddress, wildcardAddressV6] : [wildcardAddressV6];
}

/** Where clients on the proxy's own machine reach it. */
export function localHosts(scope: ProxyScope): Binds {
  const [first, ...more] = wildcards(scope).map((address) =>
    address === wildcardAddress ? '127.0.0.1' : '::1',
  );
  return [first ?? '127.0.0.1', ...more];
}

/** What captured connections are handed to: every address, or under LOOPBACK the pod's own alone. */
export function captureBinds(scope: ProxyScope): Binds {
  return scope.node.interceptionMode === 'LOOPBACK' ? [bindAddress(scope)] : wildcards(scope);
}

/** The one address of listeners that have but one: all of the pod's, or under LOOPBACK the pod's own alone. */
export function bindAddress(scope: ProxyScope): string {
  const { interceptionMode, ipAddresses } = scope.node;
  return interceptionMode === 'LOOPBACK' ? (ipAddresses[0] ?? wildcardAddress) : wildcards(scope)[0];
}

/** The pod's address that others call it by. Source: Istio `getSidecarInboundBindIPs`. */
export function instanceBinds(scope: ProxyScope): Binds {
  const own = scope.node.ipAddresses.find(
    (address) => !/^(?:127\.|169\.254\.|0\.|::1?$|fe80:|ff)/i.test(address),
  );
  return own === undefined ? captureBinds(scope) : [own];
}

/** A listener's address and additional addresses on one port. */
export function addressesOn(
  [first, ...more]: Binds,
  port: number,
): {
  readonly address: SocketAddressInput;
  readonly additionalAddresses: readonly SocketAddressInput[];
} {
  return {
    address: { address: first, port },
    additionalAddresses: more.map((address) => ({ address, port })),
  };
}

/** `0.0.0.0_80`; of a socket its path. */
export function listenerName(bind: string, port: number): string {
  return `${bind}_${port}`;
}
