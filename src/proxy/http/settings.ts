// The settings of one HTTP connection manager, compiled from its configuration.
import type { ClientCertificateSettings } from './client-certificate.ts';
import type { AccessLogger } from '../access-log/access-log.ts';
import type { CorsSettings, FaultSettings } from '../router/compiled.ts';
import type { Http2Options } from '../http2/options.ts';
import type { PathOptions } from './path.ts';
import type { HostOptions } from './target-options.ts';

export type ServerHeader = 'overwrite' | 'append-if-absent' | 'pass-through';
export type Underscores = 'allow' | 'reject' | 'drop';

/** An HTTP filter of the chain, in order; the router is the last. */
export type FilterSettings =
  | {
      readonly kind: 'fault';
      readonly name: string;
      readonly disabled: boolean;
      readonly fault: FaultSettings | undefined;
    }
  | {
      readonly kind: 'cors';
      readonly name: string;
      readonly disabled: boolean;
      readonly cors: CorsSettings | undefined;
    };

export interface ManagerSettings extends HostOptions {
  readonly statPrefix: string;
  /** auto: by the first bytes of a connection. */
  readonly codec: 'auto' | 'http1' | 'http2';
  readonly http2: Http2Options;
  /** Without the router. */
  readonly filters: readonly FilterSettings[];
  readonly suppressEnvoyHeaders: boolean;
  readonly serverName: string;
  readonly serverHeader: ServerHeader;
  readonly useRemoteAddress: boolean;
  readonly trustedHops: number;
  readonly skipForwardedForAppend: boolean;
  /** Whether an address is one of `internal_address_config`. */
  readonly isInternalAddress: (address: string) => boolean;
  readonly appendForwardedPort: boolean;
  readonly clientCertificate: ClientCertificateSettings;
  readonly via: string;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly requestIdInResponse: boolean;
  readonly path: PathOptions;
  /** Whether trailers pass; without it they are read and dropped, in both directions, as Envoy's codec does. */
  readonly enableTrailers: boolean;
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly underscores: Underscores;
  readonly headBytesMax: number;
  readonly headersMax: number;
  /** Upgrade types that are passed through, lower case. */
  readonly upgrades: ReadonlySet<string>;
  readonly proxyContinue: boolean;
  /** 0: no timeout, for all of these. */
  readonly connectionIdleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly streamDurationMaxMs: number;
  readonly delayedCloseMs: number;
  /** HTTP/2: between the two GOAWAY of a graceful end. */
  readonly drainTimeoutMs: number;
  /** 0: no limit. */
  readonly requestsPerConnectionMax: number;
  readonly connectionDurationMaxMs: number;
  readonly accessLog: AccessLogger;
}
