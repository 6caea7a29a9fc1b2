// Destinations of VirtualServices: hosts, ports and subsets that are there.
import type { DestinationRuleSpec, VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { hostnameCovers, resolveHost } from '../../model/hostname.ts';
import type { AnalysisContext, Analyzer } from '../analyzer.ts';
import { domainSuffix, findHost, knownHosts } from '../hosts.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName, specOf } from '../object.ts';
import { destinationsOf } from './destinations.ts';

export const destinationHosts: Analyzer = {
  name: 'virtualservice.DestinationHostAnalyzer',
  description: 'Destinations of VirtualServices have a host and port that exist',
  needs: ['Service', 'ServiceEntry'],
  run: (context) => {
    const { objects, report } = context;
    const hosts = knownHosts(objects);
    for (const object of objects.list('VirtualService')) {
      const spec = specOf<VirtualServiceSpec>(object);
      for (const { host, port, path, isMirror } of destinationsOf(spec)) {
        const known = findHost(hosts, host, object.namespace, spec.exportTo);
        if (known === undefined)
          report(says.referencedResourceNotFound(isMirror ? 'mirror host' : 'host', host), object, ...path);
        else if (port === undefined && known.ports.length > 1)
          report(says.virtualServiceDestinationPortSelectorRequired(host, known.ports), object, ...path);
        else if (port !== undefined && !known.ports.includes(port))
          report(says.referencedResourceNotFound('host:port', `${host}:${port}`), object, ...path);
      }
      checkSubsetsAtGateway(object, context);
    }
  },
};

export const destinationSubsets: Analyzer = {
  name: 'virtualservice.DestinationRuleAnalyzer',
  description: 'Subsets that VirtualServices name are defined by a DestinationRule',
  run: ({ objects, report }) => {
    const rules = objects.list('DestinationRule').map((object) => {
      const { host = '', subsets } = specOf<DestinationRuleSpec>(object);
      return {
        host: resolveHost(host, object.namespace, domainSuffix),
        subsets: new Set((subsets ?? []).map(({ name = '' }) => name)),
      };
    });
    for (const object of objects.list('VirtualService'))
      for (const { host, subset, path, isMirror } of destinationsOf(specOf<VirtualServiceSpec>(object))) {
        if (subset === '') continue;
        const wanted = resolveHost(host, object.namespace, domainSuffix);
        if (rules.some((rule) => hostnameCovers(rule.host, wanted) && rule.subsets.has(subset))) continue;
        const what = isMirror ? 'mirror+subset in a DestinationRule' : 'host+subset in a DestinationRule';
        report(says.referencedResourceNotFound(what, `${host}+${subset}`), object, ...path);
      }
  },
};

/** A route at a gateway that names no subset, while another VirtualService of that host splits it by subsets. */
function checkSubsetsAtGateway(object: AnalysisObject, { objects, report }: AnalysisContext): void {
  const spec = specOf<VirtualServiceSpec>(object);
  if ((spec.gateways ?? []).length === 0) return;
  for (const [rule, { route }] of (spec.http ?? []).entries())
    for (const [index, { destination }] of (route ?? []).entries()) {
      if (destination === undefined || (destination.subset ?? '') !== '') continue;
      for (const other of objects.list('VirtualService'))
        if (splitsBySubset(specOf<VirtualServiceSpec>(other), destination.host ?? ''))
          report(
            says.ingressRouteRulesNotAffected(fullName(other), fullName(object)),
            object,
            'spec',
            'http',
            rule,
            'route',
            index,
            'destination',
            'host',
          );
    }
}

function splitsBySubset(spec: Partial<VirtualServiceSpec>, host: string): boolean {
  return (
    (spec.hosts ?? []).includes(host) &&
    (spec.http ?? []).some(({ route }) =>
      (route ?? []).some(
        ({ destination }) => destination?.host === host && (destination.subset ?? '') !== '',
      ),
    )
  );
}
