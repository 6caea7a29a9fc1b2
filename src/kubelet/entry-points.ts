// What a person may call first: addresses of the mesh that its gateways and routes answer.
import type { GatewaySpec, VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { ConfigStore } from '../config/store.ts';

export interface EntryPoint {
  /** Undefined: any host. */
  readonly host: string | undefined;
  readonly path: string;
}

const entryPointsMax = 5;

/** One for each VirtualService that is bound to a gateway: its first host and its first path. */
export function entryPoints(store: ConfigStore): EntryPoint[] {
  const found = store.list('VirtualService').flatMap(({ spec, namespace }) => {
    const { gateways = [], hosts = [], http = [] } = spec as VirtualServiceSpec;
    const bound = gateways.filter((gateway) => gateway !== 'mesh');
    const first = hosts[0];
    if (bound.length === 0 || first === undefined) return [];
    const host = first === '*' ? gatewayHost(store, bound[0] ?? '', namespace) : first;
    const uri = http[0]?.match?.[0]?.uri;
    const path = uri?.exact ?? uri?.prefix ?? '/';
    return [{ host: host?.replace(/^\*\./, 'www.'), path }];
  });
  return found.slice(0, entryPointsMax);
}

/** How to call it at the gateway's address: a URL, or a curl command where a host must be named. */
export function formatEntryPoint({ host, path }: EntryPoint, gatewayUrl: string): string {
  if (host === undefined) return `${gatewayUrl}${path}`;
  return `curl -H 'Host: ${host}' ${gatewayUrl}${path}`;
}

function gatewayHost(store: ConfigStore, gateway: string, namespace: string): string | undefined {
  const [first = '', second] = gateway.split('/');
  const config =
    second === undefined ? store.get('Gateway', namespace, first) : store.get('Gateway', first, second);
  const host = (config?.spec as GatewaySpec | undefined)?.servers?.[0]?.hosts?.[0]?.replace(/^.*\//, '');
  return host === '*' ? undefined : host;
}
