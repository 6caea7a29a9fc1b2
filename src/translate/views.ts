// What of a scope counts for what a proxy calls: many workloads share it, whatever Services select them.
import { selectedLabelNames } from '../config/envoy-filter/select.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { envoyFiltersNear } from './envoy-filter/patches.ts';
import type { ProxyScope } from './resource.ts';
import { pick, scopeOf, sidecarOf, unspecified } from './scope.ts';
import type { World } from './world.ts';

/**
 * What outbound clusters and their endpoints depend on. All workloads share it that are in one place and whom nothing
 * tells apart as clients: of all namespaces, but for those that see something alone. A gateway's scope as it is: its
 * labels choose Gateways.
 */
export function destinationScope(world: World, scope: ProxyScope): ProxyScope {
  if (scope.node.type === 'router') return scope;
  return world.derive(`destination-scope/${scope.key}`, () =>
    scopeOf(asClient(world, inCommonNamespace(world, scope), world.placeLabelNames())),
  );
}

/** What outbound listeners depend on: as destinationScope, but wherever the workload is. */
export function outboundListenerScope(world: World, scope: ProxyScope): ProxyScope {
  if (scope.node.type === 'router') return scope;
  return world.derive(`outbound-listener-scope/${scope.key}`, () =>
    scopeOf({ ...asClient(world, inCommonNamespace(world, scope), []), locality: nowhere }),
  );
}

/** What outbound routes depend on: as listeners, but names are short within a namespace. */
export function routeScope(world: World, scope: ProxyScope): ProxyScope {
  if (scope.node.type === 'router') return scope;
  return world.derive(`route-scope/${scope.key}`, () =>
    scopeOf({ ...asClient(world, scope.node, []), locality: nowhere }),
  );
}

/**
 * What virtual hosts depend on: less still, without anything that listeners say. Where much follows from a scope,
 * derive it from this one, by its key, so that equal work is done once.
 */
export function outboundScope(world: World, scope: ProxyScope): ProxyScope {
  return world.derive(`outbound-scope/${scope.key}`, () => {
    const { type, namespace, dnsDomain, clusterId, network, ipAddresses, labels } = scope.node;
    const node: ProxyNode = {
      id: '',
      type,
      ipAddresses: ipAddresses.map(unspecified),
      podName: '',
      namespace,
      dnsDomain,
      labels: pick(labels, world.clientLabelNames(namespace)),
      serviceAccount: '',
      workloadName: '',
      clusterId,
      network,
      locality: nowhere,
      istioVersion: '',
      interceptionMode: 'REDIRECT',
      adminPort: 0,
      http10: false,
      workloadCertificates: scope.node.workloadCertificates,
      ...(scope.node.dnsCapture === undefined ? {} : { dnsCapture: scope.node.dnsCapture }),
    };
    return scopeOf(node);
  });
}

/** As outboundScope, of no namespace where clients of its own see what those of any would: for all but their names. */
export function commonOutboundScope(world: World, scope: ProxyScope): ProxyScope {
  if (scope.node.type === 'router') return scope;
  return world.derive(`common-outbound-scope/${scope.key}`, () => {
    const node = inCommonNamespace(world, scope);
    return node === scope.node ? scope : outboundScope(world, scopeOf(node));
  });
}

const nowhere: ProxyNode['locality'] = { region: '', zone: '', subzone: '' };

/** Of no namespace, where clients of its own see what those of any would. */
function inCommonNamespace(world: World, scope: ProxyScope): ProxyNode {
  const { node } = scope;
  // A Sidecar's hosts may name the proxy's own namespace, also where it is the mesh's Sidecar.
  if (sidecarOf(world, scope) !== undefined || world.isNamespaceApart(node.namespace)) return node;
  return { ...node, namespace: '', dnsDomain: '' };
}

/**
 * The node without what counts for inbound traffic alone: its own addresses but for their families, where its
 * application listens, and labels by which no rule tells clients apart and no EnvoyFilter chooses.
 */
function asClient(world: World, node: ProxyNode, furtherLabels: readonly string[]): ProxyNode {
  const { appAddress: _own, ...others } = node;
  const { namespace, labels, ipAddresses } = node;
  return {
    ...others,
    labels: pick(labels, [
      ...world.clientLabelNames(namespace),
      ...selectedLabelNames(envoyFiltersNear(world, namespace)),
      ...furtherLabels,
    ]),
    ipAddresses: ipAddresses.map(unspecified),
  };
}
