// Names of hosts, as Istio compares them.

/** A lower-case DNS name, an IP address, or a name whose first label is `*`. */
export type Hostname = string;

/** Kubernetes: `<name>.<namespace>.svc.<domain>`. */
export function serviceHostname(name: string, namespace: string, domainSuffix: string): Hostname {
  return `${name}.${namespace}.svc.${domainSuffix}`;
}

/**
 * The host that a rule written in `namespace` means: a name without a dot is a service of that
 * namespace, anything else is taken verbatim (Istio: `ResolveShortnameToFQDN`). So
 * `httpserver.securesvc.svc` is *not* completed.
 */
export function resolveHost(host: string, namespace: string, domainSuffix: string): Hostname {
  const lower = host.toLowerCase();
  if (lower.includes('.') || lower.includes(':') || lower === '*' || lower === '') return lower;
  return serviceHostname(lower, namespace, domainSuffix);
}

export function isWildcard(host: Hostname): boolean {
  return host.startsWith('*');
}

/** Whether every name that `specific` covers is covered by `general`. */
export function hostnameCovers(general: Hostname, specific: Hostname): boolean {
  if (general === '*' || general === specific) return true;
  if (!isWildcard(general)) return false;
  const suffix = general.slice(1);
  const name = isWildcard(specific) ? specific.slice(1) : specific;
  return name.length >= suffix.length && name.endsWith(suffix);
}

/** Whether one of the two covers the other. */
export function hostnamesOverlap(a: Hostname, b: Hostname): boolean {
  return hostnameCovers(a, b) || hostnameCovers(b, a);
}

/** Sorts the more specific first: exact names, then longer wildcards, `*` last; ties alphabetically. */
export function compareSpecificity(a: Hostname, b: Hostname): number {
  const wildcards = Number(isWildcard(a)) - Number(isWildcard(b));
  if (wildcards !== 0) return wildcards;
  if (a.length !== b.length) return b.length - a.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
