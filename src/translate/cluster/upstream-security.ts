// How a proxy speaks to the upstreams of a cluster: plain TCP, TLS as a rule says, or the mesh's mutual TLS.
import { dnsSrvClusterName } from '../../model/cluster-name.ts';
import type { Service } from '../../model/service.ts';
import type { ClientTls } from '../tls/upstream-tls.ts';
import { namespaceMutualTlsMode } from '../mtls/mutual-tls-mode.ts';
import type { ProxyScope } from '../resource.ts';
import { spiffeName, underAliases } from '../tls/san-matchers.ts';
import type { World } from '../world.ts';
import type { UpstreamSecurity } from './cluster-input.ts';
import type { OutboundTarget } from './outbound-clusters.ts';

/**
 * A rule's `tls` counts; without one, workloads of the mesh are spoken to in mutual TLS where they take it (auto mTLS),
 * which their PeerAuthentications decide as far as a client can tell from their namespace. Undefined: plain TCP.
 * Source: Istio `buildUpstreamTLSSettings`.
 */
export function upstreamSecurity(
  world: World,
  scope: ProxyScope,
  target: OutboundTarget,
): UpstreamSecurity | undefined {
  const { service, policy, rule } = target;
  const { tls } = policy.policy;
  const sni = target.discovery === 'DYNAMIC_DNS' ? '' : dnsSrvClusterName(target.name);
  if (tls === undefined) {
    if (!isAutomatic(world, scope, target)) return undefined;
    const subjectAltNames = serviceNames(world, service);
    return { kind: 'mutual-tls', sni, subjectAltNames, isAutomatic: target.discovery !== 'ORIGINAL_DST' };
  }
  const { mode = 'DISABLE', subjectAltNames: written = [] } = tls;
  switch (mode) {
    case 'DISABLE':
      return undefined;
    case 'ISTIO_MUTUAL':
      return {
        kind: 'mutual-tls',
        sni: (tls.sni ?? '') === '' ? sni : (tls.sni ?? ''),
        subjectAltNames: written.length > 0 ? written : serviceNames(world, service),
        isAutomatic: false,
      };
    case 'SIMPLE':
    case 'MUTUAL': {
      if (isOutOfReach(tls, scope, rule?.isForChosenWorkloads === true)) return undefined;
      const names =
        written.length === 0 && service.registry === 'External' ? serviceNames(world, service) : [];
      return {
        kind: 'client-tls',
        tls: names.length === 0 ? tls : { ...tls, subjectAltNames: names },
        defaults: world.meshConfig().tlsDefaults,
        // What is not checked by name is checked against the name that was asked for.
        isNamed: written.length > 0,
      };
    }
    default:
      return mode satisfies never;
  }
}

/**
 * The names that the workloads behind a service may have: those of its endpoints' service accounts, and those that
 * the service itself lists; under every alias of the trust domain. Sorted. Source: Istio `PushContext.ServiceAccounts`.
 */
function serviceNames(world: World, service: Service): readonly string[] {
  const { trustDomain, trustDomainAliases } = world.meshConfig();
  const accounts = new Set((service.serviceAccounts ?? []).map((own) => `${service.namespace}/${own}`));
  for (const { servicePort } of service.ports)
    for (const account of endpointAccounts(world, service, servicePort)) accounts.add(account);
  const names = new Set(service.subjectAltNames);
  for (const account of accounts) {
    const [namespace = '', name = ''] = account.split('/');
    names.add(spiffeName(trustDomain, namespace, name));
  }
  return [...underAliases(names, trustDomainAliases)].sort();
}

/** `namespace/account`, each once. Derived, so that one more endpoint of the same account changes nothing. */
function endpointAccounts(
  world: World,
  { hostname, namespace: owner }: Service,
  servicePort: number,
): readonly string[] {
  return world.derive(`endpoint-accounts/${owner}/${hostname}/${servicePort}`, () => {
    const accounts = world
      .endpoints(hostname, servicePort, owner)
      .flatMap(({ namespace, serviceAccount }) =>
        serviceAccount === '' ? [] : [`${namespace}/${serviceAccount}`],
      );
    return [...new Set(accounts)].sort();
  });
}

/** Whether mutual TLS is spoken without a rule's word. Source: Istio `BestEffortInferServiceMTLSMode`. */
function isAutomatic(world: World, scope: ProxyScope, target: OutboundTarget): boolean {
  const { service, port, discovery } = target;
  if (!scope.node.workloadCertificates || !world.meshConfig().enableAutoMtls || service.meshExternal)
    return false;
  if (service.resolution === 'passthrough' || discovery === 'ORIGINAL_DST') {
    // The proxy does not choose among the endpoints, so either all take it or none does.
    const endpoints = world.endpoints(service.hostname, port.servicePort, service.namespace);
    if (endpoints.length === 0 || endpoints.some(({ tlsMode }) => tlsMode === 'disabled')) return false;
  }
  return namespaceMutualTlsMode(world, service.namespace) !== 'DISABLE';
}

/**
 * A credential is for gateways, or for the workloads that a rule chooses: all others could never read the Secret and
 * would wait for it. Anybody may read a ConfigMap. Source: Istio `buildUpstreamClusterTLSContext`.
 */
function isOutOfReach(tls: ClientTls, scope: ProxyScope, isForChosenWorkloads: boolean): boolean {
  const { credentialName = '' } = tls;
  if (credentialName === '' || credentialName.startsWith('configmap://')) return false;
  return scope.node.type === 'sidecar' && !isForChosenWorkloads;
}
