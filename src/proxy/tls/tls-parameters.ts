// TlsParameters as OpenSSL's options: versions, ciphers, curves.
import type { SecureContextOptions, SecureVersion } from 'node:tls';
import { getCiphers } from 'node:tls';
import type { TlsParameters } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import {
  TlsParametersSchema,
  TlsParameters_TlsProtocol as Protocol,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { ConfigError } from '../config-error.ts';
import { refuseFields } from '../refuse-fields.ts';

const versions: Readonly<Record<Protocol, SecureVersion | undefined>> = {
  [Protocol.TLS_AUTO]: undefined,
  [Protocol.TLSv1_0]: 'TLSv1',
  [Protocol.TLSv1_1]: 'TLSv1.1',
  [Protocol.TLSv1_2]: 'TLSv1.2',
  [Protocol.TLSv1_3]: 'TLSv1.3',
};

/** They cannot be chosen, as in Envoy. */
const tls13Ciphers = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
/** Envoy's default, which has no plain RSA and no CBC. */
const defaultCiphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
];
/** BoringSSL's names of curves and OpenSSL's. */
const curves: Readonly<Record<string, string>> = {
  X25519: 'X25519',
  'P-256': 'prime256v1',
  'P-384': 'secp384r1',
  'P-521': 'secp521r1',
};
const defaultCurves = ['X25519', 'P-256'];

/** Throws ConfigError. TLS 1.2 and 1.3 where nothing else is said; upstream too, where Envoy stays at 1.2. */
export function compileTlsParameters(
  config: TlsParameters | undefined,
  path: string,
): Pick<SecureContextOptions, 'minVersion' | 'maxVersion' | 'ciphers' | 'ecdhCurve'> {
  if (config !== undefined) {
    refuseFields(
      TlsParametersSchema,
      config,
      path,
      new Set([
        'tls_minimum_protocol_version',
        'tls_maximum_protocol_version',
        'cipher_suites',
        'ecdh_curves',
      ]),
    );
  }
  const { cipherSuites = [], ecdhCurves = [] } = config ?? {};
  const known = new Set(getCiphers());
  const ciphers = cipherSuites.flatMap((entry) => entry.replace(/^\[(.*)\]$/, '$1').split('|'));
  for (const cipher of ciphers) {
    if (known.has(cipher.toLowerCase()) && !cipher.startsWith('TLS_')) continue;
    throw new ConfigError(
      `${path}.cipher_suites`,
      `Failed to initialize cipher suites: ${cipher} is not known`,
    );
  }
  const chosen = (ecdhCurves.length > 0 ? ecdhCurves : defaultCurves).map((name) => {
    const curve = curves[name];
    if (curve === undefined)
      throw new ConfigError(`${path}.ecdh_curves`, `Failed to initialize ECDH curves ${name}`);
    return curve;
  });
  return {
    minVersion: versions[config?.tlsMinimumProtocolVersion ?? Protocol.TLS_AUTO] ?? 'TLSv1.2',
    maxVersion: versions[config?.tlsMaximumProtocolVersion ?? Protocol.TLS_AUTO] ?? 'TLSv1.3',
    ciphers: [...tls13Ciphers, ...(ciphers.length > 0 ? ciphers : defaultCiphers)].join(':'),
    ecdhCurve: chosen.join(':'),
  };
}
