// Names by which VirtualServices are bound to gateways.

/** Every sidecar of the mesh. */
export const meshGateway = 'mesh';

/**
 * `namespace/name` of the gateway that a VirtualService of `namespace` means. `name` is of its own
 * namespace, as is `./name`; `name.namespace` and longer DNS names are an old form; `mesh` is itself.
 * Source: Istio `resolveGatewayName`.
 */
export function resolveGatewayName(name: string, namespace: string): string {
  if (name === meshGateway) return name;
  const slash = name.indexOf('/');
  if (slash >= 0) return name.startsWith('./') ? `${namespace}/${name.slice(2)}` : name;
  const [first, second] = name.split('.');
  return second === undefined ? `${namespace}/${name}` : `${second}/${first}`;
}
