// The kinds of resource that a proxy is given, by what pilot and the tools call them.
// EnvoyFilters come last: they patch what is built.
import { clusters as builtClusters } from './cluster/clusters.ts';
import { patchedClusters, patchedListeners, patchedRoutes } from './envoy-filter/kinds.ts';
import { listeners as builtListeners } from './listeners.ts';
import { routes as builtRoutes } from './routes.ts';
import { endpoints } from './endpoint/endpoints.ts';
import { extensionConfigs } from './envoy-filter/extension-configs.ts';
import { grpcClusters } from './grpc/clusters.ts';
import { grpcListeners } from './grpc/listeners.ts';
import { grpcRoutes } from './grpc/routes.ts';
import { nameTables } from './name-table.ts';
import { secrets } from './secret/secrets.ts';

export { endpoints, extensionConfigs, grpcClusters, grpcListeners, grpcRoutes, nameTables, secrets };
export const clusters = patchedClusters(builtClusters);
export const listeners = patchedListeners(builtListeners);
export const routes = patchedRoutes(builtRoutes);

/** Every kind that follows from the World alone: those of proxies, and of applications without one. */
export const servedKinds = [
  clusters,
  endpoints,
  listeners,
  routes,
  extensionConfigs,
  nameTables,
  secrets,
  grpcClusters,
  grpcListeners,
  grpcRoutes,
] as const;
