// TLS settings of a Gateway's server or a Sidecar's ingress.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import { isUsableCipherSuite } from '../../model/cipher-suites.ts';
import type { Checker } from './checker.ts';
import { each } from './checker.ts';

type ServerTls = NonNullable<NonNullable<GatewaySpec['servers']>[number]['tls']>;

export function checkServerTls(tls: ServerTls | undefined, checker: Checker): void {
  if (tls === undefined) return;
  checkCipherSuites(tls, checker);
  const { mode } = tls;
  if (mode === 'ISTIO_MUTUAL') {
    for (const field of certificateFields)
      if (isSet(tls[field])) checker.at(field).error(`ISTIO_MUTUAL TLS cannot have associated ${field}`);
    return;
  }
  if (mode === undefined || mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') {
    if ([...certificateFields, 'caCrl' as const].some((field) => isSet(tls[field])))
      checker.warn(`${mode ?? 'PASSTHROUGH'} mode does not use certificates, they will be ignored`);
  }
  const sources = [
    isSet(tls.serverCertificate) && isSet(tls.privateKey),
    isSet(tls.credentialName),
    isSet(tls.credentialNames),
    isSet(tls.tlsCertificates),
  ];
  if (sources.filter(Boolean).length > 1)
    checker.error(
      'only one of credentialName, credentialNames, serverCertificate/privateKey, tlsCertificates should be specified',
    );
  const hasCredential = isSet(tls.credentialName) || isSet(tls.credentialNames);
  for (const field of ['verifyCertificateHash', 'verifyCertificateSpki'] as const)
    if (isSet(tls[field]) && !(hasCredential && (mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL')))
      checker.at(field).warn('has no effect, as in Istio, but with a credential and clients that are asked');
  for (const [certificate, place] of each(tls.tlsCertificates, checker, 'tlsCertificates'))
    if (isSet(certificate.caCertificates))
      place.at('caCertificates').warn('has no effect, as in Istio: caCertificates of the server counts');
  const isTerminating = mode === 'SIMPLE' || mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL';
  if (isTerminating && hasCredential) return;
  if (isTerminating) checkFiles(tls, checker);
  if (!isSet(tls.caCrl)) return;
  if (isSet(tls.credentialName))
    checker
      .at('caCrl')
      .error('CRL is not supported with credentialName. CRL has to be specified in the credential');
  if (mode === 'SIMPLE') checker.at('caCrl').error('CRL is not supported with SIMPLE TLS');
}

const certificateFields = [
  'serverCertificate',
  'privateKey',
  'caCertificates',
  'tlsCertificates',
  'credentialName',
  'credentialNames',
] as const;

function isSet(value: string | readonly unknown[] | undefined): boolean {
  return value !== undefined && value.length > 0;
}

function checkCipherSuites(tls: ServerTls, checker: Checker): void {
  const suites = tls.cipherSuites ?? [];
  const isOld = tls.minProtocolVersion === 'TLSV1_0' || tls.minProtocolVersion === 'TLSV1_1';
  if (isOld && suites.length === 0)
    checker
      .at('minProtocolVersion')
      .warn(
        'a TLS version below TLSV1_2 needs cipherSuites: the default ones are no longer compatible with it',
      );
  const seen = new Set<string>();
  for (const [index, suite] of suites.entries()) {
    const place = checker.at('cipherSuites', index);
    if (!isUsableCipherSuite(suite)) place.warn(`ignoring invalid cipher suite: ${suite}`);
    else if (seen.has(suite)) place.warn(`ignoring duplicate cipher suite: ${suite}`);
    seen.add(suite);
  }
}

function checkFiles(tls: ServerTls, checker: Checker): void {
  const isMutual = tls.mode !== 'SIMPLE';
  const prefix = isMutual ? 'MUTUAL TLS' : 'SIMPLE TLS';
  if (isMutual && !isSet(tls.caCertificates)) checker.error(`${prefix} requires a client CA bundle`);
  const several = tls.tlsCertificates ?? [];
  if (several.length > 2) checker.warn(`${prefix} can support up to 2 server certificates`);
  const certificates = several.length > 0 ? several : [tls];
  for (const certificate of certificates) {
    if (!isSet(certificate.serverCertificate)) checker.error(`${prefix} requires a server certificate`);
    if (!isSet(certificate.privateKey)) checker.error(`${prefix} requires a private key`);
  }
}
