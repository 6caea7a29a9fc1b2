// Which headers proxies write by themselves: `proxyHeaders` of ProxyConfig.
import type { ForwardClientCert } from './gateway-topology.ts';
import { forwardClientCertModes } from './gateway-topology.ts';

/** What a proxy writes about the client's certificate. */
export interface ClientCertParts {
  readonly subject: boolean;
  readonly uri: boolean;
  readonly dns: boolean;
  readonly cert: boolean;
  readonly chain: boolean;
}

export interface ProxyHeaders {
  /** x-forwarded-client-cert of requests to the application; gateways have a field of their own for it. */
  readonly forwardClientCert: ForwardClientCert;
  readonly clientCertParts: ClientCertParts;
  /** Text of the header `server`; absent: `istio-envoy`, and outbound `envoy`. */
  readonly serverName?: string;
  /** The upstream's own header `server` is passed on. */
  readonly passesServer: boolean;
  /** x-request-id */
  readonly requestId: boolean;
  /** x-envoy-attempt-count */
  readonly attemptCount: boolean;
  /** x-envoy-upstream-service-time and the like. */
  readonly debugHeaders: boolean;
  /** Names of HTTP/1.1 headers keep their capitals. */
  readonly keepsCase: boolean;
  /** x-forwarded-host, where a host is rewritten. */
  readonly forwardedHost: boolean;
  readonly forwardedPort: boolean;
}

interface Switch {
  readonly disabled?: boolean;
}

/** As people write it, in YAML or as metadata of a node. */
export interface WrittenProxyHeaders {
  /** UNDEFINED: the default. */
  readonly forwardedClientCert?: string;
  readonly setCurrentClientCertDetails?: Partial<ClientCertParts>;
  readonly requestId?: Switch;
  readonly server?: Switch & { readonly value?: string };
  readonly attemptCount?: Switch;
  readonly envoyDebugHeaders?: Switch;
  readonly metadataExchangeHeaders?: { readonly mode?: string };
  readonly preserveHttp1HeaderCase?: boolean;
  readonly xForwardedHost?: { readonly enabled?: boolean };
  readonly xForwardedPort?: { readonly enabled?: boolean };
}

/** Source: Istio `GetProxyHeadersFromProxyConfig`, `buildSidecarInboundHTTPOpts`. */
export function readProxyHeaders(written: WrittenProxyHeaders = {}): ProxyHeaders {
  const { server = {}, setCurrentClientCertDetails: parts = {} } = written;
  const passesServer = server.disabled === true;
  const { value: serverName = '' } = server;
  return {
    forwardClientCert:
      forwardClientCertModes.find((mode) => mode === written.forwardedClientCert) ?? 'APPEND_FORWARD',
    clientCertParts: {
      subject: parts.subject ?? true,
      uri: parts.uri ?? true,
      dns: parts.dns ?? true,
      cert: parts.cert ?? false,
      chain: parts.chain ?? false,
    },
    ...(passesServer || serverName === '' ? {} : { serverName }),
    passesServer,
    requestId: written.requestId?.disabled !== true,
    attemptCount: written.attemptCount?.disabled !== true,
    debugHeaders: written.envoyDebugHeaders?.disabled !== true,
    keepsCase: written.preserveHttp1HeaderCase === true,
    forwardedHost: written.xForwardedHost?.enabled === true,
    forwardedPort: written.xForwardedPort?.enabled === true,
  };
}

/** The first five fields stay where `above` leaves them out; the others are all replaced. Source: Istio `correctProxyHeaders`. */
export function mergeProxyHeaders(
  below: WrittenProxyHeaders | undefined,
  above: WrittenProxyHeaders | undefined,
): WrittenProxyHeaders | undefined {
  if (below === undefined || above === undefined) return above ?? below;
  const { forwardedClientCert, requestId, attemptCount, server, envoyDebugHeaders } = below;
  const { forwardedClientCert: mode, ...rest } = above;
  const forwarded = mode === undefined || mode === 'UNDEFINED' ? forwardedClientCert : mode;
  return {
    ...(requestId === undefined ? {} : { requestId }),
    ...(attemptCount === undefined ? {} : { attemptCount }),
    ...(server === undefined ? {} : { server }),
    ...(envoyDebugHeaders === undefined ? {} : { envoyDebugHeaders }),
    ...rest,
    ...(forwarded === undefined ? {} : { forwardedClientCert: forwarded }),
  };
}
