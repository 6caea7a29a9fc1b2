// Load balancing that prefers the proxy's own zone.
// Source: Istio `ValidateZoneAwareLbSetting` (behaviour of 1.32).
import type { Schema } from '../schema.ts';
import type { Checker } from './checker.ts';
import { each } from './checker.ts';

const text: Schema = { type: 'string' };

export const zoneAwareLbSchema: Schema = {
  type: 'object',
  properties: {
    enabled: { type: 'boolean' },
    failover: {
      type: 'array',
      items: { type: 'object', properties: { from: text, to: text }, required: [] },
    },
    failoverPriority: { type: 'array', items: text },
    minClusterSize: { type: 'integer', min: 0, max: 4_294_967_295 },
  },
  required: [],
};

/** As written, after its structure was found right. */
export interface ZoneAwareLbSetting {
  readonly failover?: readonly { readonly from?: string; readonly to?: string }[];
  readonly failoverPriority?: readonly string[];
}

const topologyLabels: ReadonlySet<string> = new Set([
  'topology.istio.io/subzone',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
]);

export function checkZoneAwareLb(
  setting: ZoneAwareLbSetting | undefined,
  hasOutlierDetection: boolean,
  checker: Checker,
): void {
  if (setting === undefined) return;
  const { failover = [], failoverPriority = [] } = setting;
  for (const [label, place] of each(failoverPriority, checker, 'failoverPriority'))
    if (topologyLabels.has(label))
      place.error(`must not be the topology label ${label}: regions and zones are seen to without it`);
  if ((failover.length > 0 || failoverPriority.length > 0) && !hasOutlierDetection)
    checker.warn('outlier detection policy must be provided for failover');
  for (const [{ from = '', to = '' }, place] of each(failover, checker, 'failover')) {
    if (from === to) place.error('must lead to another region');
    if (`${from}${to}`.includes('/')) place.error('must name regions alone, without zones');
    if (`${from}${to}`.includes('*')) place.error('must name regions, without wildcards');
  }
}
