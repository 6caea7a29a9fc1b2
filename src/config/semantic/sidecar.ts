// Sidecar: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { SidecarSpec } from '../../api/gen/istio-types.js';
import { isHttp, isTls, parseProtocol } from '../../model/protocol.ts';
import { Checker, each } from './checker.ts';
import { checkDestination } from './destination.ts';
import { checkConnectionPool } from './destination-rule.ts';
import {
  checkFqdn,
  checkIpAddress,
  checkNamespacedHost,
  checkPort,
  checkPortName,
  checkProtocol,
  checkSelectorLabels,
  checkUnixPath,
} from './rules.ts';
import { checkServerTls } from './server-tls.ts';
import type { Validator } from './validator.ts';

export const validateSidecar: Validator = (object, meta, report) => {
  const spec = object['spec'] as SidecarSpec;
  const checker = new Checker(report, ['spec']);
  const { workloadSelector } = spec;
  if (workloadSelector !== undefined) {
    checkSelectorLabels(workloadSelector.labels, checker.at('workloadSelector', 'labels'));
    if (Object.keys(workloadSelector.labels ?? {}).length === 0)
      checker
        .at('workloadSelector')
        .warn('a workload selector without labels: it applies to all workloads of the namespace');
  }
  const isEmpty = (spec.egress ?? []).length === 0 && (spec.ingress ?? []).length === 0;
  if (isEmpty && spec.outboundTrafficPolicy === undefined && spec.inboundConnectionPool === undefined)
    checker.error('empty: egress, ingress, outboundTrafficPolicy or inboundConnectionPool is needed');
  checkIngress(spec, checker);
  checkConnectionPool(spec.inboundConnectionPool, checker.at('inboundConnectionPool'));
  checkEgress(spec, meta.namespace, checker);
  checkOutboundPolicy(spec, checker.at('outboundTrafficPolicy'));
};

type Ingress = NonNullable<SidecarSpec['ingress']>[number];
type Egress = NonNullable<SidecarSpec['egress']>[number];

const unix = 'unix://';

function checkIngress(spec: SidecarSpec, checker: Checker): void {
  const ports = new Set<number>();
  for (const [ingress, place] of each(spec.ingress, checker, 'ingress')) {
    const { port, bind = '' } = ingress;
    if (port === undefined) {
      place.error('port is required for ingress listeners');
      continue;
    }
    checkSidecarPort(port, bind, place);
    const number = port.number ?? 0;
    if (ports.has(number)) place.at('port').error('ports on IP bound listeners must be unique');
    ports.add(number);
    checkDefaultEndpoint(ingress.defaultEndpoint ?? '', place.at('defaultEndpoint'));
    checkIngressTls(ingress, place.at('tls'));
    checkConnectionPool(ingress.connectionPool, place.at('connectionPool'));
    if (ingress.connectionPool?.http !== undefined && !isHttp(parseProtocol(port.protocol ?? '')))
      place
        .at('connectionPool', 'http')
        .warn(
          `HTTP settings do not apply to port ${number}, whose protocol is ${port.protocol ?? 'not set'}`,
        );
  }
}

type Port = NonNullable<Ingress['port']>;

function checkSidecarPort(port: Port, bind: string, checker: Checker): void {
  const place = checker.at('port');
  if ((port.targetPort ?? 0) > 0) place.at('targetPort').error('targetPort has no impact on Sidecars');
  if (port.name !== undefined && port.name !== '') checkPortName(port.name, place.at('name'));
  checkProtocol(port.protocol, place.at('protocol'));
  checkPort(port.number, place.at('number'));
  if (bind !== '') checkIpAddress(bind, checker.at('bind'));
}

/** `127.0.0.1:8080`, `[::1]:8080`, `0.0.0.0:8080`, `:8080` or `unix:///path`. */
function checkDefaultEndpoint(endpoint: string, checker: Checker): void {
  if (endpoint === '') return;
  if (endpoint.startsWith(unix)) {
    checkUnixPath(endpoint.slice(unix.length), checker);
    return;
  }
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(endpoint);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (match === null || !['', '127.0.0.1', '0.0.0.0', '::1', '::'].includes(host))
    checker.error(
      `defaultEndpoint must be of form 127.0.0.1:<port>, 0.0.0.0:<port>, [::1]:<port>, [::]:<port>, unix://filepath or unset, not "${endpoint}"`,
    );
  else if (!/^\d+$/.test(match[3] ?? ''))
    checker.error(`defaultEndpoint port (${match[3] ?? ''}) is not a number`);
  else checkPort(Number(match[3]), checker);
}

function checkIngressTls(ingress: Ingress, checker: Checker): void {
  const { tls, port } = ingress;
  if (tls === undefined) return;
  const refused = [
    ['subjectAltNames', (tls.subjectAltNames ?? []).length > 0],
    ['httpsRedirect', tls.httpsRedirect === true],
    ['credentialName', (tls.credentialName ?? '') !== ''],
    ['credentialNames', (tls.credentialNames ?? []).length > 0],
    ['tlsCertificates', (tls.tlsCertificates ?? []).length > 0],
  ] as const;
  for (const [field, isSet] of refused)
    if (isSet) checker.at(field).error(`${field} is not supported in the tls of a Sidecar's ingress`);
  if (tls.mode === 'ISTIO_MUTUAL' || tls.mode === 'AUTO_PASSTHROUGH')
    checker.at('mode').error(`cannot set mode to ${tls.mode} in sidecar ingress tls`);
  if (!isTls(parseProtocol(port?.protocol ?? '')))
    checker.error('server cannot have TLS settings for non HTTPS/TLS ports');
  checkServerTls(tls, checker);
}

function checkEgress(spec: SidecarSpec, namespace: string, checker: Checker): void {
  const listeners = spec.egress ?? [];
  const ports = new Set<number>();
  const sockets = new Set<string>();
  for (const [egress, place, index] of each(listeners, checker, 'egress')) {
    if (egress.port === undefined) {
      if (index !== listeners.length - 1)
        place.error('the egress listener with empty port should be the last listener in the list');
    } else checkEgressPort(egress, ports, sockets, place);
    checkEgressHosts(egress, namespace, place);
  }
}

function checkEgressPort(egress: Egress, ports: Set<number>, sockets: Set<string>, checker: Checker): void {
  const { port, bind = '', captureMode } = egress;
  if (port === undefined) return;
  const number = port.number ?? 0;
  if (number !== 0) {
    checkSidecarPort(port, bind, checker);
    if (ports.has(number)) checker.at('port').error('ports on IP bound listeners must be unique');
    ports.add(number);
    return;
  }
  checkProtocol(port.protocol, checker.at('port', 'protocol'));
  if (!bind.startsWith(unix))
    checker.at('port').error('ports with 0 value must have a unix domain socket bind address');
  else checkUnixPath(bind.slice(unix.length), checker.at('bind'));
  if (captureMode !== undefined && captureMode !== 'DEFAULT' && captureMode !== 'NONE')
    checker.at('captureMode').error('must be DEFAULT or NONE for unix domain socket listeners');
  if (sockets.has(bind)) checker.at('bind').error('unix domain socket values for listeners must be unique');
  sockets.add(bind);
}

function checkEgressHosts(egress: Egress, namespace: string, checker: Checker): void {
  if ((egress.hosts ?? []).length === 0) checker.error('an egress listener must contain at least one host');
  const hostsOf = new Map<string, Set<string>>();
  for (const [text, place] of each(egress.hosts, checker, 'hosts')) {
    const slash = text.indexOf('/');
    if (slash >= 0 && !text.startsWith('~')) {
      const written = text.slice(0, slash);
      const host = text.slice(slash + 1);
      const scope = written === '.' ? namespace : written;
      const known = hostsOf.get(scope) ?? new Set();
      hostsOf.set(scope, known);
      if (host === '*' ? known.size > 0 : known.has(host) || known.has('*'))
        place.warn(`duplicated egress host: ${text}`);
      known.add(host);
    }
    checkNamespacedHost(text, false, place);
  }
  if (hostsOf.get('*')?.has('*') === true && hostsOf.size !== 1)
    checker.at('hosts').warn('`*/*` host select all resources, no other hosts can be added');
}

function checkOutboundPolicy(spec: SidecarSpec, checker: Checker): void {
  const { mode, egressProxy } = spec.outboundTrafficPolicy ?? {};
  if (egressProxy === undefined) return;
  const place = checker.at('egressProxy');
  // Absent, the mode is REGISTRY_ONLY.
  if (mode !== 'ALLOW_ANY') {
    place.error('egressProxy must be set only with outboundTrafficPolicy mode ALLOW_ANY');
    return;
  }
  checkFqdn(egressProxy.host ?? '', place.at('host'));
  if (egressProxy.port === undefined) place.error('egressProxy needs a port');
  else checkDestination(egressProxy, place);
}
