// RouteConfigurations: RDS.
import { RouteConfigurationSchema } from '../api/gen/envoy/config/route/v3/route_pb.js';
import { listenerInputs } from './listeners.ts';
import type { ListenerInput } from './listener/listener-input.ts';
import { routeHeaders } from './proxy-headers.ts';
import type { ResourceKind } from './resource.ts';
import { kindOfParts } from './resource.ts';
import { gatewayRouteInput } from './route/gateway-routes.ts';
import { buildRouteConfiguration } from './route/route-configuration.ts';
import type { RouteConfigurationInput } from './route/route-input.ts';
import { sidecarRouteInput } from './route/sidecar-routes.ts';
import { routeScope } from './views.ts';

/**
 * `names` are those that the proxy's listeners name. `input` answers any name: one that no listener has
 * (any more) gets no virtual hosts, for a proxy that asked waits for an answer, and connections that drain
 * still ask (T18).
 */
export const routes: ResourceKind<RouteConfigurationInput, typeof RouteConfigurationSchema> = kindOfParts(
  { schema: RouteConfigurationSchema, shortName: 'RDS', build: buildRouteConfiguration },
  [
    {
      name: '',
      viewOf: routeScope,
      names(world, view) {
        const names = new Set<string>();
        for (const listener of listenerInputs(world, view).values())
          for (const name of routeNamesOf(listener)) names.add(name);
        return [...names].sort();
      },
      input(world, view, name) {
        const input =
          view.node.type === 'router'
            ? gatewayRouteInput(world, view, name)
            : sidecarRouteInput(world, view, name);
        return { ...input, ...routeHeaders(world, view) };
      },
    },
  ],
);

function routeNamesOf(listener: ListenerInput): readonly string[] {
  const chains = listener.defaultChain === undefined ? [] : [listener.defaultChain];
  return [...listener.chains, ...chains].flatMap(({ filter }) =>
    filter.kind === 'http' && 'rds' in filter.routes ? [filter.routes.rds] : [],
  );
}
