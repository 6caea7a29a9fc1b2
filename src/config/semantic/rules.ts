// The rules that several kinds share: hosts, addresses, ports, durations, labels, exportTo.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import { isIP } from 'node:net';
import { parseDurationMs } from '../../model/duration.ts';
import { parseProtocol } from '../../model/protocol.ts';
import type { Checker } from './checker.ts';

/** 1 to 65535. */
export function checkPort(port: number | undefined, checker: Checker): void {
  if (port === undefined || port < 1 || port > 65_535)
    checker.error(`port number ${port ?? 0} must be in the range 1..65535`);
}

/** At least 1ms, and no finer. */
export function checkDuration(text: string | undefined, checker: Checker): void {
  if (text === undefined) return;
  const ms = parseDurationMs(text);
  if (ms === undefined) checker.error(`"${text}" is not a duration such as "1.5s"`);
  else if (ms < 1) checker.error(`the duration must be 1ms or more, not "${text}"`);
  else if (!Number.isInteger(ms))
    checker.error(`only durations to ms precision are supported, not "${text}"`);
}

/** RFC 1123, in either case: what Istio takes as a label of a host name or as a subset. */
export function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(text);
}

/** A full or short DNS name, without wildcards; a dot may end it. */
export function isFqdn(text: string): boolean {
  return fqdnProblem(text) === undefined;
}

export function checkFqdn(text: string, checker: Checker): void {
  const problem = fqdnProblem(text);
  if (problem !== undefined) checker.error(problem);
}

/** As a DNS name, and its first label may be `*`, `*abc` or `*-abc`. */
export function checkWildcardDomain(text: string, checker: Checker): void {
  const problem = wildcardDomainProblem(text);
  if (problem !== undefined) checker.error(problem);
}

/** What is wrong with a host that may have a wildcard in front. */
export function wildcardDomainProblem(text: string): string | undefined {
  const length = lengthProblem(text);
  if (length !== undefined) return length;
  const dot = text.indexOf('.');
  const first = dot < 0 ? text : text.slice(0, dot);
  const body = first.replace(/^\*-?/, '');
  const isWildcardLabel = first === '*' || (isLabel(body) && first.length <= 63);
  if (!isWildcardLabel) return `domain name "${text}" invalid (label "${first}" invalid)`;
  return dot < 0 ? undefined : labelsProblem(text.slice(dot + 1), text);
}

/**
 * Hosts of VirtualServices on gateways with AUTO_PASSTHROUGH: `outbound_.80_._.reviews.default...`;
 * undefined if right.
 */
export function sniDomainProblem(text: string): string | undefined {
  if (!text.startsWith('outbound_')) return wildcardDomainProblem(text);
  const form = 'outbound_.<PORT>_.<SUBSET>_.<HOSTNAME>';
  const parts = text.split('_');
  if (parts.length < 4) return `domain name ${text} invalid, should follow '${form}' format`;
  const port = (parts[1] ?? '').replaceAll(/^\.+|\.+$/g, '');
  const host = (parts[3] ?? '').replaceAll(/^\.+|\.+$/g, '');
  if (!/[0-9]/.test(port))
    return `domain name "${text}" invalid (label "${port}" invalid). should follow ${form} format`;
  if (!/[a-zA-Z]/.test(host))
    return `domain name "${text}" invalid (label "${host}" invalid). should follow ${form} format`;
  return undefined;
}

/** An IP address, without a mask. */
export function checkIpAddress(text: string, checker: Checker): void {
  if (isIP(text) === 0) checker.error(`"${text}" is not a valid IP`);
}

/** An IP address, or a CIDR such as 10.0.0.0/8. */
export function checkIpSubnet(text: string, checker: Checker): void {
  const [address = '', length, ...rest] = text.split('/');
  if (length === undefined || rest.length > 0) {
    checkIpAddress(text, checker);
    return;
  }
  const bits = isIP(address) === 4 ? 32 : isIP(address) === 6 && !address.includes('%') ? 128 : -1;
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bits)
    checker.error(`"${text}" is not a valid CIDR block`);
}

/** After `unix://`: an absolute path to a file, or `@` and an abstract name. */
export function checkUnixPath(path: string, checker: Checker): void {
  if (path === '') checker.error('the unix address must not be empty');
  else if (!path.startsWith('@') && (!path.startsWith('/') || path.endsWith('/')))
    checker.error(`"${path}" is not an absolute path to a file`);
}

/** Labels that select workloads or name subsets. */
export function checkLabels(labels: Readonly<Record<string, string>> | undefined, checker: Checker): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const slash = key.lastIndexOf('/');
    const prefix = key.slice(0, Math.max(slash, 0));
    const name = key.slice(slash + 1);
    const isPrefixRight = slash < 0 || (prefix.length <= 253 && prefix.split('.').every(isLabel));
    if (!isPrefixRight || name.length > 63 || !qualifiedName.test(name))
      checker.at(key).error(`invalid label key: "${key}"`);
    if (value !== '' && !qualifiedName.test(value)) checker.at(key).error(`invalid label value: "${value}"`);
  }
}

/** The `labels` of a workloadSelector: no empty key, no wildcards. */
export function checkSelectorLabels(
  labels: Readonly<Record<string, string>> | undefined,
  checker: Checker,
): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (key === '') checker.error(`an empty key is not supported in a selector: "${key}=${value}"`);
    if (key.includes('*') || value.includes('*'))
      checker.error(`a wildcard is not supported in a selector: "${key}=${value}"`);
  }
}

/** `.`, `*` or names of namespaces, each once; a ServiceEntry may also say `~` (nobody). */
export function checkExportTo(
  exportTo: readonly string[] | undefined,
  namespace: string,
  mayBeNobody: boolean,
  checker: Checker,
): void {
  const seen = new Set<string>();
  for (const [index, entry] of (exportTo ?? []).entries()) {
    const key = entry === '.' ? namespace : entry;
    const place = checker.at(index);
    if (seen.has(key))
      place.error(
        entry === '.'
          ? `duplicate entries in exportTo: . and the current namespace ${namespace}`
          : `duplicate entries in exportTo for entry ${entry}`,
      );
    const isNobody = entry === '~' && mayBeNobody;
    if (key !== '*' && !isNobody && !isLabel(key))
      place.error(`only . or *, or a valid namespace is allowed in exportTo, not "${entry}"`);
    seen.add(key);
  }
  const several = (exportTo?.length ?? 0) > 1;
  if (seen.has('*') && several)
    checker.error('cannot have both public (*) and non-public exportTo values for a resource');
  if (seen.has('~') && several) checker.error('cannot export to no one (~) and someone');
}

/** `namespace/host` of a Gateway's server or of a Sidecar's egress. */
export function checkNamespacedHost(text: string, isGateway: boolean, checker: Checker): void {
  const slash = text.indexOf('/');
  if (slash < 0) {
    if (isGateway) checkScopedHost(text, true, checker);
    else checker.error(`the host must be of the form namespace/dnsName, not "${text}"`);
    return;
  }
  const namespace = text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (namespace === '' || host === '')
    checker.error(`the namespace and dnsName of a host cannot be empty: "${text}"`);
  const plain = isGateway ? namespace : namespace.replace(/^~/, '');
  const isRight = plain === '*' || plain === '.' || isLabel(plain) || (!isGateway && namespace === '~');
  if (!isRight && namespace !== '')
    checker.error(`invalid namespace value "${namespace}" in ${isGateway ? 'gateway' : 'sidecar'}`);
  checkScopedHost(host, isGateway, checker);
}

/** `name`, `namespace/name`, `mesh`, or an old DNS name. */
export function checkGatewayNames(names: readonly string[] | undefined, checker: Checker): void {
  for (const [index, name] of (names ?? []).entries()) {
    const place = checker.at(index);
    const slash = name.indexOf('/');
    if (slash < 0) {
      const [first = '', second = ''] = name.split('.');
      if (name.includes('.'))
        place.warn(`"${name}" is the legacy form of a gateway's name; prefer "${second}/${first}"`);
      checkFqdn(name, place);
      continue;
    }
    const namespace = name.slice(0, slash);
    const gateway = name.slice(slash + 1);
    if (namespace === '' || gateway === '') place.error('namespace and name of a gateway cannot be empty');
    else if (!isLabel(namespace) && namespace !== '.')
      place.error(`invalid value for namespace: "${namespace}"`);
    else if (!isLabel(gateway)) place.error(`invalid value for gateway name: "${gateway}"`);
  }
}

/** One name of many: `HTTP`, `tls`... or empty, which is for the proxy to find out. */
export function checkProtocol(protocol: string | undefined, checker: Checker): void {
  if (protocol !== undefined && protocol !== '' && parseProtocol(protocol) === 'unsupported')
    checker.error(`unsupported protocol: ${protocol}; accepted: ${protocolNames}`);
}

export const protocolNames = 'HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, UDP, MONGO, REDIS, MYSQL';

export function checkPortName(name: string, checker: Checker): void {
  if (!isLabel(name)) checker.error(`invalid port name: "${name}"`);
}

/** 0 to 100. */
export function checkPercent(value: number | undefined, checker: Checker): void {
  if (value !== undefined && (value < 0 || value > 100))
    checker.error(`percentage ${value} is not in range 0..100`);
}

const qualifiedName = /^(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

function checkScopedHost(host: string, isGateway: boolean, checker: Checker): void {
  if (host !== '*' && host !== '' && !host.includes('.') && isIP(host) === 0)
    checker.error(`short names (non FQDN) are not allowed: "${host}"`);
  const problem = wildcardDomainProblem(host);
  if (problem !== undefined && !(isGateway && isIP(host) !== 0)) checker.error(problem);
  if (isPartialWildcard(host)) checker.error(`partial wildcard "${host}" not allowed`);
}

/** `*foo.com`, which no table of hosts can hold. */
export function isPartialWildcard(host: string): boolean {
  return host.includes('*') && host.length !== 1 && !host.startsWith('*.');
}

function lengthProblem(text: string): string | undefined {
  if (text.length > 255) return `domain name "${text.slice(0, 40)}..." too long (max 255)`;
  return text === '' ? 'an empty domain name is not allowed' : undefined;
}

function fqdnProblem(text: string): string | undefined {
  return lengthProblem(text) ?? labelsProblem(text, text);
}

/** `labelsText` holds those labels of `domain` that may not be wildcards. */
function labelsProblem(labelsText: string, domain: string): string | undefined {
  const labels = labelsText.split('.');
  const top = labels.at(-1) ?? '';
  if (/^[+-]?[0-9]+$/.test(top))
    return `domain name "${domain}" invalid (top level domain "${top}" cannot be all-numeric)`;
  for (const [index, label] of labels.entries()) {
    // A dot at the end makes the name absolute.
    if (index === labels.length - 1 && label === '') return undefined;
    if (!isLabel(label)) return `domain name "${domain}" invalid (label "${label}" invalid)`;
  }
  return undefined;
}
