// CommonTlsContext's certificates and validation: inline, or secrets that come and are exchanged.
import { clone, mergeFromBinary, toBinary } from '@bufbuild/protobuf';
import type { CertificateValidationContext } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { CertificateValidationContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { CommonTlsContext } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import {
  CommonTlsContextSchema,
  CommonTlsContext_CombinedCertificateValidationContextSchema,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { ConfigError } from '../config-error.ts';
import { refuseFields } from '../refuse-fields.ts';
import type { KeyPair } from './key-pair.ts';
import { compileKeyPair } from './key-pair.ts';
import type { HeldSecret } from './secret-manager.ts';
import type { Validation } from './validation.ts';
import { compileValidation } from './validation.ts';

export interface Credentials {
  readonly keyPairs: readonly KeyPair[];
  readonly validation: Validation | undefined;
}

/** Throws ConfigError; undefined while a secret has not come. */
type Read<T> = () => T | undefined;

/**
 * Reads what there is now: undefined while a secret has not come. What is inline is compiled once, and what is wrong with it
 * is thrown at once. Throws ConfigError.
 */
export function compileCredentials(
  common: CommonTlsContext,
  path: string,
  hold: (reference: SdsSecretConfig, path: string) => HeldSecret,
): Read<Credentials> {
  refuseFields(
    CommonTlsContextSchema,
    common,
    path,
    new Set([
      'tls_params',
      'tls_certificates',
      'tls_certificate_sds_secret_configs',
      'validation_context',
      'validation_context_sds_secret_config',
      'combined_validation_context',
      'alpn_protocols',
    ]),
  );
  const inline = common.tlsCertificates.map((certificate, index) =>
    compileKeyPair(certificate, `${path}.tls_certificates[${index}]`),
  );
  const certificates = common.tlsCertificateSdsSecretConfigs.map((reference, index) =>
    keyPairOf(hold(reference, `${path}.tls_certificate_sds_secret_configs[${index}]`)),
  );
  const validation = compileValidationSource(common, path, hold);
  return () => {
    const keyPairs = [...inline];
    for (const read of certificates) {
      const pair = read();
      if (pair === undefined) return undefined;
      keyPairs.push(pair);
    }
    if (validation === undefined) return { keyPairs, validation: undefined };
    const now = validation();
    return now === undefined ? undefined : { keyPairs, validation: now };
  };
}

function keyPairOf(secret: HeldSecret): Read<KeyPair> {
  return () => {
    const type = secret.current?.type;
    if (type === undefined) return undefined;
    if (type.case !== 'tlsCertificate')
      throw new ConfigError(`secret ${secret.name}`, 'has no tls_certificate');
    return compileKeyPair(type.value, `secret ${secret.name}: tls_certificate`);
  };
}

function compileValidationSource(
  common: CommonTlsContext,
  path: string,
  hold: (reference: SdsSecretConfig, path: string) => HeldSecret,
): Read<Validation> | undefined {
  const { validationContextType: kind } = common;
  switch (kind.case) {
    case 'validationContext': {
      const validation = compileValidation(kind.value, `${path}.validation_context`);
      return () => validation;
    }
    case 'validationContextSdsSecretConfig':
      return validationOf(hold(kind.value, `${path}.validation_context_sds_secret_config`), undefined);
    case 'combinedValidationContext': {
      const at = `${path}.combined_validation_context`;
      refuseFields(
        CommonTlsContext_CombinedCertificateValidationContextSchema,
        kind.value,
        at,
        new Set(['default_validation_context', 'validation_context_sds_secret_config']),
      );
      const { validationContextSdsSecretConfig: reference, defaultValidationContext } = kind.value;
      if (reference === undefined)
        throw new ConfigError(`${at}.validation_context_sds_secret_config`, 'is required');
      return validationOf(
        hold(reference, `${at}.validation_context_sds_secret_config`),
        defaultValidationContext,
      );
    }
    // Others are refused above.
    case 'validationContextCertificateProvider':
    case 'validationContextCertificateProviderInstance':
    case undefined:
    default:
      return undefined;
  }
}

/** What the secret says is added to the default, as protobuf merges. */
function validationOf(
  secret: HeldSecret,
  fallback: CertificateValidationContext | undefined,
): Read<Validation> {
  return () => {
    const type = secret.current?.type;
    if (type === undefined) return undefined;
    if (type.case !== 'validationContext')
      throw new ConfigError(`secret ${secret.name}`, 'has no validation_context');
    const schema = CertificateValidationContextSchema;
    const merged =
      fallback === undefined
        ? type.value
        : mergeFromBinary(schema, clone(schema, fallback), toBinary(schema, type.value));
    return compileValidation(merged, `secret ${secret.name}: validation_context`);
  };
}
