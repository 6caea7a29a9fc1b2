// On which ports of an inbound listener the inspectors look. Where they do not, servers that speak first can.
import type { ChainInput, InspectedPorts, ListenerInput } from './listener-input.ts';
import { plaintextHttp } from './inbound-matches.ts';

/** What the chains of one port need to know; port 0 stands for all the others. */
interface Needs {
  tls: boolean;
  http: boolean;
}

/** Source: Istio `populateListenerFilters`. */
export function inspectorsFor(
  chains: readonly ChainInput[],
): Pick<
  ListenerInput,
  'tlsInspector' | 'tlsInspectorPorts' | 'httpInspector' | 'httpInspectorDisabledPorts'
> {
  const needs = new Map<number, Needs>();
  for (const { match } of chains) {
    const port = match.destinationPort ?? 0;
    const known = needs.get(port) ?? { tls: false, http: false };
    needs.set(port, {
      tls: known.tls || match.transportProtocol === 'tls',
      http: known.http || plaintextHttp.some((name) => match.applicationProtocols?.includes(name) === true),
    });
  }
  const ports = [...needs].filter(([port]) => port !== 0).sort(([a], [b]) => a - b);
  const all = [...needs.values()];
  const tlsInspectorPorts = tlsPorts(needs.get(0)?.tls === true, ports);
  return {
    tlsInspector: all.some(({ tls }) => tls),
    ...(tlsInspectorPorts === undefined ? {} : { tlsInspectorPorts }),
    httpInspector: all.some(({ http }) => http),
    httpInspectorDisabledPorts: ports.flatMap(([port, { http }]) => (http ? [] : [port])),
  };
}

/** Undefined: everywhere. */
function tlsPorts(
  elsewhere: boolean,
  ports: readonly (readonly [number, Needs])[],
): InspectedPorts | undefined {
  const chosen = ports.flatMap(([port, { tls }]) => (tls === elsewhere ? [] : [port]));
  return chosen.length === 0 ? undefined : { on: elsewhere ? 'all-but' : 'only', ports: chosen };
}
