// HTTP rules and matches that no request reaches, because earlier ones take all of theirs.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { compareAge } from '../../config/config.ts';
import { meshGateway } from '../../model/gateway-name.ts';
import { resolveHost } from '../../model/hostname.ts';
import { domainSuffix } from '../hosts.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { specOf } from '../object.ts';
import type { Owner, Placed } from './applicability.ts';
import { countsWherever, gatewaysOf } from './applicability.ts';
import type { Condition, HttpMatch } from './conditions.ts';
import { conditionsOf, follows, isCatchAll } from './conditions.ts';
import { gatewayAcceptsAllNamespaces } from './gateway-hosts.ts';
import type { Alternative, Shadow } from './shadow.ts';

/** One match of one rule; a rule without matches is one that takes everything. */
interface HttpAlternative extends Alternative {
  readonly owner: Owner & { readonly hosts: readonly string[]; readonly isPublic: boolean };
  readonly match: Placed;
  /** Undefined: not understood. */
  readonly conditions: readonly Condition[] | undefined;
  /** Its rule answers, and does not hand over to another VirtualService. */
  readonly isFinal: boolean;
  /** Something in its VirtualService takes everything before it, at some gateway or port: there it is not made. */
  readonly isBehindCatchAll: boolean;
}

/** Comparisons of one run; of what comes after that many nothing is claimed. */
const comparisonsMax = 3_000_000;

/** Every alternative that is never used, with the one that takes its requests. */
export function httpShadows(objects: Objects): readonly Shadow[] {
  // Those that have no hosts are parts of others, which they inherit conditions from.
  const virtualServices = objects
    .list('VirtualService')
    .filter((object) => (specOf<VirtualServiceSpec>(object).hosts ?? []).length > 0)
    .sort(compareAge);
  const all = virtualServices.flatMap(alternativesOf);
  const byHost = new Map<string, HttpAlternative[]>();
  const shadows: Shadow[] = [];
  let comparisons = 0;
  for (const later of all) {
    const [host = ''] = later.owner.hosts;
    const earlier = byHost.get(host) ?? [];
    comparisons += earlier.length;
    if (comparisons > comparisonsMax) break;
    const by = earlier.find((one) => shadowsAll(one, later, objects));
    if (by !== undefined) shadows.push({ later, earlier: by });
    for (const each of new Set(later.owner.hosts)) {
      const known = byHost.get(each);
      if (known === undefined) byHost.set(each, [later]);
      else known.push(later);
    }
  }
  return shadows;
}

function alternativesOf(object: AnalysisObject): readonly HttpAlternative[] {
  const { hosts = [], gateways = [], exportTo = [], http } = specOf<VirtualServiceSpec>(object);
  const owner = {
    namespace: object.namespace,
    gateways,
    hosts: hosts.map((host) => resolveHost(host, object.namespace, domainSuffix)),
    isPublic: exportTo.length === 0 || exportTo.includes('*'),
  };
  let isBehindCatchAll = false;
  const alternatives: HttpAlternative[] = [];
  for (const [rule, { match, delegate, name }] of (http ?? []).entries()) {
    const matches: readonly (HttpMatch | undefined)[] =
      (match ?? []).length === 0 ? [undefined] : (match ?? []);
    for (const [index, one] of matches.entries()) {
      const conditions = conditionsOf(one ?? {});
      alternatives.push({
        object,
        owner,
        field: 'http',
        rule,
        ...(name === undefined ? {} : { ruleName: name }),
        index: one === undefined ? undefined : index,
        count: one === undefined ? 0 : matches.length,
        match: one ?? {},
        conditions,
        isFinal: delegate === undefined,
        isBehindCatchAll,
      });
      isBehindCatchAll ||= conditions !== undefined && isCatchAll(conditions);
    }
  }
  return alternatives;
}

function shadowsAll(earlier: HttpAlternative, later: HttpAlternative, objects: Objects): boolean {
  const wanted = earlier.conditions;
  const given = later.conditions;
  if (wanted === undefined || given === undefined || !earlier.isFinal) return false;
  if (!countsWherever(earlier.match, earlier.owner, later.match, later.owner, true)) return false;
  if (earlier.object !== later.object && !areJoined(earlier, later, objects)) return false;
  return wanted.every((condition) => follows(condition, given));
}

/**
 * Whether the later one's VirtualService is always joined behind the earlier one's: at gateways, where both are for
 * everybody, for each host of the later one. For sidecars VirtualServices are not joined: there the older one wins
 * a host as a whole, which is a conflict of its own (IST0109).
 */
function areJoined(earlier: HttpAlternative, later: HttpAlternative, objects: Objects): boolean {
  const gateways = gatewaysOf(later.match, later.owner);
  if (gateways.length === 0 || gateways.includes(meshGateway)) return false;
  if (!earlier.owner.isPublic || !later.owner.isPublic || earlier.isBehindCatchAll) return false;
  if (!later.owner.hosts.every((host) => earlier.owner.hosts.includes(host))) return false;
  // What takes everything comes last where VirtualServices are joined.
  const takesAll = isCatchAll(earlier.conditions ?? []) && !isCatchAll(later.conditions ?? []);
  if (takesAll) return false;
  return (
    earlier.object.namespace === later.object.namespace ||
    gateways.every((gateway) => gatewayAcceptsAllNamespaces(gateway, objects))
  );
}
