// The types of xDS that we speak of, and which of them have a wildcard.

export const typeUrls = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoint: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  /** Settings of filters that are declared with `config_discovery`. */
  extensionConfig: 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  /** What an agent answers DNS queries from. */
  nameTable: 'type.googleapis.com/istio.networking.nds.v1.NameTable',
} as const;

/** Types of which nothing is sent but what is asked for by name. */
const namedTypes: readonly string[] = [
  typeUrls.endpoint,
  typeUrls.route,
  typeUrls.extensionConfig,
  typeUrls.secret,
];

/**
 * Whether a first request without names means "all of them": of Envoy's types so for listeners and clusters alone, and
 * for every type that is Istio's own (Istio: `IsWildcardTypeURL`).
 * https://github.com/envoyproxy/envoy/blob/v1.33.0/docs/root/api-docs/xds_protocol.rst#how-the-client-specifies-what-resources-to-return
 */
export function isWildcardType(typeUrl: string): boolean {
  return !namedTypes.includes(typeUrl);
}

/**
 * The type whose subscribers wait for an answer before something new of `typeUrl` comes into use: a
 * cluster warms until its endpoints come, a listener until its routes do.
 */
export function warmedBy(typeUrl: string): string | undefined {
  if (typeUrl === typeUrls.cluster) return typeUrls.endpoint;
  if (typeUrl === typeUrls.listener) return typeUrls.route;
  return undefined;
}
