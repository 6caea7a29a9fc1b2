// What stands in front of a gateway, and how far it is believed: `gatewayTopology` of ProxyConfig.

/** What becomes of a header x-forwarded-client-cert that a client sends, and whether the gateway writes one. */
export const forwardClientCertModes = [
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
] as const;
export type ForwardClientCert = (typeof forwardClientCertModes)[number];

export interface GatewayTopology {
  /** Proxies in front whose x-forwarded-for is believed. */
  readonly trustedProxies: number;
  readonly forwardClientCert: ForwardClientCert;
  /** Whether connections begin with a PROXY header, which says where they come from. */
  readonly proxyProtocol: boolean;
}

export const defaultGatewayTopology: GatewayTopology = {
  trustedProxies: 0,
  forwardClientCert: 'SANITIZE_SET',
  proxyProtocol: false,
};

/** As people write it, in YAML or as metadata of a node. */
export interface WrittenGatewayTopology {
  readonly numTrustedProxies?: number;
  /** UNDEFINED: the default. */
  readonly forwardClientCertDetails?: string;
  /** `{}`: a header is expected. */
  readonly proxyProtocol?: object;
}

/** What is not written stays as in `base`. */
export function readGatewayTopology(
  { numTrustedProxies, forwardClientCertDetails, proxyProtocol }: WrittenGatewayTopology,
  base: GatewayTopology = defaultGatewayTopology,
): GatewayTopology {
  const mode = forwardClientCertModes.find((each) => each === forwardClientCertDetails);
  return {
    trustedProxies: numTrustedProxies ?? base.trustedProxies,
    forwardClientCert: mode ?? base.forwardClientCert,
    proxyProtocol: proxyProtocol === undefined ? base.proxyProtocol : true,
  };
}
