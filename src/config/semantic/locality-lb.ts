// Load balancing by locality: distribute, failover and failoverPriority.
// Source: Istio pkg/config/validation/agent (behaviour of 1.32).
import type { DestinationRuleSpec } from '../../api/gen/istio-types.js';
import type { Checker } from './checker.ts';
import { each } from './checker.ts';

type LoadBalancer = NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['loadBalancer']>;

const topologyLabels = new Set([
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'topology.istio.io/subzone',
]);

export function checkLocalityLb(
  setting: LoadBalancer['localityLbSetting'],
  hasOutlierDetection: boolean,
  checker: Checker,
): void {
  if (setting === undefined) return;
  const distribute = setting.distribute ?? [];
  const failover = setting.failover ?? [];
  const priority = setting.failoverPriority ?? [];
  if (distribute.length > 0 && failover.length > 0) {
    checker.error("can not simultaneously specify 'distribute' and 'failover'");
    return;
  }
  const topology = priority.find((label) => topologyLabels.has(label));
  if (failover.length > 0 && topology !== undefined)
    checker.error(
      `can not simultaneously set 'failover' and topology label '${topology}' in 'failover_priority'`,
    );
  for (const [rule, place] of each(setting.distribute, checker, 'distribute')) {
    const weights = Object.entries(rule.to ?? {});
    for (const [locality, weight] of weights)
      if (weight <= 0 || weight > 100)
        place.at('to', locality).error('locality weight must be in range [1, 100]');
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total !== 100) place.at('to').error(`total locality weight ${total} != 100`);
    checkLocalities(
      weights.map(([locality]) => locality),
      place.at('to'),
    );
  }
  checkLocalities(
    distribute.map((rule) => rule.from ?? ''),
    checker.at('distribute'),
  );
  if ((failover.length > 0 || priority.length > 0) && !hasOutlierDetection)
    checker.warn('outlier detection policy must be provided for failover');
  for (const [rule, place] of each(setting.failover, checker, 'failover')) {
    const { from = '', to = '' } = rule;
    if (from === to) place.error('locality lb failover settings must specify different regions');
    if (`${from}${to}`.includes('/')) place.error('locality lb failover only specify region');
    if (`${from}${to}`.includes('*'))
      place.error("locality lb failover region should not contain '*' wildcard");
  }
}

/** Each is compared with each. */
const localitiesMax = 1000;

/** `region`, `region/zone` or `region/zone/subzone`; `*` alone or as the last part; none covers another. */
function checkLocalities(localities: readonly string[], checker: Checker): void {
  const seen: string[][] = [];
  if (localities.length > localitiesMax) {
    checker.error(`more than ${localitiesMax} localities`);
    return;
  }
  for (const locality of localities) {
    const parts = locality.split('/').slice(0, 3);
    const wildcard = parts.indexOf('*');
    if (parts.includes('')) checker.error(`locality "${locality}" must not contain an empty part`);
    else if (localities.length > 1 && wildcard === 0)
      checker.error("locality '*' covers all others: it must be the only one");
    else if (wildcard >= 0 && wildcard < parts.length - 1)
      checker.error(`locality "${locality}" wildcard '*' must be its last part`);
    else if (seen.some((other) => doOverlap(other, parts)))
      checker.error(`locality ${locality} overlap with previous specified ones`);
    seen.push(parts);
  }
}

function doOverlap(a: readonly string[], b: readonly string[]): boolean {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    if (a[index] === '*' || b[index] === '*') return true;
    if (a[index] !== b[index]) return false;
  }
  return true;
}
