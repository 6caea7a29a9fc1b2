// x-forwarded-client-cert: what may be said of the client's certificate, by the client and by this proxy (D4.13).
import type { HttpConnectionManager } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HttpConnectionManager_ForwardClientCertDetails as Forward } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { TlsConnectionInfo } from '../tls/connection-info.ts';
import { Certificate } from '../tls/peer-certificate.ts';
import type { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';

export interface ClientCertificateSettings {
  readonly mode: 'sanitize' | 'forward' | 'append' | 'set' | 'always';
  readonly subject: boolean;
  readonly certificate: boolean;
  readonly chain: boolean;
  readonly dns: boolean;
  readonly uri: boolean;
}

const modes: Readonly<Record<Forward, ClientCertificateSettings['mode']>> = {
  [Forward.SANITIZE]: 'sanitize',
  [Forward.FORWARD_ONLY]: 'forward',
  [Forward.APPEND_FORWARD]: 'append',
  [Forward.SANITIZE_SET]: 'set',
  [Forward.ALWAYS_FORWARD_ONLY]: 'always',
};

export function clientCertificateSettings(config: HttpConnectionManager): ClientCertificateSettings {
  const details = config.setCurrentClientCertDetails;
  return {
    mode: modes[config.forwardClientCertDetails],
    subject: details?.subject ?? false,
    certificate: details?.cert ?? false,
    chain: details?.chain ?? false,
    dns: details?.dns ?? false,
    uri: details?.uri ?? false,
  };
}

const header = nameIds['x-forwarded-client-cert'];
/** A connection's element does not change: it is made once. */
const elements = new WeakMap<TlsConnectionInfo, Map<ClientCertificateSettings, string>>();

/** Only a peer that showed a certificate may speak of certificates (traps row 6). */
export function markClientCertificate(
  headers: HeaderBlock,
  settings: ClientCertificateSettings,
  tls: TlsConnectionInfo | undefined,
): void {
  if (settings.mode === 'always') return;
  const peer = settings.mode === 'sanitize' ? undefined : tls?.peer;
  if (tls === undefined || peer === undefined) {
    headers.removeKnown(header);
    return;
  }
  if (settings.mode === 'forward') return;
  let known = elements.get(tls);
  if (known === undefined) elements.set(tls, (known = new Map()));
  let element = known.get(settings);
  if (element === undefined) known.set(settings, (element = elementOf(tls, peer, settings)));
  const before = settings.mode === 'append' ? headers.known(header) : undefined;
  headers.setKnown(header, before === undefined || before === '' ? element : `${before},${element}`);
}

function elementOf(tls: TlsConnectionInfo, peer: Certificate, settings: ClientCertificateSettings): string {
  const parts = (tls.local?.names('URI') ?? []).map((uri) => `By=${uri}`);
  parts.push(`Hash=${peer.fingerprint256}`);
  if (settings.certificate) parts.push(`Cert="${pemText(peer)}"`);
  if (settings.chain) {
    const chain = tls.facts.peerChain.map((der) => pemText(new Certificate(der)));
    parts.push(`Chain="${chain.join('')}"`);
  }
  if (settings.subject) parts.push(`Subject="${peer.subject.replaceAll('"', '\\"')}"`);
  if (settings.uri) {
    const uris = peer.names('URI');
    parts.push(...(uris.length === 0 ? [''] : uris).map((uri) => `URI=${uri}`));
  }
  if (settings.dns) parts.push(...peer.names('DNS').map((name) => `DNS=${name}`));
  return parts.join(';');
}

function pemText(certificate: Certificate): string {
  return encodeURIComponent(certificate.x509.toString());
}
