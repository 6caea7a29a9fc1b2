// What is known of a connection's TLS: for XFCC, logs and matchers.
import type { HandshakeFacts } from '../io/tls-handle.ts';
import { Certificate } from './peer-certificate.ts';

export class TlsConnectionInfo {
  readonly facts: HandshakeFacts;
  readonly serverName: string | undefined;
  /** Our own certificate in this handshake. */
  readonly local: Certificate | undefined;
  #peer: Certificate | undefined;

  constructor(facts: HandshakeFacts, serverName: string | undefined, local: Certificate | undefined) {
    this.facts = facts;
    this.serverName = serverName;
    this.local = local;
  }

  /** The peer's certificate; undefined if it has shown none. */
  get peer(): Certificate | undefined {
    const own = this.facts.peerChain[0];
    if (own !== undefined) this.#peer ??= new Certificate(own);
    return this.#peer;
  }
}
