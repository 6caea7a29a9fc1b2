// The TLS of a listener: which certificates, and who may ask for them.
import type { GatewaySpec } from '../api/gen/istio-types.js';
import type { Config } from '../config/config.ts';
import type {
  FrontendTls,
  KubeGatewaySpec,
  Listener,
  ListenerTls,
  ObjectReference,
} from '../config/gateway-api-types.ts';
import { isUsableCipherSuite } from '../model/cipher-suites.ts';
import {
  configMapEntries,
  hasCertificates,
  keyPairProblem,
  rootProblem,
  secretEntries,
} from '../config/credentials.ts';
import type { Problem } from './conditions.ts';
import type { GatewayApiObjects } from './objects.ts';
import { isGranted, referredKind } from './references.ts';

export type ServerTls = NonNullable<NonNullable<GatewaySpec['servers']>[number]['tls']> & {
  /** Newer than the package of types: certificates of clients are asked for, whoever signed them. */
  readonly insecureSkipVerify?: boolean;
};

export interface ListenerTlsResult {
  /** Absent: the listener has none. */
  readonly tls?: ServerTls;
  readonly problem?: Problem;
}

/** `owner` is the Gateway or ListenerSet, `gateway` the Gateway's spec. Source: Istio `buildTLS`. */
export function listenerTls(
  objects: GatewayApiObjects,
  owner: Config,
  gateway: KubeGatewaySpec,
  listener: Listener,
): ListenerTlsResult {
  const { tls } = listener;
  if (tls === undefined) return {};
  const ciphers = wantedCiphers(tls);
  if (tls.mode === 'Passthrough') {
    const mode = isAutoPassthrough(owner.labels, listener) ? 'AUTO_PASSTHROUGH' : 'PASSTHROUGH';
    return { tls: { mode, ...ciphers } };
  }
  const option = tls.options?.[modeOption];
  // The workload's own certificate, which needs no Secret.
  if (option === 'ISTIO_SIMPLE') return { tls: { mode: 'SIMPLE', credentialName: 'builtin://' } };
  if (option === 'ISTIO_MUTUAL') return { tls: { mode: 'ISTIO_MUTUAL' } };
  const mode = option === 'MUTUAL' || option === 'OPTIONAL_MUTUAL' ? option : 'SIMPLE';
  const certificates = serverCertificates(objects, owner, tls);
  if ('problem' in certificates) return { tls: { mode }, problem: certificates.problem };
  // Istio looks no further.
  if (certificates.credentialName === undefined && certificates.credentialNames === undefined)
    return { tls: { mode } };
  const frontend = frontendTls(gateway, listener);
  const clients = clientValidation(objects, owner, frontend, mode);
  if ('problem' in clients) return { tls: { mode, ...certificates }, problem: clients.problem };
  return { tls: { mode, ...certificates, ...clients, ...ciphers } };
}

const modeOption = 'gateway.istio.io/tls-terminate-mode';
const ciphersOption = 'gateway.istio.io/tls-cipher-suites';

function wantedCiphers({ options }: ListenerTls): { cipherSuites?: string[] } {
  const names = (options?.[ciphersOption] ?? '').split(',').map((name) => name.trim());
  const known = [...new Set(names)].filter((name) => name !== '' && isUsableCipherSuite(name));
  return known.length === 0 ? {} : { cipherSuites: known };
}

/** A gateway between networks passes TLS through to whoever its SNI names. */
function isAutoPassthrough(labels: Readonly<Record<string, string>>, { tls, port }: Listener): boolean {
  if (tls?.options?.['gateway.istio.io/listener-protocol'] === 'auto-passthrough') return true;
  if (!('topology.istio.io/network' in labels)) return false;
  return String(port) === (labels['networking.istio.io/gatewayPort'] ?? '15443');
}

type Certificates = Pick<ServerTls, 'credentialName' | 'credentialNames'>;

/** One or two, of which those count that can be read. */
function serverCertificates(
  objects: GatewayApiObjects,
  owner: Config,
  { certificateRefs = [] }: ListenerTls,
): Certificates | { readonly problem: Problem } {
  if (certificateRefs.length > 2)
    return wrong('InvalidCertificateRef', 'TLS mode can only support up to 2 server certificates');
  const names: string[] = [];
  const problems: Problem[] = [];
  for (const reference of certificateRefs) {
    const found = serverCertificate(objects, owner, reference);
    if (typeof found === 'string') names.push(found);
    else problems.push(found);
  }
  const [first, second] = names;
  if (first !== undefined)
    return second === undefined ? { credentialName: first } : { credentialNames: [first, second] };
  const [problem] = problems;
  if (problem === undefined) return {};
  return wrong(problem.reason, problems.map(({ message }) => message).join('; '));
}

/** Whether the reference may be made is asked first, so that a status tells nobody what other namespaces hold. */
function serverCertificate(
  objects: GatewayApiObjects,
  owner: Config,
  reference: ObjectReference,
): string | Problem {
  const { name, namespace = owner.namespace } = reference;
  if (namespace !== owner.namespace && !isGranted(objects, owner, { kind: 'Secret', namespace, name }))
    return notPermitted('certificateRef', `${name}/${namespace}`, owner);
  const written = `${reference.group ?? ''}/${reference.kind ?? ''}/${name}.${reference.namespace ?? ''}`;
  const bad = (message: string): Problem => ({
    reason: 'InvalidCertificateRef',
    message: `invalid certificate reference ${written}, ${message}`,
  });
  if (referredKind(reference, 'Secret', '') !== 'Secret') return bad('only secret is allowed');
  const secret = objects.secret(namespace, name);
  if (secret === undefined) return bad(`secret ${namespace}/${name} not found`);
  const problem = keyPairProblem(secret);
  return problem === undefined ? `kubernetes-gateway://${namespace}/${name}` : bad(problem);
}

function frontendTls({ tls }: KubeGatewaySpec, { port }: Listener): FrontendTls | undefined {
  const { perPort = [], default: usual } = tls?.frontend ?? {};
  return perPort.find((each) => each.port === port)?.tls ?? usual;
}

/** How the certificates of clients are checked. The listener's own option wins over the Gateway's mode. */
function clientValidation(
  objects: GatewayApiObjects,
  owner: Config,
  frontend: FrontendTls | undefined,
  option: 'SIMPLE' | 'MUTUAL' | 'OPTIONAL_MUTUAL',
): Partial<ServerTls> | { readonly problem: Problem } {
  const references = frontend?.validation?.caCertificateRefs ?? [];
  const [reference] = references;
  if (reference === undefined) return {};
  if (references.length > 1)
    return wrong('InvalidCACertificateRef', 'only one caCertificateRef is supported');
  const found = caCertificate(objects, owner, reference);
  if (typeof found !== 'string') return { problem: found };
  const isLenient = option === 'SIMPLE' && frontend?.validation?.mode === 'AllowInsecureFallback';
  return {
    mode: option === 'SIMPLE' ? (isLenient ? 'OPTIONAL_MUTUAL' : 'MUTUAL') : option,
    insecureSkipVerify: isLenient,
    caCertCredentialName: found,
  };
}

function caCertificate(
  objects: GatewayApiObjects,
  owner: Config,
  reference: ObjectReference,
): string | Problem {
  const { name, namespace = owner.namespace } = reference;
  const kind = referredKind(reference, '', '');
  if (
    namespace !== owner.namespace &&
    !isGranted(objects, owner, { kind: kind === 'Secret' ? 'Secret' : 'ConfigMap', namespace, name })
  )
    return notPermitted('caCertificateRef', `${namespace}/${name}`, owner);
  const written = `${reference.group ?? ''}/${reference.kind ?? ''}/${name}.${reference.namespace ?? ''}`;
  const bad = (message: string, reason = 'InvalidCACertificateRef'): Problem => ({
    reason,
    message: `invalid CA certificate reference ${written}, ${message}`,
  });
  const secret = kind === 'Secret' ? objects.secret(namespace, name) : undefined;
  const configMap = kind === 'ConfigMap' ? objects.configMap(namespace, name) : undefined;
  if (kind !== 'Secret' && kind !== 'ConfigMap')
    return bad('only secret and configmap are allowed', 'InvalidCACertificateKind');
  const data =
    secret === undefined
      ? configMap === undefined
        ? undefined
        : configMapEntries(configMap.spec)
      : secretEntries(secret.spec);
  if (data === undefined) return bad(`${kind.toLowerCase()} ${namespace}/${name} not found`);
  const problem = rootProblem(data);
  if (problem !== undefined) return bad(problem);
  if (!hasCertificates(data)) return bad('the bundle is malformed');
  const scheme = kind === 'Secret' ? 'kubernetes-gateway' : 'configmap';
  return `${scheme}://${namespace}/${name}-cacert`;
}

/** What is wrong with the certificate that a Gateway shows to its backends; undefined: nothing. */
export function clientCertificateProblem(
  objects: GatewayApiObjects,
  gateway: Config<KubeGatewaySpec>,
): Problem | undefined {
  const reference = gateway.spec.tls?.backend?.clientCertificateRef;
  if (reference === undefined) return undefined;
  const { name, namespace = gateway.namespace } = reference;
  const written = `${reference.group ?? ''}/${reference.kind ?? ''}/${name}.${reference.namespace ?? ''}`;
  const bad = (message: string): Problem => ({
    reason: 'InvalidClientCertificateRef',
    message: `invalid clientCertificateRef ${written}, ${message}`,
  });
  if (referredKind(reference, 'Secret', '') !== 'Secret') return bad('only secret is allowed');
  // Asked first, where Istio asks last: a status tells nobody what other namespaces hold.
  if (namespace !== gateway.namespace && !isGranted(objects, gateway, { kind: 'Secret', namespace, name }))
    return notPermitted('clientCertificateRef', `${name}/${namespace}`, gateway);
  const secret = objects.secret(namespace, name);
  if (secret === undefined) return bad(`secret ${namespace}/${name} not found`);
  const problem = keyPairProblem(secret);
  return problem === undefined ? undefined : bad(problem);
}

function notPermitted(field: string, target: string, { namespace }: Config): Problem {
  return {
    reason: 'RefNotPermitted',
    message: `${field} ${target} not accessible to a Gateway in namespace "${namespace}" (missing a ReferenceGrant?)`,
  };
}

function wrong(reason: string, message: string): { readonly problem: Problem } {
  return { problem: { reason, message } };
}
