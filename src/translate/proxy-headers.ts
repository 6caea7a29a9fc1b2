// Which headers a proxy writes: its own ProxyConfig's word, or the mesh's.
import type { ProxyHeaders } from '../model/proxy-headers.ts';
import { readProxyHeaders } from '../model/proxy-headers.ts';
import type { ProxyScope } from './resource.ts';
import type { RouteConfigurationInput } from './route/route-input.ts';
import type { World } from './world.ts';

const standard = readProxyHeaders();

export function proxyHeadersOf(world: World, { node }: ProxyScope): ProxyHeaders {
  const { proxyHeaders } = world.meshConfig().defaultConfig;
  return node.proxyHeaders ?? (proxyHeaders === undefined ? standard : readProxyHeaders(proxyHeaders));
}

/** Left out where the proxy has nothing else than others to say. */
export function routeHeaders(world: World, scope: ProxyScope): Pick<RouteConfigurationInput, 'headers'> {
  const { attemptCount, forwardedHost } = proxyHeadersOf(world, scope);
  return attemptCount && !forwardedHost ? {} : { headers: { attemptCount, forwardedHost } };
}
