// Every Host header that means a service: the domains of its virtual host.
import { isIP } from 'node:net';
import type { Hostname } from '../../model/hostname.ts';
import type { Service } from '../../model/service.ts';

export interface DomainOptions {
  /** `<namespace>.svc.cluster.local` of the proxy. */
  readonly dnsDomain: string;
  /** Other names that lead to the service (ExternalName Services). */
  readonly aliases: readonly Hostname[];
  /**
   * `none`: names without a port, for route configurations that ignore the request's. A number: each
   * name bare and with that port.
   */
  readonly port: number | 'none';
}

export interface Domains {
  /** In the order of matching priority; may hold duplicates of other virtual hosts. */
  readonly all: readonly string[];
  /** Those that are short for the hostname: they give way where another service has that very name. */
  readonly short: ReadonlySet<string>;
}

/**
 * The name itself, the absolute name, short names as the proxy's resolver would complete them, the same
 * for aliases; for Kubernetes' headless services one level of names below each (pods); then addresses.
 * Source: Istio `generateVirtualHostDomains`.
 */
export function serviceDomains(service: Service, options: DomainOptions): Domains {
  const { port, dnsDomain, aliases } = options;
  const short = new Set<string>();
  const names: string[] = [];
  for (const name of [service.hostname, ...aliases]) {
    names.push(...withPort(name, port));
    for (const other of otherNames(name, dnsDomain)) {
      // What is left of a wildcard may be the star alone: that is the catch-all's.
      if (other === '*') continue;
      for (const domain of withPort(other, port)) {
        names.push(domain);
        short.add(domain);
      }
    }
  }
  const headless = service.resolution === 'passthrough' && service.registry === 'Kubernetes';
  const pods = headless ? names.map((name) => `*.${name}`) : [];
  // A range of addresses is no host.
  const addresses = service.addresses.filter((address) => !address.includes('/') && address !== '0.0.0.0');
  const all = [...names, ...pods, ...addresses.flatMap((address) => withPort(address, port))];
  return { all, short };
}

/** `host:80`, `[::1]:80` */
export function hostAndPort(host: string, port: number): string {
  return `${bracketed(host)}:${port}`;
}

/** An IPv6 address stands in brackets in a Host header. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function withPort(host: string, port: number | 'none'): string[] {
  return port === 'none' ? [bracketed(host)] : [bracketed(host), hostAndPort(host, port)];
}

/** The absolute name, then short ones. */
function otherNames(hostname: Hostname, dnsDomain: string): readonly string[] {
  const absolute = isIP(hostname) === 0 ? [`${hostname}.`] : [];
  const service = dnsDomain.indexOf('.svc.');
  if (service >= 0) {
    const suffix = dnsDomain.slice(service);
    return hostname.endsWith(suffix)
      ? [...absolute, ...kubernetesNames(hostname, dnsDomain.slice(0, service))]
      : absolute;
  }
  return [...absolute, ...sharedDomainNames(hostname, dnsDomain)];
}

/** `reviews`, `reviews.default.svc`, `reviews.default` within the namespace; the last two turned round from others. */
function kubernetesNames(hostname: Hostname, proxyNamespace: string): readonly string[] {
  const end = hostname.indexOf('.svc.');
  const dot = hostname.indexOf('.');
  if (end <= 0 || dot + 1 > end) return [];
  const qualified = hostname.slice(0, end);
  if (hostname.slice(dot + 1, end) === proxyNamespace)
    return [hostname.slice(0, dot), `${qualified}.svc`, qualified];
  return [qualified, `${qualified}.svc`];
}

/** Outside Kubernetes: what is left of the name without the part that the proxy's domain ends with, too. */
function sharedDomainNames(hostname: Hostname, dnsDomain: string): readonly string[] {
  const name = hostname.split('.');
  const domain = dnsDomain.split('.');
  let shared = 0;
  while (
    shared < Math.min(name.length, domain.length) &&
    name[name.length - 1 - shared] === domain[domain.length - 1 - shared]
  )
    shared += 1;
  if (shared === 0) return [];
  const unique = name.slice(0, name.length - shared);
  const first = name[name.length - shared];
  const short = unique.join('.');
  return unique.length === 2 && first !== undefined ? [short, `${short}.${first}`] : [short];
}
