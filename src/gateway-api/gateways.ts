// Gateways and ListenerSets of the Gateway API -> Gateways of Istio's, one for each listener.
import type { GatewayConfig } from '../config/config.ts';
import { kindName, madeConfig, originOf } from '../config/config.ts';
import type {
  KubeGatewayConfig,
  Listener,
  ListenerSetConfig,
  RouteGroupKind,
} from '../config/gateway-api-types.ts';
import { annotationsOfGateways } from '../model/gateway-origin.ts';
import { serviceHostname } from '../model/hostname.ts';
import { classOf } from './classes.ts';
import type { Condition, Problem } from './conditions.ts';
import { listenerConflicts, listenerPort } from './listener-conflicts.ts';
import type { ListenerResult, ListenerStatus } from './listeners.ts';
import { conflictedListener, convertListener, supportedKinds } from './listeners.ts';
import { takesListenerSets } from './namespaces.ts';
import type { GatewayApiObjects } from './objects.ts';
import { objectKey } from './objects.ts';
import { backendKind, parentKind } from './references.ts';

/** A listener, as routes may refer to it. */
export interface ParentListener {
  /** `namespace/name` of the Gateway that was made of it; `mesh`. */
  readonly gateway: string;
  readonly allowedKinds: readonly RouteGroupKind[];
  /** `namespace/host`; empty: any. */
  readonly hosts: readonly string[];
  /** As the user wrote it; empty: any. */
  readonly hostname: string;
  readonly sectionName: string;
  readonly port: number;
  readonly protocol: string;
}

/** A Gateway or ListenerSet with what was made of its listeners. */
export interface ConvertedGateway {
  readonly listeners: readonly ListenerResult[];
  /** Whether a listener has a server, in its order: what routes may attach to. */
  readonly parents: readonly ParentListener[];
  /** What proxies get: of valid listeners alone. */
  readonly gateways: readonly GatewayConfig[];
}

/** Where a Gateway's proxies are. */
export interface GatewayServices {
  /** Hostnames of the Services in front of them. */
  readonly hostnames: readonly string[];
  readonly problem?: Problem;
}

/** Whether a proxy is to be deployed for the Gateway: it names no address, or only the IP that it shall have. */
export function isManaged({ spec: { addresses = [] } }: KubeGatewayConfig): boolean {
  if (addresses.length > 1) return false;
  return (addresses[0]?.type ?? 'IPAddress') === 'IPAddress';
}

/** The Deployment and Service of a managed Gateway: `<name>-<class>`, unless an annotation says another. */
function managedName({ name, annotations, spec }: KubeGatewayConfig): string {
  return annotations['gateway.istio.io/name-override'] ?? `${name}-${spec.gatewayClassName}`;
}

/** Source: Istio `extractGatewayServices`. */
export function gatewayServices(gateway: KubeGatewayConfig, domainSuffix: string): GatewayServices {
  const { namespace, annotations, spec } = gateway;
  if (isManaged(gateway))
    return { hostnames: [serviceHostname(managedName(gateway), namespace, domainSuffix)] };
  const hosts = (spec.addresses ?? []).filter(({ type = 'Hostname' }) => type === 'Hostname');
  const skipped = (spec.addresses ?? []).filter(({ type = 'Hostname' }) => type !== 'Hostname');
  const hostnames = hosts.map(({ value = '' }) =>
    value.includes('.') ? value : serviceHostname(value, namespace, domainSuffix),
  );
  if (skipped.length > 0)
    return {
      hostnames,
      problem: {
        reason: 'UnsupportedAddress',
        message: `only Hostname is supported, ignoring [${skipped.map(({ value }) => value ?? '').join(' ')}]`,
      },
    };
  const deprecated = 'networking.istio.io/service-type';
  if (deprecated in annotations)
    return {
      hostnames,
      problem: {
        reason: 'DeprecatedField',
        message: `annotation ${deprecated} is deprecated, use Spec.Infrastructure.Routeability`,
      },
    };
  return { hostnames };
}

/** The listeners of a Gateway of ours; undefined where it is none, or where none of its addresses can be used. */
export function convertGateway(
  objects: GatewayApiObjects,
  { namespace, name }: Pick<KubeGatewayConfig, 'namespace' | 'name'>,
): ConvertedGateway | undefined {
  return objects.derive(`gateway-api/gateway/${namespace}/${name}`, () => {
    const gateway = objects.gateway(namespace, name);
    if (gateway === undefined) return undefined;
    if (classOf(objects, gateway.spec.gatewayClassName)?.serves !== 'gateway') return undefined;
    const { hostnames, problem } = gatewayServices(gateway, objects.domainSuffix());
    if (hostnames.length === 0 && problem !== undefined) return undefined;
    return convertListeners(objects, gateway, gateway, hostnames);
  });
}

/** A ListenerSet's parent Gateway, if it names one that is there. */
export function gatewayOfSet(
  objects: Pick<GatewayApiObjects, 'gateway'>,
  set: ListenerSetConfig,
): KubeGatewayConfig | undefined {
  const { parentRef } = set.spec;
  if (parentKind(parentRef) !== parentKind({})) return undefined;
  return objects.gateway(parentRef.namespace ?? set.namespace, parentRef.name);
}

/** The listeners of a ListenerSet that a Gateway of ours takes; undefined where there is none. */
export function convertListenerSet(
  objects: GatewayApiObjects,
  { namespace, name }: Pick<ListenerSetConfig, 'namespace' | 'name'>,
): ConvertedGateway | undefined {
  return objects.derive(`gateway-api/listener-set/${namespace}/${name}`, () => {
    const set = objects.listenerSet(namespace, name);
    const gateway = set === undefined ? undefined : gatewayOfSet(objects, set);
    if (set === undefined || gateway === undefined) return undefined;
    if (classOf(objects, gateway.spec.gatewayClassName)?.serves !== 'gateway') return undefined;
    if (!takesListenerSets(objects, gateway, set.namespace)) return undefined;
    const { hostnames, problem } = gatewayServices(gateway, objects.domainSuffix());
    if (hostnames.length === 0 && problem !== undefined) return undefined;
    return convertListeners(objects, set, gateway, hostnames);
  });
}

function convertListeners(
  objects: GatewayApiObjects,
  owner: KubeGatewayConfig | ListenerSetConfig,
  gateway: KubeGatewayConfig,
  services: readonly string[],
): ConvertedGateway {
  const conflicts = listenerConflicts(objects, gateway)[objectKey(owner)] ?? {};
  const { listeners: before = [] } = (owner.status ?? {}) as {
    readonly listeners?: readonly ListenerStatus[];
  };
  const listeners = owner.spec.listeners.map((listener) => {
    const existing: readonly Condition[] | undefined = before.find(
      ({ name }) => name === listener.name,
    )?.conditions;
    const conflict = conflicts[listener.name];
    return conflict === undefined
      ? convertListener(objects, owner, gateway.spec, listener, existing)
      : conflictedListener(owner, listener, conflict, existing);
  });
  const served = [...listeners.entries()].filter(
    // Of a ListenerSet, routes cannot attach to listeners that are not valid.
    ([, { server, valid }]) => server !== undefined && (valid || owner === gateway),
  );
  return {
    listeners,
    parents: served.map(([, result]) => parentListener(owner, result)),
    gateways: served.flatMap(([index, result]) =>
      result.valid ? [madeGateway(owner, gateway, services, result, index)] : [],
    ),
  };
}

/** `<name>~istio-autogenerated-k8s-gateway~<listener>` */
function madeName({ name }: { readonly name: string }, listener: Listener): string {
  return `${name}~istio-autogenerated-k8s-gateway~${listener.name}`;
}

function parentListener(
  owner: KubeGatewayConfig | ListenerSetConfig,
  { listener, server }: ListenerResult,
): ParentListener {
  return {
    gateway: `${owner.namespace}/${madeName(owner, listener)}`,
    allowedKinds: supportedKinds(listener).kinds,
    hosts: server?.hosts ?? [],
    hostname: listener.hostname ?? '',
    sectionName: listener.name,
    port: listenerPort(listener) ?? 0,
    protocol: listener.protocol,
  };
}

function madeGateway(
  owner: KubeGatewayConfig | ListenerSetConfig,
  gateway: KubeGatewayConfig,
  services: readonly string[],
  { listener, server }: ListenerResult,
  index: number,
): GatewayConfig {
  const isSet = owner !== gateway;
  return madeConfig({
    kind: 'Gateway',
    namespace: owner.namespace,
    name: madeName(owner, listener),
    creationTimeMs: owner.creationTimeMs,
    annotations: {
      [annotationsOfGateways.semantics]: 'gateway',
      [annotationsOfGateways.service]: services.join(','),
      [annotationsOfGateways.parents]: `${kindName(owner.kind)}/${owner.name}/${listener.name}.${owner.namespace}`,
      ...(isSet ? { [annotationsOfGateways.parentNamespace]: gateway.namespace } : {}),
      [annotationsOfGateways.serviceAccount]: serviceAccountOf(gateway),
    },
    spec: { servers: server === undefined ? [] : [server] },
    madeOf: { whole: originOf(owner, 'spec', 'listeners', index), parts: {} },
  });
}

/** The account of the proxy that is deployed for the Gateway; empty: others deploy it, under any account. */
function serviceAccountOf(gateway: KubeGatewayConfig): string {
  if (!isManaged(gateway)) return '';
  const { name, annotations, spec } = gateway;
  return annotations['gateway.istio.io/service-account'] ?? `${name}-${spec.gatewayClassName}`;
}

/** What is wrong with a Gateway's parametersRef; undefined: nothing. */
export function parametersProblem(
  objects: Pick<GatewayApiObjects, 'configMap'>,
  { namespace, spec }: KubeGatewayConfig,
): Problem | undefined {
  const parameters = spec.infrastructure?.parametersRef;
  if (parameters === undefined) return undefined;
  const { group, kind, name } = parameters;
  if (backendKind({ group, kind }) !== 'ConfigMap')
    return {
      reason: 'InvalidParameters',
      message: `Unsupported parametersRef group/kind ${group}/${kind}, only ConfigMap is supported`,
    };
  if (objects.configMap(namespace, name) !== undefined) return undefined;
  return {
    reason: 'InvalidParameters',
    message: `parametersRef ConfigMap ${namespace}/${name} does not exist`,
  };
}
