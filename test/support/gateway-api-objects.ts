// GatewayApiObjects over lists of objects: nothing is remembered but what `derive` was asked for.
import type { Config } from '../../src/config/config.ts';
import { kubeGatewayKind } from '../../src/config/config.ts';
import type {
  BackendTlsPolicyConfig,
  ListenerSetConfig,
  ReferenceGrantConfig,
  RouteConfig,
} from '../../src/config/gateway-api-types.ts';
import { policyTargets } from '../../src/gateway-api/backend-tls.ts';
import { routeKinds } from '../../src/gateway-api/conversion.ts';
import type { DiscoveredService, GatewayApiObjects } from '../../src/gateway-api/objects.ts';
import { objectKey } from '../../src/gateway-api/objects.ts';
import { listenerSetParent, routeBackends, routeParentKeys } from '../../src/gateway-api/words.ts';

export interface DiscoveredEntry extends DiscoveredService {
  readonly hostname: string;
  readonly namespace: string;
}

export function gatewayApiObjects(
  configs: readonly Config[],
  discovered: readonly DiscoveredEntry[] = [],
  domainSuffix = 'cluster.local',
): GatewayApiObjects {
  const byKey = new Map(configs.map((config) => [objectKey(config), config]));
  // An object of a kind has that kind's spec.
  const get = (kind: string, namespace: string, name: string): never =>
    byKey.get(objectKey({ kind, namespace, name })) as never;
  const all = (...kinds: readonly string[]): readonly never[] =>
    configs.filter(({ kind }) => kinds.includes(kind)) as never[];
  const routes: readonly RouteConfig[] = all(...routeKinds);
  const memory = new Map<string, unknown>();
  return {
    domainSuffix: () => domainSuffix,
    gatewayClass: (name) => get('GatewayClass', '', name),
    gateway: (namespace, name) => get(kubeGatewayKind, namespace, name),
    listenerSet: (namespace, name) => get('ListenerSet', namespace, name),
    listenerSetsOf: (namespace, name) =>
      all('ListenerSet').filter(
        (set: ListenerSetConfig) =>
          listenerSetParent(set) === objectKey({ kind: kubeGatewayKind, namespace, name }),
      ),
    referenceGrants: (namespace) =>
      all('ReferenceGrant').filter((grant: ReferenceGrantConfig) => grant.namespace === namespace),
    route: (key) => byKey.get(objectKey(key)) as RouteConfig | undefined,
    routesOf: (parent) => routes.filter((route) => routeParentKeys(route).includes(objectKey(parent))),
    routesTo: (backend) => routes.filter((route) => routeBackends(route).includes(objectKey(backend))),
    tlsPoliciesOf: (target) =>
      all('BackendTLSPolicy').filter((policy: BackendTlsPolicyConfig) =>
        policyTargets(policy).some((each) => objectKey(each) === objectKey(target)),
      ),
    namespaces: () => all('Namespace'),
    namespace: (name) => get('Namespace', '', name),
    service: (namespace, name) => get('Service', namespace, name),
    serviceEntry: (namespace, name) => get('ServiceEntry', namespace, name),
    secret: (namespace, name) => get('Secret', namespace, name),
    configMap: (namespace, name) => get('ConfigMap', namespace, name),
    isDiscovered: (hostname, namespace) =>
      discovered.some((each) => each.hostname === hostname && each.namespace === namespace),
    discovered: (hostname, namespace) =>
      discovered.find((each) => each.hostname === hostname && each.namespace === namespace),
    namespacesOf: (hostname) =>
      discovered
        .filter((each) => each.hostname === hostname)
        .map(({ namespace }) => namespace)
        .sort(),
    derive: <T>(key: string, compute: () => T): T => {
      if (!memory.has(key)) memory.set(key, compute());
      return memory.get(key) as T;
    },
  };
}
