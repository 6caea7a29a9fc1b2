// VirtualService: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import { isIP } from 'node:net';
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { hostnameCovers } from '../../model/hostname.ts';
import { Checker, each } from './checker.ts';
import { isJwtClaim } from './http-rules.ts';
import { checkHttpRoute } from './http-route.ts';
import {
  checkExportTo,
  checkGatewayNames,
  checkIpSubnet,
  checkLabels,
  checkPort,
  sniDomainProblem,
  wildcardDomainProblem,
} from './rules.ts';
import { checkDestination, checkWeights } from './destination.ts';
import { warnUnreachableRules } from './unreachable-rules.ts';
import type { Validator } from './validator.ts';

export const validateVirtualService: Validator = (object, meta, report) => {
  const spec = object['spec'] as VirtualServiceSpec;
  const checker = new Checker(report, ['spec']);
  const isDelegate = (spec.hosts ?? []).length === 0;
  if (isDelegate) checkDelegate(spec, checker);
  const gateways = spec.gateways ?? [];
  checkGatewayNames(gateways, checker.at('gateways'));
  const isForGateways = gateways.length > 0 && !gateways.includes('mesh');
  if (!isForGateways) checkNoClaims(spec, checker);
  checkHosts(spec, isForGateways, checker.at('hosts'));
  if (isEmpty(spec.http) && isEmpty(spec.tcp) && isEmpty(spec.tls))
    checker.error('http, tcp or tls must be provided in a virtual service');
  for (const [route, place] of each(spec.http, checker, 'http')) checkHttpRoute(route, isDelegate, place);
  for (const [route, place] of each(spec.tls, checker, 'tls'))
    checkTlsRoute(route, spec, isForGateways, place);
  for (const [route, place] of each(spec.tcp, checker, 'tcp')) checkTcpRoute(route, place);
  checkExportTo(spec.exportTo, meta.namespace, false, checker.at('exportTo'));
  for (const kind of ['http', 'tcp', 'tls'] as const)
    warnUnreachableRules(spec[kind] ?? [], kind === 'http', checker.at(kind));
};

type HttpRoute = NonNullable<VirtualServiceSpec['http']>[number];
type TlsRoute = NonNullable<VirtualServiceSpec['tls']>[number];
type TcpRoute = NonNullable<VirtualServiceSpec['tcp']>[number];

function isEmpty(list: readonly unknown[] | undefined): boolean {
  return list === undefined || list.length === 0;
}

function checkDelegate(spec: VirtualServiceSpec, checker: Checker): void {
  for (const field of ['gateways', 'tls', 'tcp'] as const)
    if (!isEmpty(spec[field]))
      checker.at(field).error(`a delegate virtual service (one without hosts) must have no ${field}`);
}

function checkNoClaims(spec: VirtualServiceSpec, checker: Checker): void {
  for (const [route, routePlace] of each<HttpRoute>(spec.http, checker, 'http')) {
    for (const [match, place] of each(route.match, routePlace, 'match')) {
      for (const field of ['headers', 'withoutHeaders'] as const)
        for (const name of Object.keys(match[field] ?? {}))
          if (isJwtClaim(name))
            place
              .at(field, name)
              .error('JWT claim based routing is only supported for gateways, and this is bound to the mesh');
    }
  }
}

function checkHosts(spec: VirtualServiceSpec, isForGateways: boolean, checker: Checker): void {
  const hosts = spec.hosts ?? [];
  const isSni = (spec.tls ?? []).some((route) => !isEmpty(route.match));
  let areRight = true;
  for (const [index, host] of hosts.entries()) {
    const place = checker.at(index);
    const problem = isForGateways && isSni ? sniDomainProblem(host) : wildcardDomainProblem(host);
    if (problem !== undefined) {
      if (isIP(host) !== 0) continue;
      place.error(problem);
      areRight = false;
    } else if (!isForGateways && host === '*') {
      place.error('wildcard host * is not allowed for virtual services bound to the mesh gateway');
      areRight = false;
    }
  }
  if (areRight) checkDistinctHosts(hosts, checker);
}

/** No host may cover another. Looks a suffix up rather than comparing every two: lists may be long. */
function checkDistinctHosts(hosts: readonly string[], checker: Checker): void {
  const places = new Map<string, number>();
  for (const [index, host] of hosts.entries()) {
    const earlier = places.get(host);
    if (earlier === undefined) places.set(host, index);
    else checker.at(index).error(`duplicate hosts in virtual service: ${host} & ${host}`);
  }
  for (const [index, host] of hosts.entries()) {
    for (let start = 0; start <= host.length; start++) {
      const general = `*${host.slice(start)}`;
      const other = places.get(general);
      if (general === host || other === undefined) continue;
      checker
        .at(Math.max(index, other))
        .error(
          `duplicate hosts in virtual service: ${index < other ? `${host} & ${general}` : `${general} & ${host}`}`,
        );
      break;
    }
  }
}

function checkTlsRoute(
  route: TlsRoute,
  spec: VirtualServiceSpec,
  isForGateways: boolean,
  checker: Checker,
): void {
  if (isEmpty(route.match)) checker.error('a TLS route must have at least one match condition');
  for (const [match, place] of each(route.match, checker, 'match')) {
    if (isEmpty(match.sniHosts)) place.error('a TLS match must have at least one SNI host');
    for (const [index, host] of (match.sniHosts ?? []).entries())
      checkSniHost(host, spec.hosts ?? [], isForGateways, place.at('sniHosts', index));
    checkL4Match(match, place);
  }
  if (isEmpty(route.route)) checker.error('a TLS route needs a route');
  checkRoutes(route.route, checker);
}

function checkSniHost(
  host: string,
  hosts: readonly string[],
  isForGateways: boolean,
  checker: Checker,
): void {
  const problem = isForGateways ? sniDomainProblem(host) : wildcardDomainProblem(host);
  if (problem !== undefined && isIP(host) !== 0)
    checker.warn(`an IP address ("${host}") is no SNI, and most clients do not send one`);
  else if (problem !== undefined) checker.error(problem);
  else if (!hosts.some((general) => hostnameCovers(general, host)))
    checker.error(
      `SNI host "${host}" is not a compatible subset of any of the virtual service hosts: [${hosts.join(', ')}]`,
    );
}

function checkTcpRoute(route: TcpRoute, checker: Checker): void {
  for (const [match, place] of each(route.match, checker, 'match')) {
    checkL4Match(match, place);
    if ((match.sourceSubnet ?? '') !== '')
      place
        .at('sourceSubnet')
        .withoutEffect('has no effect, as in Istio: connections are not told apart by their source address');
  }
  if (isEmpty(route.route)) checker.error('a TCP route needs a route');
  checkRoutes(route.route, checker);
}

interface L4Match {
  readonly destinationSubnets?: readonly string[] | undefined;
  readonly port?: number | undefined;
  readonly sourceLabels?: Readonly<Record<string, string>> | undefined;
  readonly gateways?: readonly string[] | undefined;
}

function checkL4Match(match: L4Match, checker: Checker): void {
  for (const [index, subnet] of (match.destinationSubnets ?? []).entries())
    checkIpSubnet(subnet, checker.at('destinationSubnets', index));
  if (match.port !== undefined && match.port !== 0) checkPort(match.port, checker.at('port'));
  checkLabels(match.sourceLabels, checker.at('sourceLabels'));
  checkGatewayNames(match.gateways, checker.at('gateways'));
}

function checkRoutes(routes: TcpRoute['route'], checker: Checker): void {
  for (const [route, place] of each(routes, checker, 'route'))
    checkDestination(route.destination, place.at('destination'));
  checkWeights(routes, checker.at('route'));
}
