// RouteConfigurationInput -> RouteConfiguration with its provenance.
import { create } from '@bufbuild/protobuf';
import type { VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import {
  VirtualHost_TlsRequirementType,
  VirtualHostSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { Built, Provenance } from '../resource.ts';
import { buildRoute, routeOrigins } from './build-route.ts';
import type { RouteConfigurationInput, RouteHeaders, RouteInput, VirtualHostInput } from './route-input.ts';

/** What CFG lets a direct response hold; Envoy's own limit is 4 KiB. */
const directResponseBytesMax = 1024 * 1024;

export function buildRouteConfiguration(
  input: RouteConfigurationInput,
): Built<typeof RouteConfigurationSchema> {
  const message = create(RouteConfigurationSchema, {
    name: input.name,
    virtualHosts: input.virtualHosts.map((host) => buildVirtualHost(host, input.headers)),
    // A cluster may be on its way: requests to one that never comes get 503 NC.
    validateClusters: false,
    ignorePortInHostMatching: input.ignorePortInHostMatching,
    maxDirectResponseBodySizeBytes: directResponseBytesMax,
  });
  return new BuiltRoutes(input, message);
}

/** Provenance of thousands of routes takes as long as all else of them: made when somebody asks for it. */
class BuiltRoutes implements Built<typeof RouteConfigurationSchema> {
  readonly name: string;
  readonly message: RouteConfiguration;
  readonly #virtualHosts: readonly VirtualHostInput[];

  constructor({ name, virtualHosts }: RouteConfigurationInput, message: RouteConfiguration) {
    this.name = name;
    this.message = message;
    this.#virtualHosts = virtualHosts;
  }

  get provenance(): readonly Provenance[] {
    return virtualHostProvenance(this.#virtualHosts);
  }
}

// As with routes: after an edit only what it touches is built again.
const builtHosts = new WeakMap<VirtualHostInput, Map<string, VirtualHost>>();

/** The same message for the same input: nobody may change it. */
export function buildVirtualHost(input: VirtualHostInput, headers?: RouteHeaders): VirtualHost {
  const key = headers === undefined ? '' : `${headers.attemptCount}/${headers.forwardedHost}`;
  const variants = builtHosts.get(input) ?? new Map<string, VirtualHost>();
  const known = variants.get(key);
  if (known !== undefined) return known;
  const plain = makeVirtualHost(input);
  const host = headers === undefined ? plain : withHeaders(input, plain, headers);
  builtHosts.set(input, variants.set(key, host));
  return host;
}

/** Routes are shared with proxies that say otherwise, so that those that differ are copied. */
function withHeaders(
  { routes }: VirtualHostInput,
  host: VirtualHost,
  { attemptCount, forwardedHost }: RouteHeaders,
): VirtualHost {
  const forwards = (route: RouteInput): boolean =>
    route.kind === 'catch-all' || (route.kind === 'rule' && route.rule.rewrite !== undefined);
  return {
    ...host,
    includeRequestAttemptCount: attemptCount,
    routes: host.routes.map((route, index) => {
      const input = routes[index];
      if (!forwardedHost || input === undefined || !forwards(input) || route.action.case !== 'route')
        return route;
      const value = { ...route.action.value, appendXForwardedHost: true };
      return { ...route, action: { case: 'route', value } };
    }),
  };
}

function makeVirtualHost(input: VirtualHostInput): VirtualHost {
  return create(VirtualHostSchema, {
    name: input.name,
    domains: [...input.domains],
    routes: input.routes.map(buildRoute),
    includeRequestAttemptCount: true,
    requireTls: input.requireTls ? VirtualHost_TlsRequirementType.ALL : VirtualHost_TlsRequirementType.NONE,
  });
}

/** `prefix` stands before each place: the path of the route configuration within its resource. */
function virtualHostProvenance(
  virtualHosts: readonly VirtualHostInput[],
  prefix = '',
): readonly Provenance[] {
  const provenance: Provenance[] = [];
  for (const [index, host] of virtualHosts.entries()) {
    const at = `${prefix}virtualHosts[${index}]`;
    if (host.origin !== undefined) provenance.push({ at, origin: host.origin });
    for (const [place, route] of host.routes.entries()) {
      for (const part of routeOrigins(route)) {
        const routeAt = `${at}.routes[${place}]`;
        provenance.push({ at: part.at === '' ? routeAt : `${routeAt}.${part.at}`, origin: part.origin });
      }
    }
  }
  return provenance;
}
