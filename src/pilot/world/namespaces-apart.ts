// Which namespaces' clients are told apart from those of others: all the rest see the mesh alike, and share what
// is made for them.
import type { Derived, Graph } from '../../collections/index.ts';
import type { Config, DestinationRuleConfig, VirtualServiceConfig } from '../../config/config.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { isGatewayApiRoute } from '../../model/gateway-origin.ts';
import type { Hostname } from '../../model/hostname.ts';
import { resolveHost } from '../../model/hostname.ts';
import type { Service } from '../../model/service.ts';

/** Each is a recorded read. */
export interface NamespacesApartOptions {
  readonly graph: Graph;
  readonly meshConfig: () => MeshConfig;
  readonly services: () => readonly Service[];
  readonly destinationRules: () => readonly DestinationRuleConfig[];
  readonly virtualServices: () => readonly VirtualServiceConfig[];
  /** Whether Sidecars, or EnvoyFilters, are written in the namespace. */
  readonly hasOwnRules: (namespace: string) => boolean;
}

/**
 * Whether anything is private to clients of a namespace: what is exported to it and not to all, rules of its own
 * for what others call by others' rules, routes for its clients alone, a hostname that is its own and another's.
 * Without all that its clients see what clients of no namespace at all would see.
 */
export function namespacesApart(options: NamespacesApartOptions): Derived<string, boolean> {
  const { graph, meshConfig, hasOwnRules } = options;
  const exported = (config: ExportedConfig, defaults: readonly string[]): readonly string[] => {
    const written = config.spec.exportTo ?? [];
    return privateTo(written.length === 0 ? defaults : written, config.namespace);
  };
  /** The one namespace that has a hostname; undefined where several have it. */
  const owners = graph.derived({
    name: 'owners-of-hostnames',
    compute: (_all: 'all') => {
      const byHostname = new Map<Hostname, string | undefined>();
      for (const { hostname, namespace } of options.services())
        byHostname.set(hostname, byHostname.has(hostname) ? undefined : namespace);
      return byHostname;
    },
  });
  const byServices = graph.derived({
    name: 'namespaces-apart-by-services',
    compute: (_all: 'all') => {
      const found = new Set<string>();
      const byHostname = owners.get('all');
      for (const { hostname, namespace, exportTo } of options.services()) {
        if (byHostname.get(hostname) === undefined) found.add(namespace);
        for (const each of privateTo(exportTo, namespace)) found.add(each);
      }
      return found;
    },
  });
  const byRules = graph.derived({
    name: 'namespaces-apart-by-rules',
    compute: (_all: 'all') => {
      const { domainSuffix, defaultDestinationRuleExportTo } = meshConfig();
      const found = new Set<string>();
      const byHostname = owners.get('all');
      for (const rule of options.destinationRules()) {
        const { namespace, spec } = rule;
        // Others find it as the rule of the service's namespace only if that is this one.
        const isOfService =
          spec.workloadSelector === undefined &&
          byHostname.get(resolveHost(spec.host ?? '', namespace, domainSuffix)) === namespace;
        if (!isOfService) found.add(namespace);
        for (const each of exported(rule, defaultDestinationRuleExportTo)) found.add(each);
      }
      return found;
    },
  });
  const byRoutes = graph.derived({
    name: 'namespaces-apart-by-routes',
    compute: (_all: 'all') => {
      const { defaultVirtualServiceExportTo } = meshConfig();
      const found = new Set<string>();
      for (const config of options.virtualServices()) {
        for (const each of exported(config, defaultVirtualServiceExportTo)) found.add(each);
        for (const each of sourceNamespaces(config)) found.add(each);
        // Clients of its own namespace prefer it to others.
        if (isGatewayApiRoute(config)) found.add(config.namespace);
      }
      return found;
    },
  });
  return graph.derived({
    name: 'namespace-apart',
    compute: (namespace: string) => {
      const { rootNamespace } = meshConfig();
      return (
        namespace === rootNamespace ||
        hasOwnRules(namespace) ||
        byServices.get('all').has(namespace) ||
        byRules.get('all').has(namespace) ||
        byRoutes.get('all').has(namespace)
      );
    },
  });
}

type ExportedConfig = Config<{ readonly exportTo?: readonly string[] | undefined }>;

/** The namespaces that see it where not all do. */
function privateTo(exportTo: readonly string[], ownNamespace: string): readonly string[] {
  return exportTo.includes('*') ? [] : exportTo.map((to) => (to === '.' ? ownNamespace : to));
}

function sourceNamespaces({ spec }: VirtualServiceConfig): readonly string[] {
  return [...(spec.http ?? []), ...(spec.tls ?? []), ...(spec.tcp ?? [])].flatMap(({ match = [] }) =>
    match.flatMap(({ sourceNamespace = '' }) => (sourceNamespace === '' ? [] : [sourceNamespace])),
  );
}
