// The counters of TLS under Envoy's names: listener.<address>.ssl.* and cluster.<name>.ssl.*.
import type { HandshakeFacts } from '../io/tls-handle.ts';
import type { Counter, StatsScope } from '../stats/stats.ts';

const names = [
  'connection_error',
  'handshake',
  'session_reused',
  'no_certificate',
  'fail_verify_no_cert',
  'fail_verify_error',
  'fail_verify_san',
  'fail_verify_cert_hash',
] as const;

export type SslStats = Readonly<Record<(typeof names)[number], Counter>> & {
  /** A handshake that has succeeded. */
  /** server_ssl_socket_factory.*: secrets came, or a client before them. */
  readonly updateBySds: Counter;
  readonly secretsNotReady: Counter;
  readonly count: (facts: HandshakeFacts) => void;
};

/** `scope` is that of the listener or cluster. */
export function sslStats(scope: StatsScope): SslStats {
  const ssl = scope.scope('ssl');
  const counters = Object.fromEntries(names.map((name) => [name, ssl.counter(name)])) as Record<
    (typeof names)[number],
    Counter
  >;
  const factory = scope.scope('server_ssl_socket_factory');
  return {
    ...counters,
    updateBySds: factory.counter('ssl_context_update_by_sds'),
    secretsNotReady: factory.counter('downstream_context_secrets_not_ready'),
    count: (facts) => {
      counters.handshake.inc();
      if (facts.resumed) counters.session_reused.inc();
      if (facts.peerChain.length === 0) counters.no_certificate.inc();
      // Both come from OpenSSL's short lists.
      ssl.scope('ciphers').counter(facts.cipher).inc();
      ssl.scope('versions').counter(facts.version).inc();
    },
  };
}
