// The kinds of resource that a proxy is given, by what pilot and the tools call them.
export { clusters } from './cluster/clusters.ts';
export { endpoints } from './endpoint/endpoints.ts';
export { listeners } from './listeners.ts';
export { routes } from './routes.ts';
