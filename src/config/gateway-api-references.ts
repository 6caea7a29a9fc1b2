// References of routes and Ingresses that lead nowhere.
import type { FieldPath } from '../model/origin.ts';
import { gatewayApiGroup, kubeGatewayKind } from './config.ts';
import type { Config } from './config.ts';
import type {
  BackendObjectReference,
  CommonRouteSpec,
  FilteredBackendRef,
  RouteFilter,
} from './gateway-api-types.ts';
import type { IngressSpec } from './ingress-types.ts';
import type { KubeServiceSpec } from './kube-types.ts';

export type WarnAt = (message: string, ...fieldPath: FieldPath) => void;

/** Looks an object up by kind (as `kindKey` gives it), namespace and name. */
export type Lookup = (kind: string, namespace: string, name: string) => Config | undefined;

const routeKinds: ReadonlySet<string> = new Set(['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute']);

/** Warns of each parent and backend of a route, and of each backend of an Ingress, that is not there. */
export function checkRouteReferences(config: Config, find: Lookup, warn: WarnAt): void {
  if (config.kind === 'Ingress') checkIngress(config as Config<IngressSpec>, find, warn);
  if (!routeKinds.has(config.kind)) return;
  const { parentRefs = [], rules = [] } = config.spec as CommonRouteSpec & {
    readonly rules?: readonly {
      readonly backendRefs?: readonly FilteredBackendRef[];
      readonly filters?: readonly RouteFilter[];
    }[];
  };
  for (const [index, parent] of parentRefs.entries()) {
    const kind = parentKinds[`${parent.group ?? gatewayApiGroup}/${parent.kind ?? 'Gateway'}`];
    const namespace = parent.namespace ?? config.namespace;
    if (kind !== undefined && find(kind, namespace, parent.name) === undefined)
      warn(`there is no ${kind} ${namespace}/${parent.name}`, 'spec', 'parentRefs', index);
  }
  for (const [ruleIndex, { backendRefs = [], filters = [] }] of rules.entries()) {
    const at = ['spec', 'rules', ruleIndex];
    for (const [index, backend] of backendRefs.entries())
      checkBackend(backend, config.namespace, find, (message, ...path) =>
        warn(message, ...at, 'backendRefs', index, ...path),
      );
    for (const [index, { requestMirror }] of filters.entries())
      if (requestMirror !== undefined)
        checkBackend(requestMirror.backendRef, config.namespace, find, (message, ...path) =>
          warn(message, ...at, 'filters', index, 'requestMirror', 'backendRef', ...path),
        );
  }
}

const parentKinds: Readonly<Record<string, string>> = {
  [`${gatewayApiGroup}/Gateway`]: kubeGatewayKind,
  [`${gatewayApiGroup}/ListenerSet`]: 'ListenerSet',
  '/Service': 'Service',
  'networking.istio.io/ServiceEntry': 'ServiceEntry',
};

function checkBackend(
  { group = '', kind = 'Service', name, namespace, port }: BackendObjectReference,
  ownNamespace: string,
  find: Lookup,
  warn: WarnAt,
): void {
  if (group !== '' || kind !== 'Service') return;
  checkService(find, namespace ?? ownNamespace, name, port, warn);
}

function checkIngress({ spec, namespace }: Config<IngressSpec>, find: Lookup, warn: WarnAt): void {
  for (const [ruleIndex, { http }] of (spec.rules ?? []).entries())
    for (const [index, { backend }] of (http?.paths ?? []).entries()) {
      const at = ['spec', 'rules', ruleIndex, 'http', 'paths', index, 'backend', 'service'];
      const { service } = backend;
      if (service !== undefined)
        checkService(find, namespace, service.name, service.port?.number ?? service.port?.name, (message) =>
          warn(message, ...at),
        );
    }
}

function checkService(
  find: Lookup,
  namespace: string,
  name: string,
  port: number | string | undefined,
  warn: WarnAt,
): void {
  const service = find('Service', namespace, name);
  if (service === undefined) {
    warn(`there is no Service ${namespace}/${name}`);
    return;
  }
  const ports = (service.spec as KubeServiceSpec).ports ?? [];
  if (port === undefined || ports.some((each) => each.port === port || each.name === port)) return;
  warn(
    `Service ${namespace}/${name} has no port ${port}; it has ${ports.map((each) => each.port).join(', ')}`,
  );
}
