// TLS and TCP rules and matches that no connection reaches, because earlier ones of the same VirtualService take
// all of theirs. Which server name or address is nearest is for the proxy to decide, so that little is decided by
// order alone: the same names and ranges again, and what follows a TCP rule that asks for no address.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { meshGateway } from '../../model/gateway-name.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { specOf } from '../object.ts';
import type { Owner, Placed } from './applicability.ts';
import { countsWherever, gatewaysOf } from './applicability.ts';
import type { Alternative, Shadow } from './shadow.ts';

interface StreamMatch extends Placed {
  readonly sniHosts?: readonly string[] | undefined;
  readonly destinationSubnets?: readonly string[] | undefined;
}

interface StreamAlternative extends Alternative {
  readonly owner: Owner;
  readonly match: StreamMatch;
  /** Its rule leads somewhere, and every condition of the match is one that we know. */
  readonly isUnderstood: boolean;
}

const knownFields: ReadonlySet<string> = new Set([
  'destinationSubnets',
  'gateways',
  'port',
  'sniHosts',
  'sourceLabels',
  'sourceNamespace',
]);

/** Matches of one VirtualService and field that are compared with each other. */
const alternativesMax = 1000;

export function streamShadows(objects: Objects): readonly Shadow[] {
  return objects.list('VirtualService').flatMap((object) =>
    (['tls', 'tcp'] as const).flatMap((field) => {
      const all = alternativesOf(object, field).slice(0, alternativesMax);
      return all.flatMap((later, index) => {
        const earlier = all.slice(0, index).find((one) => one.rule < later.rule && shadowsAll(one, later));
        return earlier === undefined ? [] : [{ later, earlier }];
      });
    }),
  );
}

function alternativesOf(object: AnalysisObject, field: 'tls' | 'tcp'): readonly StreamAlternative[] {
  const spec = specOf<VirtualServiceSpec>(object);
  const owner = { namespace: object.namespace, gateways: spec.gateways ?? [] };
  return (spec[field] ?? []).flatMap(({ match, route }, rule) => {
    const matches: readonly (StreamMatch | undefined)[] =
      match === undefined || match.length === 0 ? [undefined] : match;
    return matches.map((one, index) => ({
      object,
      owner,
      field,
      rule,
      index: one === undefined ? undefined : index,
      count: one === undefined ? 0 : matches.length,
      match: one ?? {},
      isUnderstood: (route ?? []).length > 0 && Object.keys(one ?? {}).every((name) => knownFields.has(name)),
    }));
  });
}

function shadowsAll(earlier: StreamAlternative, later: StreamAlternative): boolean {
  if (!earlier.isUnderstood || !later.isUnderstood) return false;
  if (!countsWherever(earlier.match, earlier.owner, later.match, later.owner, false)) return false;
  const subnets = setOf(earlier.match.destinationSubnets);
  if (earlier.field === 'tcp') return subnets.size === 0;
  const names = setOf(earlier.match.sniHosts);
  const laterNames = setOf(later.match.sniHosts);
  if (names.size === 0 || !isPart(names, laterNames)) return false;
  // A gateway leaves a match out as soon as one of its names is taken, and looks at no address.
  if (!gatewaysOf(later.match, later.owner).includes(meshGateway)) return true;
  const laterSubnets = setOf(later.match.destinationSubnets);
  return isPart(laterNames, names) && isPart(subnets, laterSubnets) && isPart(laterSubnets, subnets);
}

function setOf(texts: readonly string[] | undefined): ReadonlySet<string> {
  return new Set((texts ?? []).map((text) => text.toLowerCase()));
}

function isPart(part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean {
  return [...part].every((text) => whole.has(text));
}
