// Ingresses -> one VirtualService of Istio's for each of their hosts.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { Config, VirtualServiceConfig } from '../config/config.ts';
import { compareAge, madeConfig, originOf } from '../config/config.ts';
import type { IngressBackend, IngressConfig, IngressRule } from '../config/ingress-types.ts';
import type { KubeServiceSpec } from '../config/kube-types.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { annotationsOfGateways } from '../model/gateway-origin.ts';
import { serviceHostname } from '../model/hostname.ts';
import type { Origin } from '../model/origin.ts';
import { ingressGatewayName, ingressSuffix } from './gateway.ts';

type HttpRule = NonNullable<VirtualServiceSpec['http']>[number];
type StringMatch = NonNullable<NonNullable<HttpRule['match']>[number]['uri']>;

/** The Service with that namespace and name. */
export type ServiceLookup = (namespace: string, name: string) => Config<KubeServiceSpec> | undefined;

/** The hosts of an Ingress's rules that have paths; `*`: any. */
export function ingressHosts({ spec }: IngressConfig): readonly string[] {
  return (spec.rules ?? []).flatMap((rule) => (rule.http === undefined ? [] : [hostOf(rule)]));
}

/**
 * The VirtualService of one host, of all Ingresses that have rules for it; undefined where none has. Of several,
 * the oldest gives the name and the Gateway. Longer paths come first, of equal ones exact before prefix.
 * Source: Istio `ingress.VirtualServices`.
 */
export function ingressVirtualService(
  host: string,
  ingresses: readonly IngressConfig[],
  mesh: Pick<MeshConfig, 'rootNamespace' | 'domainSuffix'>,
  serviceOf: ServiceLookup,
): VirtualServiceConfig | undefined {
  const rules = [...ingresses]
    .sort(compareAge)
    .flatMap((ingress) =>
      [...(ingress.spec.rules ?? []).entries()].flatMap(([index, rule]) =>
        rule.http === undefined || hostOf(rule) !== host ? [] : [{ ingress, index, rule }],
      ),
    );
  const first = rules[0]?.ingress;
  if (first === undefined) return undefined;
  const routes = rules
    .flatMap(({ ingress, index, rule }) => rulesOf(ingress, index, rule, mesh.domainSuffix, serviceOf))
    .sort((a, b) => comparePaths(a.rule, b.rule));
  return madeConfig({
    kind: 'VirtualService',
    namespace: first.namespace,
    name: `${host.replaceAll('.', '-')}-${first.name}-${ingressSuffix}`,
    annotations: { [annotationsOfGateways.routeSemantics]: 'ingress' },
    creationTimeMs: 0,
    spec: {
      hosts: [host],
      gateways: [`${mesh.rootNamespace}/${ingressGatewayName(first)}`],
      http: routes.map(({ rule }) => rule),
    },
    madeOf: {
      whole: originOf(first),
      parts: Object.fromEntries(routes.map(({ origin }, index) => [`spec/http/${index}`, origin])),
    },
  });
}

function hostOf({ host = '' }: IngressRule): string {
  return host === '' ? '*' : host;
}

interface PathRule {
  readonly rule: HttpRule;
  readonly origin: Origin;
}

/** Paths without a backend that can be found are left out, as in Istio. */
function rulesOf(
  ingress: IngressConfig,
  ruleIndex: number,
  { http }: IngressRule,
  domainSuffix: string,
  serviceOf: ServiceLookup,
): readonly PathRule[] {
  return [...(http?.paths ?? []).entries()].flatMap(([index, { path = '', pathType, backend }]) => {
    const destination = destinationOf(backend, ingress.namespace, domainSuffix, serviceOf);
    if (destination === undefined) return [];
    const uri =
      pathType === 'Exact'
        ? { exact: path }
        : pathType === 'Prefix'
          ? { prefix: path }
          : implementationSpecific(path);
    const rule: HttpRule = {
      ...(uri === undefined ? {} : { match: [{ uri }] }),
      route: [{ destination, weight: 100 }],
    };
    return [{ rule, origin: originOf(ingress, 'spec', 'rules', ruleIndex, 'http', 'paths', index) }];
  });
}

/** Without a type: everything for an empty path or a star, a prefix for what ends in `.*` or `/*`, else the exact path. */
function implementationSpecific(path: string): StringMatch | undefined {
  if (['', '*', '/*', '.*'].includes(path)) return undefined;
  if (path.endsWith('.*') || path.endsWith('/*')) return { prefix: path.slice(0, -2) };
  return { exact: path };
}

function destinationOf(
  { service }: IngressBackend,
  namespace: string,
  domainSuffix: string,
  serviceOf: ServiceLookup,
): { host: string; port: { number: number } } | undefined {
  if (service === undefined) return undefined;
  const { name, port } = service;
  const number =
    port?.number ??
    (serviceOf(namespace, name)?.spec.ports ?? []).find((each) => (each.name ?? '') === port?.name)?.port;
  return number === undefined
    ? undefined
    : { host: serviceHostname(name, namespace, domainSuffix), port: { number } };
}

function comparePaths(a: HttpRule, b: HttpRule): number {
  const left = a.match?.[0]?.uri;
  const right = b.match?.[0]?.uri;
  const length = (uri: StringMatch | undefined): number => (uri?.exact ?? uri?.prefix ?? '').length;
  if (length(left) !== length(right)) return length(right) - length(left);
  return Number(right?.exact !== undefined) - Number(left?.exact !== undefined);
}
