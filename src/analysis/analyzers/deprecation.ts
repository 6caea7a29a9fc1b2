// Fields and kinds that Istio has given up.
import type { SidecarSpec, VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { textAt } from '../fields.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';

const removedKinds: ReadonlySet<string> = new Set([
  'ClusterRbacConfig',
  'RbacConfig',
  'ServiceRole',
  'ServiceRoleBinding',
]);

export const deprecation: Analyzer = {
  name: 'deprecation.DeprecationAnalyzer',
  description: 'Kinds and fields of Istio that are deprecated',
  run: ({ objects, report }) => {
    for (const object of objects.list('VirtualService'))
      for (const [index, { fault }] of (specOf<VirtualServiceSpec>(object).http ?? []).entries())
        if ((fault?.delay?.percent ?? 0) > 0)
          report(
            says.deprecated('fault.delay.percent; use fault.delay.percentage'),
            object,
            'spec',
            'http',
            index,
            'fault',
            'delay',
            'percent',
          );
    for (const object of objects.list('Sidecar'))
      if (specOf<SidecarSpec>(object).outboundTrafficPolicy?.egressProxy !== undefined)
        report(
          says.deprecated('outboundTrafficPolicy.egressProxy; it is ignored'),
          object,
          'spec',
          'outboundTrafficPolicy',
          'egressProxy',
        );
    for (const object of objects.list('CustomResourceDefinition')) {
      const group = textAt(object.body, 'spec', 'group');
      const kind = textAt(object.body, 'spec', 'names', 'kind');
      if (group === 'rbac.istio.io' && removedKinds.has(kind))
        report(says.deprecated(`kind ${kind} of ${group}; Istio no longer reads it`), object, 'spec');
    }
  },
};
