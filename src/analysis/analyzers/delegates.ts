// VirtualServices that others hand over to: they are there.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';

export const delegates: Analyzer = {
  name: 'fairlead.DelegateAnalyzer',
  description: 'VirtualServices that rules hand over to exist and are delegates: they have no hosts',
  run: ({ objects, report }) => {
    for (const object of objects.list('VirtualService'))
      for (const [index, { delegate }] of (specOf<VirtualServiceSpec>(object).http ?? []).entries()) {
        if (delegate === undefined) continue;
        const { name = '', namespace = '' } = delegate;
        const owner = namespace === '' ? object.namespace : namespace;
        const found = objects.find('VirtualService', owner, name);
        if (found !== undefined && (specOf<VirtualServiceSpec>(found).hosts ?? []).length === 0) continue;
        const what =
          found === undefined ? 'delegate VirtualService' : 'delegate VirtualService (one without hosts)';
        report(
          says.referencedResourceNotFound(what, `${owner}/${name}`),
          object,
          'spec',
          'http',
          index,
          'delegate',
        );
      }
  },
};
