// By mutual TLS mode and by what the port speaks: which connections of an inbound port get which chain.
// Source: Istio `filterchain_options.go`.
import { isHttp, isSniffed } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { MutualTlsMode } from '../mtls/mutual-tls-mode.ts';
import type { ChainMatchInput } from './listener-input.ts';

/** What the HTTP inspector calls plain HTTP/1.1 and HTTP/2. */
export const plaintextHttp: readonly string[] = ['http/1.1', 'h2c'];

/** What a sidecar's client offers where it has found HTTP. */
const meshHttp: readonly string[] = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
/** What it offers where it has not. */
const meshTcp: readonly string[] = ['istio-peer-exchange', 'istio'];
const anyMesh: readonly string[] = ['istio', 'istio-peer-exchange', ...meshHttp];

/** One chain of an inbound port. */
export interface InboundMatch {
  readonly reads: 'http' | 'tcp';
  /** Whether the chain ends mutual TLS; those without take what comes, be it TLS of the application's own. */
  readonly mutualTls: boolean;
  readonly match: Pick<ChainMatchInput, 'transportProtocol' | 'applicationProtocols'>;
}

type Reads = InboundMatch['reads'];

const plain = (reads: Reads, applicationProtocols?: readonly string[]): InboundMatch => ({
  reads,
  mutualTls: false,
  match: {
    transportProtocol: 'raw_buffer',
    ...(applicationProtocols === undefined ? {} : { applicationProtocols }),
  },
});
const mutual = (reads: Reads, applicationProtocols?: readonly string[]): InboundMatch => ({
  reads,
  mutualTls: true,
  match: {
    transportProtocol: 'tls',
    ...(applicationProtocols === undefined ? {} : { applicationProtocols }),
  },
});
/** TLS that is none of the mesh's: the application's to end. */
const foreignTls: InboundMatch = { reads: 'tcp', mutualTls: false, match: { transportProtocol: 'tls' } };

const matches: Readonly<
  Record<MutualTlsMode, Readonly<Record<'http' | 'tcp' | 'sniffed', readonly InboundMatch[]>>>
> = {
  PERMISSIVE: {
    http: [mutual('http', anyMesh), plain('http')],
    tcp: [mutual('tcp', anyMesh), foreignTls, plain('tcp')],
    sniffed: [
      mutual('http', meshHttp),
      plain('http', plaintextHttp),
      mutual('tcp', meshTcp),
      plain('tcp'),
      foreignTls,
    ],
  },
  STRICT: {
    http: [mutual('http')],
    tcp: [mutual('tcp')],
    sniffed: [mutual('http', meshHttp), mutual('tcp')],
  },
  DISABLE: {
    http: [plain('http')],
    tcp: [plain('tcp')],
    sniffed: [plain('http', plaintextHttp), plain('tcp')],
  },
};

/**
 * What is not let in matches nothing, and the connection is closed (C12.02). A proxy without certificate can end no
 * mutual TLS: PERMISSIVE leaves it the rest, STRICT nothing.
 */
export function inboundMatches(
  mode: MutualTlsMode,
  protocol: Protocol,
  workloadCertificates: boolean,
): readonly InboundMatch[] {
  const speaks = isHttp(protocol) ? 'http' : isSniffed(protocol) ? 'sniffed' : 'tcp';
  if (workloadCertificates) return matches[mode][speaks];
  return mode === 'STRICT' ? [] : matches.DISABLE[speaks];
}
