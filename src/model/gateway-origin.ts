// Gateways and VirtualServices that were made of Kubernetes Gateway API objects carry what their own fields
// cannot say as annotations: Istio's names, which a conversion writes and translation reads.

interface Annotated {
  readonly annotations: Readonly<Record<string, string>>;
}

export const annotationsOfGateways = {
  /** Hostnames of the Services whose workloads serve the Gateway, divided by commas. */
  service: 'internal.istio.io/gateway-service',
  /** `gateway`: made of a Gateway of the Gateway API. */
  semantics: 'internal.istio.io/gateway-semantics',
  /** Account of the proxy that was deployed for this Gateway alone; empty or absent: there is none. */
  serviceAccount: 'internal.istio.io/service-account-name',
  /** Namespace of the Gateway, where the object stands for a ListenerSet of another namespace. */
  parentNamespace: 'internal.istio.io/parent-namespace',
  /** What it was made of: `Gateway/name/listener.namespace`, `TLSRoute/name.namespace`. */
  parents: 'internal.istio.io/parents',
  /** `gateway`: a VirtualService with the meaning of a Gateway API route. */
  routeSemantics: 'internal.istio.io/route-semantics',
} as const;

/** Undefined: the Gateway finds its proxies by selector. */
export function servicesOfGateway({ annotations }: Annotated): readonly string[] | undefined {
  return annotations[annotationsOfGateways.service]?.split(',');
}

export function isOfGatewayApi({ annotations }: Annotated): boolean {
  return annotations[annotationsOfGateways.semantics] === 'gateway';
}

export function isGatewayApiRoute(config: Annotated): boolean {
  return routeSemanticsOf(config) === 'gateway';
}

/** What a VirtualService was made of: an HTTPRoute and the like, or an Ingress; undefined for a user's own. */
export function routeSemanticsOf({ annotations }: Annotated): 'gateway' | 'ingress' | undefined {
  const semantics = annotations[annotationsOfGateways.routeSemantics];
  return semantics === 'gateway' || semantics === 'ingress' ? semantics : undefined;
}

/** Whether a VirtualService was made of a TLSRoute: its `tls` rules are for terminated TLS, too. */
export function isTlsRoute({ annotations }: Annotated): boolean {
  return annotations[annotationsOfGateways.parents]?.startsWith('TLSRoute/') === true;
}
