// What a person may call first: addresses of the mesh that its gateways and routes answer.
import type { GatewaySpec, VirtualServiceSpec } from '../api/gen/istio-types.js';
import { kubeGatewayKind } from '../config/config.ts';
import type { HttpRouteSpec, KubeGatewaySpec } from '../config/gateway-api-types.ts';
import type { IngressSpec } from '../config/ingress-types.ts';
import type { ConfigStore } from '../config/store.ts';

export interface EntryPoint {
  /** Undefined: any host. */
  readonly host: string | undefined;
  readonly path: string;
}

const entryPointsMax = 5;

/** One for each VirtualService, HTTPRoute and Ingress that is bound to a gateway: its first host and its first path. */
export function entryPoints(store: ConfigStore): EntryPoint[] {
  return [...ofVirtualServices(store), ...ofHttpRoutes(store), ...ofIngresses(store)].slice(
    0,
    entryPointsMax,
  );
}

function ofVirtualServices(store: ConfigStore): EntryPoint[] {
  return store.list('VirtualService').flatMap(({ spec, namespace }) => {
    const { gateways = [], hosts = [], http = [] } = spec as VirtualServiceSpec;
    const bound = gateways.filter((gateway) => gateway !== 'mesh');
    const first = hosts[0];
    if (bound.length === 0 || first === undefined) return [];
    const host = first === '*' ? gatewayHost(store, bound[0] ?? '', namespace) : first;
    const uri = http[0]?.match?.[0]?.uri;
    const path = uri?.exact ?? uri?.prefix ?? '/';
    return [{ host: example(host), path }];
  });
}

function ofHttpRoutes(store: ConfigStore): EntryPoint[] {
  return store.list('HTTPRoute').flatMap(({ spec, namespace }) => {
    const { parentRefs = [], hostnames = [], rules = [] } = spec as HttpRouteSpec;
    const parent = parentRefs.find(({ kind = 'Gateway' }) => kind === 'Gateway');
    if (parent === undefined) return [];
    const gateway = store.get(kubeGatewayKind, parent.namespace ?? namespace, parent.name);
    const listeners = (gateway?.spec as KubeGatewaySpec | undefined)?.listeners ?? [];
    const host = hostnames[0] ?? listeners.find(({ hostname }) => hostname !== undefined)?.hostname;
    return [{ host: example(host), path: rules[0]?.matches?.[0]?.path?.value ?? '/' }];
  });
}

function ofIngresses(store: ConfigStore): EntryPoint[] {
  return store.list('Ingress').flatMap(({ spec }) => {
    const rule = (spec as IngressSpec).rules?.find(({ http }) => http !== undefined);
    if (rule === undefined) return [];
    const path = rule.http?.paths[0]?.path ?? '/';
    return [{ host: example(rule.host), path: path.replace(/\*$/, '') }];
  });
}

/** A name that a wildcard covers. */
function example(host: string | undefined): string | undefined {
  return host?.replace(/^\*\./, 'www.');
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
