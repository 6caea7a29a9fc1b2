// Gateway, ListenerSet, GatewayClass, ReferenceGrant and BackendTLSPolicy of the Gateway API: what their CRDs
// demand beyond the structure (CEL rules, patterns, limits; release 1.6).
import type {
  BackendTlsPolicySpec,
  GatewayClassSpec,
  KubeGatewaySpec,
  Listener,
  ListenerSetSpec,
  ReferenceGrantSpec,
} from '../gateway-api-types.ts';
import { isDnsLabel, isDnsSubdomain } from '../metadata.ts';
import { Checker, each } from './checker.ts';
import type { Validator } from './validator.ts';

const ambientClasses: ReadonlySet<string> = new Set([
  'istio-waypoint',
  'istio-east-west',
  'istio-agentgateway',
  'istio-agentgateway-waypoint',
]);

export const validateKubeGateway: Validator = (object, _meta, report) => {
  const spec = object['spec'] as KubeGatewaySpec;
  const checker = new Checker(report, ['spec']);
  if (ambientClasses.has(spec.gatewayClassName))
    checker
      .at('gatewayClassName')
      .warn('has no effect yet: waypoints belong to ambient mode, which has no sidecars', 'no-effect');
  checkListeners(spec.listeners, checker.at('listeners'));
  checkAddresses(spec, checker.at('addresses'));
  const ports = new Set<number>();
  for (const [{ port }, place] of each(
    spec.tls?.frontend?.perPort,
    checker.at('tls', 'frontend'),
    'perPort',
  )) {
    if (ports.has(port)) place.at('port').error(`port ${port} stands here twice`);
    ports.add(port);
  }
  if (spec.defaultScope === 'All') checker.at('defaultScope').warn('has no effect, as in Istio', 'no-effect');
};

export const validateListenerSet: Validator = (object, _meta, report) => {
  const spec = object['spec'] as ListenerSetSpec;
  checkListeners(spec.listeners, new Checker(report, ['spec', 'listeners']));
};

export const validateGatewayClass: Validator = (object, _meta, report) => {
  const { controllerName } = object['spec'] as GatewayClassSpec;
  const slash = controllerName.indexOf('/');
  if (slash < 0 || !isDnsSubdomain(controllerName.slice(0, slash)) || slash === controllerName.length - 1)
    new Checker(report, ['spec', 'controllerName']).error(
      `must be domain/path, as istio.io/gateway-controller is, not "${controllerName}"`,
    );
};

export const validateReferenceGrant: Validator = (object, _meta, report) => {
  const spec = object['spec'] as ReferenceGrantSpec;
  const checker = new Checker(report, ['spec']);
  checkCount(spec.from, 1, 16, checker.at('from'));
  checkCount(spec.to, 1, 16, checker.at('to'));
  for (const [{ namespace }, place] of each(spec.from, checker, 'from'))
    if (!isDnsLabel(namespace)) place.at('namespace').error(`"${namespace}" is not a namespace`);
};

export const validateBackendTlsPolicy: Validator = (object, _meta, report) => {
  const { targetRefs, validation } = object['spec'] as BackendTlsPolicySpec;
  const checker = new Checker(report, ['spec']);
  checkCount(targetRefs, 1, 16, checker.at('targetRefs'));
  const targets = new Map<string, Set<string>>();
  for (const [target, place] of each(targetRefs, checker, 'targetRefs')) {
    const key = `${target.group}/${target.kind}/${target.name}`;
    const sections = targets.get(key) ?? new Set();
    const section = target.sectionName ?? '';
    if (sections.has(section)) place.error(`${target.kind} ${target.name} is a target already`);
    else if (sections.size > 0 && (section === '' || sections.has('')))
      place.error('sectionName must be set on each of several references to one target');
    targets.set(key, sections.add(section));
  }
  const place = checker.at('validation');
  const refs = validation.caCertificateRefs ?? [];
  const wellKnown = validation.wellKnownCACertificates ?? '';
  if (refs.length > 0 && wellKnown !== '')
    place.error('must have either caCertificateRefs or wellKnownCACertificates, not both');
  if (refs.length === 0 && wellKnown === '')
    place.error('must have either caCertificateRefs or wellKnownCACertificates');
  checkCount(refs, 0, 8, place.at('caCertificateRefs'));
  if (!isDnsSubdomain(validation.hostname))
    place.at('hostname').error(`"${validation.hostname}" is not a host name (wildcards are not either)`);
  checkCount(validation.subjectAltNames ?? [], 0, 5, place.at('subjectAltNames'));
  for (const [{ type, hostname, uri }, name] of each(validation.subjectAltNames, place, 'subjectAltNames')) {
    const isHost = type === 'Hostname';
    if (isHost !== (hostname !== undefined))
      name.error(`hostname ${isHost ? 'must be set' : 'cannot stand'} where type is ${type}`);
    if (isHost === (uri !== undefined))
      name.error(`uri ${isHost ? 'cannot stand' : 'must be set'} where type is ${type}`);
    if (hostname !== undefined) checkHostname(hostname, name.at('hostname'));
  }
};

/** A host name, or one whose first label is `*`. */
export function checkHostname(hostname: string, checker: Checker): void {
  const plain = hostname.startsWith('*.') ? hostname.slice(2) : hostname;
  if (!isDnsSubdomain(plain))
    checker.error(
      `"${hostname}" is not a host name: lower-case labels joined by dots, the first of which may be *`,
    );
}

export function checkCount(items: readonly unknown[], min: number, max: number, checker: Checker): void {
  if (items.length < min || items.length > max)
    checker.error(`must have ${min === 0 ? 'at most' : `${min} to`} ${max} items, not ${items.length}`);
}

function checkListeners(listeners: readonly Listener[], checker: Checker): void {
  checkCount(listeners, 1, 64, checker);
  const names = new Set<string>();
  const places = new Set<string>();
  for (const [index, listener] of listeners.entries()) {
    const place = checker.at(index);
    const { name, port, protocol, hostname } = listener;
    if (!isDnsSubdomain(name)) place.at('name').error(`"${name}" is not the name of a listener`);
    if (names.has(name)) place.at('name').error(`listener ${name} stands here twice`);
    names.add(name);
    const key = JSON.stringify([port, protocol, hostname]);
    if (places.has(key)) place.error('port, protocol and hostname are together those of an earlier listener');
    places.add(key);
    if (hostname !== undefined) checkHostname(hostname, place.at('hostname'));
    checkListenerTls(listener, place);
  }
}

function checkListenerTls({ protocol, tls, hostname }: Listener, checker: Checker): void {
  if (['HTTP', 'TCP', 'UDP'].includes(protocol) && tls !== undefined)
    checker.at('tls').error(`cannot stand where the protocol is ${protocol}`);
  if (['TCP', 'UDP'].includes(protocol) && hostname !== undefined)
    checker.at('hostname').error(`cannot stand where the protocol is ${protocol}`);
  if (protocol === 'TLS' && tls?.mode === undefined)
    checker.error('tls.mode must be set where the protocol is TLS');
  if (protocol === 'HTTPS' && tls?.mode === 'Passthrough')
    checker.at('tls', 'mode').error('must be Terminate where the protocol is HTTPS');
  if (tls === undefined || tls.mode === 'Passthrough') return;
  if ((tls.certificateRefs ?? []).length === 0 && Object.keys(tls.options ?? {}).length === 0)
    checker.at('tls').error('certificateRefs or options must be set where the mode is Terminate');
}

function checkAddresses({ addresses = [] }: KubeGatewaySpec, checker: Checker): void {
  checkCount(addresses, 0, 16, checker);
  const seen = new Set<string>();
  for (const [index, { type = 'IPAddress', value }] of addresses.entries()) {
    if (value === undefined) continue;
    const place = checker.at(index, 'value');
    if (type === 'Hostname' && value !== '') checkHostname(value, place);
    if (seen.has(`${type}/${value}`)) place.error(`${type} ${value} stands here twice`);
    seen.add(`${type}/${value}`);
  }
}
