// TlsCertificate: a chain and its key, found to fit.
import { createPrivateKey } from 'node:crypto';
import type { TlsCertificate } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { TlsCertificateSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { ConfigError } from '../config-error.ts';
import { refuseFields } from '../refuse-fields.ts';
import { readDataSource } from './data-source.ts';
import { Certificate } from './peer-certificate.ts';

export interface KeyPair {
  /** PEM. */
  readonly chain: string;
  readonly key: string;
  readonly passphrase: string | undefined;
  readonly certificate: Certificate;
  readonly keyType: string;
}

/** Throws ConfigError, which never holds a key. */
export function compileKeyPair(config: TlsCertificate, path: string): KeyPair {
  refuseFields(TlsCertificateSchema, config, path, new Set(['certificate_chain', 'private_key', 'password']));
  const chain = readDataSource(config.certificateChain, `${path}.certificate_chain`);
  const key = readDataSource(config.privateKey, `${path}.private_key`);
  const passphrase = readDataSource(config.password, `${path}.password`);
  if (chain === undefined) throw new ConfigError(`${path}.certificate_chain`, 'is required');
  if (key === undefined) throw new ConfigError(`${path}.private_key`, 'is required');
  let certificate: Certificate;
  try {
    certificate = new Certificate(chain);
  } catch {
    throw new ConfigError(`${path}.certificate_chain`, 'Failed to load certificate chain');
  }
  let keyType: string | undefined;
  try {
    const privateKey = createPrivateKey({
      key,
      format: 'pem',
      ...(passphrase === undefined ? {} : { passphrase }),
    });
    if (certificate.x509.checkPrivateKey(privateKey)) keyType = privateKey.asymmetricKeyType ?? '';
  } catch {
    throw new ConfigError(`${path}.private_key`, 'Failed to load private key');
  }
  if (keyType === undefined)
    throw new ConfigError(`${path}.private_key`, 'is not the key of the certificate chain');
  return { chain, key, passphrase, certificate, keyType };
}
