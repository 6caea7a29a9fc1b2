// Hosts that belong to one namespace and are given a meaning by another: one tenant who takes another's traffic.
// What it is about: ISTIO-SECURITY-2026-002. The root namespace is the mesh's own, and may.
import type { ServiceEntrySpec, VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { meshGateway } from '../../model/gateway-name.ts';
import { resolveHost, serviceHostname } from '../../model/hostname.ts';
import type { Analyzer } from '../analyzer.ts';
import { domainSuffix, exportScopes } from '../hosts.ts';
import { says } from '../messages.ts';
import type { Objects } from '../object.ts';
import { specOf } from '../object.ts';

export const tenancy: Analyzer = {
  name: 'fairlead.TenancyAnalyzer',
  description: 'No namespace routes or declares the hosts of another for the whole mesh',
  needs: ['Service'],
  run: ({ objects, mesh, report }) => {
    const owners = ownersOf(objects);
    const foreignOwner = (host: string, namespace: string): string | undefined => {
      const owner = owners.get(resolveHost(host, namespace, domainSuffix));
      return owner === undefined || owner === namespace || namespace === mesh.rootNamespace
        ? undefined
        : owner;
    };
    for (const [kind, what] of [
      ['VirtualService', 'routes'],
      ['ServiceEntry', 'declares'],
    ] as const)
      for (const object of objects.list(kind)) {
        const spec = specOf<VirtualServiceSpec & ServiceEntrySpec>(object);
        const gateways = spec.gateways ?? [];
        const isForMesh = gateways.length === 0 || gateways.includes(meshGateway);
        const scopes = exportScopes(spec.exportTo, object.namespace);
        if (!isForMesh || scopes.every((scope) => scope === object.namespace || scope === '~')) continue;
        for (const [index, host] of (spec.hosts ?? []).entries()) {
          const owner = foreignOwner(host, object.namespace);
          if (owner !== undefined)
            report(says.foreignHost(host, owner, what), object, 'spec', 'hosts', index);
        }
      }
  },
};

/** By hostname: the namespace of its Service. */
function ownersOf(objects: Objects): ReadonlyMap<string, string> {
  return new Map(
    objects
      .list('Service')
      .map(({ name, namespace }) => [serviceHostname(name, namespace, domainSuffix), namespace] as const),
  );
}
