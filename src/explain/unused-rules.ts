// VirtualServices that have a request's host and yet nothing to do with it, and why.
import type { GatewaySpec, VirtualServiceSpec } from '../api/gen/istio-types.js';
import { resolveGatewayName } from '../model/gateway-name.ts';
import { hostnameCovers, hostnamesOverlap, resolveHost } from '../model/hostname.ts';
import { labelsMatch } from '../model/labels.ts';
import type { FieldPath } from '../model/origin.ts';
import type { MeshObject, MeshView, Workload } from './mesh-view.ts';
import type { Candidate, RuleTrace } from './trace.ts';

interface Why {
  readonly text: string;
  readonly path: FieldPath;
}

/**
 * For a request whose host has these rules: VirtualServices that should have been among them, as it seems. Where
 * others are, only those that name the host as it is: a wildcard gives way, and that is meant.
 */
export function unusedRules(
  mesh: MeshView,
  from: Workload,
  names: readonly string[],
  rules: readonly RuleTrace[],
): readonly Candidate[] {
  const counted = rules.flatMap(({ sources }) =>
    sources
      .filter(({ kind }) => kind === 'VirtualService')
      .map(({ namespace, name }) => `${namespace}/${name}`),
  );
  if (counted.length === 0) return unboundRules(mesh, from, names, []);
  const exact = mesh
    .objects('VirtualService')
    .filter((rule) => hostsOf(mesh, rule).some((host) => names.includes(host)));
  const isExactCounted = exact.some((rule) => counted.includes(idOf(rule)));
  const wanted = exact.filter(
    (rule) => !isExactCounted || (!from.isGateway && isForSidecars(rule) && isSeenBy(rule, from)),
  );
  return candidatesOf(mesh, from, wanted, counted);
}

/** Those that have one of the names, `*` apart: that has every host, and says nothing. */
export function unboundRules(
  mesh: MeshView,
  from: Workload,
  names: readonly string[],
  counted: readonly string[],
): readonly Candidate[] {
  const having = mesh
    .objects('VirtualService')
    .filter((rule) =>
      hostsOf(mesh, rule).some((host) => host !== '*' && names.some((name) => hostnameCovers(host, name))),
    );
  return candidatesOf(mesh, from, having, counted);
}

function candidatesOf(
  mesh: MeshView,
  from: Workload,
  rules: readonly MeshObject[],
  counted: readonly string[],
): readonly Candidate[] {
  return rules
    .filter((rule) => !counted.includes(idOf(rule)))
    .map((rule) => {
      const { text, path } = whyNot(mesh, rule, from, counted);
      return {
        text: `VirtualService ${idOf(rule)} has this host, but ${text}`,
        sources: [rule.locate(path)],
      };
    });
}

function whyNot(mesh: MeshView, rule: MeshObject, from: Workload, counted: readonly string[]): Why {
  if (!isSeenBy(rule, from))
    return {
      text: `it is exported to ${(specOf(rule).exportTo ?? []).join(', ')} only, and this is ${from.namespace}`,
      path: ['spec', 'exportTo'],
    };
  if (from.isGateway) return whyNotAtGateway(mesh, rule, from);
  const bound = gatewaysOf(rule);
  if (!isForSidecars(rule))
    return { text: `it is bound to ${bound.join(', ')}, not to mesh (sidecars)`, path: ['spec', 'gateways'] };
  const [other] = counted;
  if (other !== undefined)
    return {
      text: `${other} has it too and comes first; for sidecars only one counts`,
      path: ['spec', 'hosts'],
    };
  return (
    withoutDelegates(mesh, rule) ?? {
      text: 'no service has that host and port, or a Sidecar does not import it',
      path: ['spec', 'hosts'],
    }
  );
}

function whyNotAtGateway(mesh: MeshView, rule: MeshObject, from: Workload): Why {
  const bound = gatewaysOf(rule).filter((name) => name !== 'mesh');
  const [first] = bound;
  if (first === undefined)
    return { text: 'it names no gateway: it is for sidecars', path: ['spec', 'hosts'] };
  const path = ['spec', 'gateways'];
  const whole = `it is bound to ${bound.join(', ')}`;
  const gateways = mesh.objects('Gateway').filter((gateway) => bound.includes(idOf(gateway)));
  if (gateways.length === 0) return { text: `${whole}, and there is no such Gateway`, path: [...path, 0] };
  const own = gateways.filter(({ spec }) => labelsMatch((spec as GatewaySpec).selector ?? {}, from.labels));
  if (own.length === 0) return { text: `${whole}, which does not select this gateway’s pods`, path };
  const serves = own.some(({ spec }) =>
    ((spec as GatewaySpec).servers ?? []).some(({ hosts }) =>
      (hosts ?? []).some((host) =>
        hostsOf(mesh, rule).some((each) => hostnamesOverlap(host.slice(host.indexOf('/') + 1), each)),
      ),
    ),
  );
  if (!serves) return { text: `${whole}, which has no server for its hosts`, path };
  return (
    withoutDelegates(mesh, rule) ?? {
      text: `${whole}, which does not serve it here: it is for another port, or another Gateway has the same host and comes first`,
      path,
    }
  );
}

/** Rules that hand over to what is not there are left out. */
function withoutDelegates(mesh: MeshView, rule: MeshObject): Why | undefined {
  for (const [index, { delegate }] of (specOf(rule).http ?? []).entries()) {
    if (delegate === undefined) continue;
    const { namespace = '' } = delegate;
    const name = `${namespace === '' ? rule.namespace : namespace}/${delegate.name ?? ''}`;
    if (!mesh.objects('VirtualService').some((other) => idOf(other) === name))
      return {
        text: `its rule hands over to VirtualService ${name}, which is not there: the rule is left out`,
        path: ['spec', 'http', index, 'delegate'],
      };
  }
  return undefined;
}

function specOf({ spec }: MeshObject): Partial<VirtualServiceSpec> {
  return spec ?? {};
}

function idOf({ namespace, name }: MeshObject): string {
  return `${namespace}/${name}`;
}

function hostsOf(mesh: MeshView, rule: MeshObject): readonly string[] {
  return (specOf(rule).hosts ?? []).map((host) => resolveHost(host, rule.namespace, mesh.domainSuffix));
}

function gatewaysOf(rule: MeshObject): readonly string[] {
  return (specOf(rule).gateways ?? []).map((name) => resolveGatewayName(name, rule.namespace));
}

function isForSidecars(rule: MeshObject): boolean {
  const bound = gatewaysOf(rule);
  return bound.length === 0 || bound.includes('mesh');
}

function isSeenBy(rule: MeshObject, { namespace }: Workload): boolean {
  const { exportTo = [] } = specOf(rule);
  return (
    exportTo.length === 0 ||
    exportTo.some((to) => to === '*' || to === namespace || (to === '.' && rule.namespace === namespace))
  );
}
