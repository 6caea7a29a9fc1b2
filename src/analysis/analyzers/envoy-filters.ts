// EnvoyFilters whose patches Istio ignores, or that work only while other filters are where they are.
import type { EnvoyFilterSpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { textAt } from '../fields.ts';
import type { Saying } from '../messages.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';

type ConfigPatch = NonNullable<EnvoyFilterSpec['configPatches']>[number];
type Complaint = (patches: string) => Saying;

export const envoyPatches: Analyzer = {
  name: 'envoyfilter.EnvoyPatchAnalyzer',
  description: 'Patches of EnvoyFilters do something, whatever other filters there are',
  run: ({ objects, report }) => {
    // Filters that some patch before touches for a certain version of the proxy alone.
    const versioned = new Set<string>();
    for (const object of objects.list('EnvoyFilter')) {
      const { configPatches, priority = 0 } = specOf<EnvoyFilterSpec>(object);
      const complaints = new Map<Complaint, number[]>();
      for (const [index, configPatch] of (configPatches ?? []).entries()) {
        if (configPatch.patch === undefined) break;
        const filter = filterName(configPatch);
        const complaint = complaintOf(configPatch, priority !== 0, versioned.has(filter));
        if (complaint !== undefined) complaints.set(complaint, [...(complaints.get(complaint) ?? []), index]);
        if ((configPatch.match?.proxy?.proxyVersion ?? '') !== '') versioned.add(filter);
      }
      // Each thing is said once of an object, with all patches that it is true of.
      for (const [complaint, indexes] of complaints)
        report(
          complaint(indexes.map((index) => `configPatches[${index}]`).join(', ')),
          object,
          'spec',
          'configPatches',
          indexes[0] ?? 0,
          'patch',
        );
    }
  },
};

function complaintOf(
  { applyTo, patch }: ConfigPatch,
  hasPriority: boolean,
  isVersioned: boolean,
): Complaint | undefined {
  const isRoute = applyTo === 'ROUTE_CONFIGURATION' || applyTo === 'HTTP_ROUTE';
  const relative = (): Complaint | undefined => {
    if (hasPriority) return undefined;
    return isVersioned
      ? says.envoyFilterUsesRelativeOperationWithProxyVersion
      : says.envoyFilterUsesRelativeOperation;
  };
  switch (patch?.operation) {
    case 'ADD':
      return isRoute ? says.envoyFilterUsesAddOperationIncorrectly : undefined;
    case 'REMOVE':
      return isRoute ? says.envoyFilterUsesRemoveOperationIncorrectly : relative();
    case 'REPLACE':
      return applyTo === 'NETWORK_FILTER' || applyTo === 'HTTP_FILTER' || applyTo === 'VIRTUAL_HOST'
        ? relative()
        : says.envoyFilterUsesReplaceOperationIncorrectly;
    case 'INSERT_BEFORE':
    case 'INSERT_AFTER':
      return relative();
    case 'INSERT_FIRST':
    case 'INVALID':
    case 'MERGE':
    case undefined:
    default:
      return undefined;
  }
}

/** The filter that a patch is about: the one that it brings, or else the one that it looks for. */
function filterName({ match, patch }: ConfigPatch): string {
  if (patch?.value === undefined) return '';
  const own = textAt(patch.value, 'name');
  return own === '' ? (match?.listener?.filterChain?.filter?.name ?? '') : own;
}
