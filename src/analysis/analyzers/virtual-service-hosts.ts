// Hosts that several VirtualServices route for sidecars: only one of them can.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { hostnamesOverlap, isWildcard, resolveHost } from '../../model/hostname.ts';
import type { Analyzer } from '../analyzer.ts';
import { groupBy } from '../group.ts';
import { domainSuffix, exportScopes } from '../hosts.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName, specOf } from '../object.ts';

export const conflictingMeshHosts: Analyzer = {
  name: 'virtualservice.ConflictingMeshGatewayHostsAnalyzer',
  description: 'No host is routed by several VirtualServices for sidecars',
  run: ({ objects, report }) => {
    const claims = objects.list('VirtualService').filter(isForMesh).flatMap(claimsOf);
    const sameHost = groupBy(claims, ({ host }) => host);
    const wildcards = claims.filter(({ host }) => isWildcard(host));
    const reported = new Set<AnalysisObject>();
    for (const { host, scope } of claims) {
      // Who sees this host: the claims of the same scope, and of all namespaces, where a wildcard may cover it.
      const same = sameHost.get(host) ?? [];
      const near = isWildcard(host) ? claims : [...same, ...wildcards];
      const rivals =
        scope === '*'
          ? same.filter((other) => other.scope === '*')
          : [
              ...same.filter((other) => other.scope === scope),
              ...near.filter((other) => other.scope === '*' && hostnamesOverlap(other.host, host)),
            ];
      if (rivals.length < 2) continue;
      const names = rivals.map(({ object }) => fullName(object)).sort();
      for (const { object, index } of rivals) {
        if (reported.has(object)) continue;
        reported.add(object);
        report(
          says.conflictingMeshGatewayVirtualServiceHosts([...new Set(names)].join(', '), host),
          object,
          'spec',
          'hosts',
          index,
        );
      }
    }
  },
};

interface Claim {
  readonly object: AnalysisObject;
  readonly index: number;
  readonly host: string;
  /** A namespace, or `*`. */
  readonly scope: string;
}

function isForMesh(object: AnalysisObject): boolean {
  const { gateways = [] } = specOf<VirtualServiceSpec>(object);
  return gateways.length === 0 || gateways.includes('mesh');
}

function claimsOf(object: AnalysisObject): readonly Claim[] {
  const { hosts, exportTo } = specOf<VirtualServiceSpec>(object);
  return exportScopes(exportTo, object.namespace).flatMap((scope) =>
    (hosts ?? []).map((host, index) => ({
      object,
      index,
      host: resolveHost(host, object.namespace, domainSuffix),
      scope,
    })),
  );
}
