// Which chains and filters of a listener a patch is about.
import type { Filter, FilterChain } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { HttpFilter } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';

/** The listeners to which iptables hands connections of any port. */
export function isVirtual(name: string): boolean {
  return name === 'virtualInbound' || name === 'virtualOutbound';
}

export function matchesChain({ name }: Listener, chain: FilterChain, { match }: EnvoyPatch): boolean {
  const listener = match.listener;
  if (listener === undefined) return true;
  const own = chain.filterChainMatch;
  const port = listener.portNumber ?? 0;
  if (isVirtual(name) && port > 0 && own?.destinationPort !== port) return false;
  const wanted = listener.filterChain;
  if (wanted === undefined) return true;
  const { name: chainName = '', sni = '', transportProtocol = '', applicationProtocols = '' } = wanted;
  if (chainName !== '' && chainName !== chain.name) return false;
  if (sni !== '' && own?.serverNames.includes(sni) !== true) return false;
  if (transportProtocol !== '' && own?.transportProtocol !== transportProtocol) return false;
  if (applicationProtocols !== '') {
    const all = applicationProtocols.split(',');
    if (!all.every((protocol) => own?.applicationProtocols.includes(protocol) === true)) return false;
  }
  const destinationPort = wanted.destinationPort ?? 0;
  return destinationPort === 0 || own?.destinationPort === destinationPort;
}

/** Whether the patch names a network filter. */
export function namesNetworkFilter({ match }: EnvoyPatch): boolean {
  return match.listener?.filterChain?.filter !== undefined;
}

export function matchesNetworkFilter({ name }: Filter, patch: EnvoyPatch): boolean {
  return !namesNetworkFilter(patch) || (patch.match.listener?.filterChain?.filter?.name ?? '') === name;
}

/** Whether the patch names an HTTP filter. */
export function namesHttpFilter({ match }: EnvoyPatch): boolean {
  return match.listener?.filterChain?.filter?.subFilter !== undefined;
}

export function matchesHttpFilter({ name }: HttpFilter, patch: EnvoyPatch): boolean {
  const wanted = patch.match.listener?.filterChain?.filter?.subFilter;
  return wanted === undefined || (wanted.name ?? '') === name;
}
