// ServiceEntry: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { ServiceEntrySpec } from '../../api/gen/istio-types.js';
import { isHttp, isTcp, isTls, parseProtocol } from '../../model/protocol.ts';
import { Checker, each } from './checker.ts';
import {
  checkExportTo,
  checkIpSubnet,
  checkPort,
  checkPortName,
  checkProtocol,
  checkSelectorLabels,
  checkWildcardDomain,
  isFqdn,
  isPartialWildcard,
} from './rules.ts';
import { checkHealthCheck } from './health-check.ts';
import { checkWorkload } from './workload-entry.ts';
import type { Validator } from './validator.ts';

export const validateServiceEntry: Validator = (object, meta, report) => {
  const spec = object['spec'] as ServiceEntrySpec;
  const checker = new Checker(report, ['spec']);
  checkHealthCheck(meta.annotations, report);
  checkSelector(spec, checker);
  checkHosts(spec, checker);
  checkAddresses(spec, checker);
  checkPorts(spec, checker);
  switch (resolutionOf(spec)) {
    case 'NONE':
      if ((spec.endpoints ?? []).length > 0)
        checker.at('endpoints').error('no endpoints should be provided for resolution type NONE');
      if (spec.workloadSelector !== undefined)
        checker
          .at('workloadSelector')
          .warn('workloadSelector should not be set when resolution mode is NONE');
      break;
    case 'STATIC':
      for (const [endpoint, place] of each(spec.endpoints, checker, 'endpoints'))
        checkWorkload(endpoint, portNames(spec), false, place);
      break;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      checkDns(spec, checker);
      break;
    case 'DYNAMIC_DNS':
      checkDynamicDns(spec, checker);
      break;
  }
  const isPlain = (spec.ports ?? []).some(({ protocol = '' }) => {
    const known = parseProtocol(protocol);
    return !isHttp(known) && !isTls(known);
  });
  // Hosts are told apart by authority or SNI; with neither, only the address is left, which NONE ignores.
  if (resolutionOf(spec) !== 'NONE' && (spec.hosts ?? []).length > 1 && isPlain)
    checker.at('hosts').error('multiple hosts provided with non-HTTP, non-TLS ports');
  checkExportTo(spec.exportTo, meta.namespace, true, checker.at('exportTo'));
};

function resolutionOf(spec: ServiceEntrySpec): NonNullable<ServiceEntrySpec['resolution']> {
  return spec.resolution ?? 'NONE';
}

function portNames(spec: ServiceEntrySpec): ReadonlySet<string> {
  return new Set((spec.ports ?? []).map((port) => port.name ?? ''));
}

function checkSelector(spec: ServiceEntrySpec, checker: Checker): void {
  const { workloadSelector } = spec;
  if (workloadSelector === undefined) return;
  const place = checker.at('workloadSelector');
  checkSelectorLabels(workloadSelector.labels, place.at('labels'));
  if (Object.keys(workloadSelector.labels ?? {}).length === 0)
    place.warn('a workload selector without labels: it applies to all workloads of the namespace');
  if (spec.endpoints !== undefined) checker.error('only one of workloadSelector or endpoints is allowed');
}

function checkHosts(spec: ServiceEntrySpec, checker: Checker): void {
  if ((spec.hosts ?? []).length === 0) checker.error('a service entry must have at least one host');
  for (const [host, place] of each(spec.hosts, checker, 'hosts')) {
    if (host === '*') place.error('invalid host *');
    else {
      checkWildcardDomain(host, place);
      if (resolutionOf(spec) !== 'DYNAMIC_DNS' && isPartialWildcard(host))
        place.warn(`partial wildcard "${host}" not allowed`);
    }
  }
}

function checkAddresses(spec: ServiceEntrySpec, checker: Checker): void {
  for (const [address, place] of each(spec.addresses, checker, 'addresses')) checkIpSubnet(address, place);
  const resolution = resolutionOf(spec);
  const hasCidr = (spec.addresses ?? []).some((address) => address.includes('/'));
  if (hasCidr && resolution !== 'NONE' && resolution !== 'STATIC')
    checker.at('addresses').error('CIDR addresses are allowed only for NONE/STATIC resolution types');
}

function checkPorts(spec: ServiceEntrySpec, checker: Checker): void {
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const [port, place] of each(spec.ports, checker, 'ports')) {
    const { name = '', number = 0, targetPort = 0, protocol } = port;
    if (names.has(name)) place.error(`service entry port name "${name}" already defined`);
    if (numbers.has(number)) place.error(`service entry port ${number} already defined`);
    names.add(name);
    numbers.add(number);
    if (targetPort !== 0) checkPort(targetPort, place.at('targetPort'));
    checkPortName(name, place.at('name'));
    checkProtocol(protocol, place.at('protocol'));
    checkPort(number, place.at('number'));
  }
}

function checkDns(spec: ServiceEntrySpec, checker: Checker): void {
  const resolution = resolutionOf(spec);
  const endpoints = spec.endpoints ?? [];
  const unresolvable = (spec.hosts ?? []).findIndex((host) => !isFqdn(host));
  if (endpoints.length === 0 && unresolvable >= 0)
    checker
      .at('hosts', unresolvable)
      .error(`hosts must be FQDN if no endpoints are provided for resolution mode ${resolution}`);
  if (resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1)
    checker
      .at('endpoints')
      .error(`there must only be 0 or 1 endpoint for resolution mode ${resolution}, not ${endpoints.length}`);
  for (const [endpoint, place] of each(endpoints, checker, 'endpoints')) {
    if (endpoint.address?.startsWith('unix://') === true)
      place
        .at('address')
        .error(`endpoint address "${endpoint.address}" is not a valid FQDN or an IP address`);
    else if (endpoint.address === undefined || endpoint.address === '')
      place.error('endpoint address "" is not a valid FQDN or an IP address');
    else checkWorkload(endpoint, portNames(spec), true, place);
  }
  const hasTcp = (spec.ports ?? []).some(({ protocol = '' }) => isTcp(parseProtocol(protocol)));
  if ((spec.addresses ?? []).length > 0 && (spec.hosts ?? []).length > 1 && hasTcp)
    checker.warn('a service entry can not have more than one host together with addresses and a TCP port');
}

function checkDynamicDns(spec: ServiceEntrySpec, checker: Checker): void {
  for (const [host, place] of each(spec.hosts, checker, 'hosts'))
    if (!host.startsWith('*')) place.error('the host must be a wildcard for resolution mode DYNAMIC_DNS');
  for (const field of ['addresses', 'endpoints'] as const)
    if ((spec[field] ?? []).length > 0)
      checker.at(field).error(`${field} cannot be set for resolution type DYNAMIC_DNS`);
  for (const [port, place] of each(spec.ports, checker, 'ports')) {
    const protocol = parseProtocol(port.protocol ?? '');
    if (!['HTTP', 'TLS', 'GRPC', 'HTTP2'].includes(protocol))
      place
        .at('protocol')
        .error('only HTTP, TLS, GRPC, and HTTP2 protocols are supported for resolution type DYNAMIC_DNS');
  }
}
