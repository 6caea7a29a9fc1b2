// Gateway: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import { isIP } from 'node:net';
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import { isHttp, isTls, parseProtocol } from '../../model/protocol.ts';
import { Checker, each } from './checker.ts';
import {
  checkIpAddress,
  checkNamespacedHost,
  checkPort,
  checkUnixPath,
  isLabel,
  protocolNames,
} from './rules.ts';
import { checkServerTls } from './server-tls.ts';
import type { Validator } from './validator.ts';

export const validateGateway: Validator = (object, meta, report) => {
  const spec = object['spec'] as GatewaySpec;
  const checker = new Checker(report, ['spec']);
  if (!isLabel(meta.name))
    new Checker(report, ['metadata', 'name']).error(`invalid gateway name: "${meta.name}"`);
  if ((spec.servers ?? []).length === 0) checker.error('a gateway must have at least one server');
  const names = new Set<string>();
  for (const [server, place] of each(spec.servers, checker, 'servers')) {
    checkServer(server, place);
    const name = server.port?.name ?? '';
    if (names.has(name))
      place.at('port', 'name').error(`port names in servers must be unique: duplicate name ${name}`);
    names.add(name);
  }
};

type Server = NonNullable<GatewaySpec['servers']>[number];

function checkServer(server: Server, checker: Checker): void {
  if ((server.hosts ?? []).length === 0) checker.error('server config must contain at least one host');
  for (const [host, place] of each(server.hosts, checker, 'hosts')) checkNamespacedHost(host, true, place);
  checkServerPort(server, checker);
  checkServerTls(server.tls, checker.at('tls'));
  const protocol = parseProtocol(server.port?.protocol ?? '');
  if (protocol === 'unsupported') return;
  const { tls } = server;
  const place = checker.at('tls');
  if (isTls(protocol)) {
    if (tls === undefined) checker.error('server must have TLS settings for HTTPS/TLS protocols');
  } else if (tls !== undefined) {
    if (!isHttp(protocol)) place.error('server cannot have TLS settings for non HTTPS/TLS ports');
    else if (
      !isPassThrough(tls) ||
      [tls.caCertificates, tls.privateKey, tls.serverCertificate].some((text) => (text ?? '') !== '')
    )
      place.error('server cannot have TLS settings for plain text HTTP ports; only httpsRedirect');
  }
  if (protocol === 'UDP')
    checker
      .at('port', 'protocol')
      .warn('gateways do not listen for UDP: as in Istio the port is taken for TCP');
  if ((server.defaultEndpoint ?? '') !== '')
    checker
      .at('defaultEndpoint')
      .warn('has no effect on a Gateway, as in Istio: VirtualServices say where to');
  if (!isHttp(protocol) && tls?.httpsRedirect === true)
    place.at('httpsRedirect').warn('tls.httpsRedirect should only be used with http servers');
}

/** Absent, the mode is PASSTHROUGH. */
function isPassThrough(tls: NonNullable<Server['tls']>): boolean {
  return tls.mode === undefined || tls.mode === 'PASSTHROUGH' || tls.mode === 'AUTO_PASSTHROUGH';
}

function checkServerPort(server: Server, checker: Checker): void {
  const { port, bind = '' } = server;
  const place = checker.at('port');
  if (port === undefined) {
    checker.error('port is required');
    return;
  }
  const { number = 0, name = '', protocol = '' } = port;
  if (parseProtocol(protocol) === 'unsupported')
    place.at('protocol').error(`invalid protocol "${protocol}"; accepted: ${protocolNames}`);
  const isUnix = bind.startsWith('unix://');
  if (number > 0 || !isUnix) checkPort(number, place.at('number'));
  if ((port.targetPort ?? 0) > 0) place.at('targetPort').error('targetPort has no impact on Gateways');
  if (name === '') place.error('the port name must be set');
  if (isUnix) {
    checkUnixPath(bind.slice('unix://'.length), checker.at('bind'));
    if (number !== 0) place.at('number').error('the port number must be 0 for a unix domain socket');
  } else if (bind !== '' && isIP(bind) === 0) checkIpAddress(bind, checker.at('bind'));
}
