// The kinds of resource that a proxy is given, by what pilot and the tools call them.
// EnvoyFilters come last: they patch what is built.
import { clusters as builtClusters } from './cluster/clusters.ts';
import { patchedClusters, patchedListeners, patchedRoutes } from './envoy-filter/kinds.ts';
import { listeners as builtListeners } from './listeners.ts';
import { routes as builtRoutes } from './routes.ts';

export { endpoints } from './endpoint/endpoints.ts';
export { extensionConfigs } from './envoy-filter/extension-configs.ts';
export { nameTables } from './name-table.ts';
export const clusters = patchedClusters(builtClusters);
export const listeners = patchedListeners(builtListeners);
export const routes = patchedRoutes(builtRoutes);
