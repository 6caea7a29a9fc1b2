// Which hosts there are, for whom, with which ports: Services and ServiceEntries as destinations.
import type { ServiceEntrySpec } from '../api/gen/istio-types.js';
import { hostnameCovers, isWildcard, resolveHost, serviceHostname } from '../model/hostname.ts';
import type { KubeServiceSpec } from '../config/kube-types.ts';
import { groupBy } from './group.ts';
import type { Objects } from './object.ts';

export const domainSuffix = 'cluster.local';

export interface KnownHost {
  readonly host: string;
  /** Namespaces that see it, and `*` for all. */
  readonly scopes: readonly string[];
  readonly ports: readonly number[];
  /** Labels of a ServiceEntry's workloads; empty for a Service. */
  readonly workloadLabels: Readonly<Record<string, string>>;
}

/** Hosts, found by name. */
export interface KnownHosts {
  readonly exact: ReadonlyMap<string, readonly KnownHost[]>;
  readonly wildcards: readonly KnownHost[];
}

/** Every host that the objects declare. */
export function knownHosts(objects: Objects): KnownHosts {
  const all = declaredHosts(objects);
  const exact = groupBy(all, ({ host }) => host);
  return { exact, wildcards: all.filter(({ host }) => isWildcard(host)) };
}

function declaredHosts(objects: Objects): readonly KnownHost[] {
  const hosts: KnownHost[] = [];
  for (const { body, namespace } of objects.list('ServiceEntry')) {
    const spec = (body['spec'] ?? {}) as ServiceEntrySpec;
    for (const host of spec.hosts ?? [])
      hosts.push({
        host: resolveHost(host, namespace, domainSuffix),
        scopes: exportScopes(spec.exportTo, namespace),
        ports: (spec.ports ?? []).map(({ number }) => number ?? 0),
        workloadLabels: spec.workloadSelector?.labels ?? {},
      });
  }
  for (const { body, namespace, name, annotations } of objects.list('Service')) {
    const spec = (body['spec'] ?? {}) as KubeServiceSpec;
    const exportTo = annotations['networking.istio.io/exportTo'];
    hosts.push({
      host: serviceHostname(name, namespace, domainSuffix),
      scopes: annotatedScopes(exportTo, namespace),
      ports: (spec.ports ?? []).map(({ port }) => port),
      workloadLabels: {},
    });
  }
  return hosts;
}

/** Those that the annotation networking.istio.io/exportTo of a Service means: names with commas between them. */
export function annotatedScopes(annotation: string | undefined, namespace: string): readonly string[] {
  const names = (annotation ?? '').split(',').map((name) => name.trim());
  return exportScopes(
    names.filter((name) => name !== ''),
    namespace,
  );
}

/** The namespaces that an exportTo means; nothing said: all. */
export function exportScopes(exportTo: readonly string[] | undefined, namespace: string): readonly string[] {
  const written = exportTo ?? [];
  if (written.length === 0 || written.includes('*')) return ['*'];
  return [...new Set(written.map((scope) => (scope === '.' ? namespace : scope)))];
}

/**
 * The host that a rule of `namespace` means by `name`, as it is seen by whom the rule is exported to: an exact
 * name first, then a wildcard. Undefined if there is none.
 */
export function findHost(
  { exact: byName, wildcards }: KnownHosts,
  name: string,
  namespace: string,
  exportTo: readonly string[] | undefined,
): KnownHost | undefined {
  const wanted = resolveHost(name, namespace, domainSuffix);
  const audience = (exportTo ?? []).length === 0 ? [namespace] : exportScopes(exportTo, namespace);
  const exact = byName.get(wanted) ?? [];
  return (
    exact.find(({ scopes }) => scopes.includes('*')) ??
    exact.find(({ scopes }) => scopes.some((scope) => audience.includes(scope))) ??
    wildcards.find(
      ({ host, scopes }) =>
        hostnameCovers(host, wanted) && (scopes.includes('*') || scopes.includes(namespace)),
    )
  );
}
