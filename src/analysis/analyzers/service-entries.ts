// ServiceEntries that can be told apart, and agree.
import type { ServiceEntrySpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { listAt } from '../fields.ts';
import { exportScopes } from '../hosts.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName, specOf } from '../object.ts';

export const serviceEntryAddresses: Analyzer = {
  name: 'serviceentry.Analyzer',
  description: 'ServiceEntries with plain TCP ports have addresses',
  run: ({ objects, mesh, report }) => {
    const { proxyMetadata } = mesh;
    // Proxies that capture DNS may be given addresses of their own making.
    const isAllocated =
      proxyMetadata['ISTIO_META_DNS_CAPTURE'] === 'true' &&
      (proxyMetadata['ISTIO_META_DNS_AUTO_ALLOCATE'] === 'true' ||
        proxyMetadata['PILOT_ENABLE_IP_AUTOALLOCATE'] === 'true');
    if (isAllocated) return;
    for (const object of objects.list('ServiceEntry')) {
      const { addresses, ports } = specOf<ServiceEntrySpec>(object);
      if (addresses !== undefined || listAt(object.body['status'], 'addresses').length > 0) continue;
      for (const [index, { protocol = '', number, name }] of (ports ?? []).entries())
        if (protocol === '' || protocol.toUpperCase() === 'TCP')
          report(
            says.serviceEntryAddressesRequired(name ?? String(number ?? 0)),
            object,
            'spec',
            'ports',
            index,
            'name',
          );
    }
  },
};

interface Claim {
  readonly object: AnalysisObject;
  readonly scopes: readonly string[];
  readonly protocol: string;
}

export const serviceEntryProtocols: Analyzer = {
  name: 'serviceentry.ConflictingServiceEntryProtocolAnalyzer',
  description: 'ServiceEntries of one host and port agree about its protocol',
  run: ({ objects, report }) => {
    const claims = new Map<string, { host: string; port: number; claims: Claim[] }>();
    for (const object of objects.list('ServiceEntry')) {
      const { hosts, ports, exportTo } = specOf<ServiceEntrySpec>(object);
      const scopes = exportScopes(exportTo, object.namespace);
      for (const host of hosts ?? [])
        for (const { number: port = 0, protocol = '' } of ports ?? []) {
          const entry = claims.get(`${host}:${port}`) ?? { host, port, claims: [] };
          claims.set(`${host}:${port}`, entry);
          entry.claims.push({ object, scopes, protocol: protocol.toUpperCase() });
        }
    }
    const reported = new Set<AnalysisObject>();
    for (const { host, port, claims: all } of claims.values())
      for (const scope of new Set(all.flatMap(({ scopes }) => scopes))) {
        const seen = all.filter(({ scopes }) => scopes.includes(scope) || scopes.includes('*'));
        const protocols = [...new Set(seen.map(({ protocol }) => protocol))].sort();
        if (protocols.length < 2) continue;
        const names = [...new Set(seen.map(({ object }) => fullName(object)))].sort().join(', ');
        for (const { object } of seen) {
          if (reported.has(object)) continue;
          reported.add(object);
          report(
            says.conflictingServiceEntryProtocol(names, host, port, protocols.join(', ')),
            object,
            'metadata',
            'name',
          );
        }
      }
  },
};
