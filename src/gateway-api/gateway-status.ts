// The status of Gateways and ListenerSets: whether they are accepted, where they are reached, how many routes they have.
import { isIP } from 'node:net';
import type { KubeGatewayConfig, ListenerSetConfig } from '../config/gateway-api-types.ts';
import { classOf } from './classes.ts';
import type { Condition, Problem, Verdict } from './conditions.ts';
import { joinConditions, joinWords } from './conditions.ts';
import type { ConvertedGateway } from './gateways.ts';
import {
  convertGateway,
  convertListenerSet,
  gatewayOfSet,
  gatewayServices,
  parametersProblem,
} from './gateways.ts';
import { clientCertificateProblem } from './listener-tls.ts';
import type { ListenerStatus } from './listeners.ts';
import { takesListenerSets } from './namespaces.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { attachments } from './parents.ts';

export interface GatewayStatus {
  readonly addresses?: readonly { readonly type?: string; readonly value?: string }[];
  readonly conditions: readonly Condition[];
  readonly listeners?: readonly ListenerStatus[];
  readonly attachedListenerSets?: number;
}

export interface ListenerSetStatus {
  readonly conditions: readonly Condition[];
  readonly listeners?: readonly ListenerStatus[];
}

/** Undefined: the Gateway is not ours. Source: Istio `GatewayCollection`, `reportGatewayStatus`. */
export function gatewayStatus(
  objects: GatewayApiObjects,
  gateway: KubeGatewayConfig,
): GatewayStatus | undefined {
  const info = classOf(objects, gateway.spec.gatewayClassName);
  const { listeners: _listeners, ...before } = (gateway.status ?? {}) as Partial<GatewayStatus>;
  if (info === undefined) return undefined;
  if (info.serves === 'remote') return remoteStatus(gateway, before);
  const services = gatewayServices(gateway, objects.domainSuffix());
  const converted = convertGateway(objects, gateway);
  const sets = objects
    .listenerSetsOf(gateway.namespace, gateway.name)
    .flatMap((set) => convertListenerSet(objects, set) ?? [])
    .filter(({ listeners }) => listeners.some(({ valid, server }) => valid && server !== undefined));
  const ports = [converted, ...sets].flatMap((each) => portsOf(each));
  const found = instances(objects, gateway.namespace, services.hostnames, ports);
  const verdicts: Record<string, Verdict> = {
    Accepted: acceptedVerdict(
      gateway,
      converted,
      services.problem ?? (converted === undefined ? undefined : parametersProblem(objects, gateway)),
    ),
    Programmed: programmedVerdict(services.hostnames, found),
    ResolvedRefs: {
      reason: 'ResolvedRefs',
      message: 'All references resolved',
      problem: clientCertificateProblem(objects, gateway),
    },
  };
  const frontend = gateway.spec.tls?.frontend;
  const isInsecure =
    frontend !== undefined &&
    [frontend.default, ...(frontend.perPort ?? []).map(({ tls }) => tls)].some(
      ({ validation }) => validation?.mode === 'AllowInsecureFallback',
    );
  if (isInsecure)
    verdicts[insecureType] = {
      reason: 'ConfigurationChanged',
      message: 'Gateway is operating in AllowInsecureFallback mode for frontend validation',
    };
  const existing = (before.conditions ?? []).filter(({ type }) => type !== insecureType || isInsecure);
  // Once there are addresses they stay: clients may have them.
  const addresses = addressesOf(gateway, found).map((value) => ({
    type: isIP(value) === 0 ? 'Hostname' : 'IPAddress',
    value,
  }));
  return {
    ...before,
    ...(addresses.length === 0 ? {} : { addresses }),
    conditions: joinConditions(existing, verdicts, gateway.generation),
    ...withAttachments(objects, gateway, converted),
    ...(sets.length === 0 ? {} : { attachedListenerSets: sets.length }),
  };
}

/** Undefined: it is for no Gateway of ours. Source: Istio `ListenerSetCollection`, `ReportListenerSetStatus`. */
export function listenerSetStatus(
  objects: GatewayApiObjects,
  set: ListenerSetConfig,
): ListenerSetStatus | undefined {
  const gateway = gatewayOfSet(objects, set);
  if (gateway === undefined) return undefined;
  const info = classOf(objects, gateway.spec.gatewayClassName);
  if (info === undefined) return undefined;
  const before = (set.status ?? {}) as Partial<ListenerSetStatus>;
  const refusal = (message: string): ListenerSetStatus => {
    const problem = { reason: 'NotAllowed', message };
    const verdict = { ...problem, problem };
    const conditions = joinConditions(
      before.conditions,
      { Accepted: verdict, Programmed: verdict },
      set.generation,
    );
    return { conditions };
  };
  if (info.serves === 'remote')
    return refusal(`The "${gateway.spec.gatewayClassName}" GatewayClass does not support ListenerSet`);
  if (!takesListenerSets(objects, gateway, set.namespace))
    return refusal("The parent Gateway does not allow this reference; check the 'spec.allowedRoutes'");
  const services = gatewayServices(gateway, objects.domainSuffix());
  const converted = convertListenerSet(objects, set);
  const isValid =
    converted === undefined || converted.listeners.some(({ valid, server }) => valid && server !== undefined);
  const none: Problem | undefined = isValid
    ? undefined
    : { reason: 'ListenersNotValid', message: "None of the ListenerSet's listeners are valid" };
  const parent: Problem | undefined =
    services.problem === undefined
      ? undefined
      : { reason: services.problem.reason, message: `Parent not accepted: ${services.problem.message}` };
  const found = instances(objects, gateway.namespace, services.hostnames, portsOf(converted));
  const programmed = programmedVerdict(services.hostnames, found);
  return {
    conditions: joinConditions(
      before.conditions,
      {
        Accepted: { reason: 'Accepted', message: 'Resource accepted', problem: parent ?? none },
        Programmed: { ...programmed, problem: none ?? programmed.problem },
      },
      set.generation,
    ),
    ...withAttachments(objects, set, converted),
  };
}

const insecureType = 'InsecureFrontendValidationMode';

function remoteStatus(
  { spec, generation }: KubeGatewayConfig,
  before: Partial<GatewayStatus>,
): GatewayStatus {
  const verdicts = {
    Accepted: { reason: 'Accepted', message: 'Resource accepted' },
    // It is right as far as we can tell.
    Programmed: { reason: 'Programmed', message: 'This Gateway is remote; Istio will not program it' },
  };
  return {
    ...(spec.addresses === undefined ? {} : { addresses: spec.addresses }),
    conditions: joinConditions(before.conditions, verdicts, generation),
  };
}

/** Refused only where no listener is valid; where some are not, the reason says so. */
function acceptedVerdict(
  { spec }: KubeGatewayConfig,
  converted: ConvertedGateway | undefined,
  problem: Problem | undefined,
): Verdict {
  const accepted = { reason: 'Accepted', message: 'Resource accepted' };
  if (problem !== undefined) return { ...accepted, problem };
  const valid = (converted?.listeners ?? []).filter((listener) => listener.valid).length;
  if (valid === spec.listeners.length) return accepted;
  const reason = 'ListenersNotValid';
  if (valid === 0)
    return { ...accepted, problem: { reason, message: "None of the Gateway's listeners are valid" } };
  return { reason, message: "One or more of the Gateway's listeners are invalid" };
}

function programmedVerdict(services: readonly string[], found: Instances): Verdict {
  const programmed: Verdict = {
    reason: 'Programmed',
    message:
      found.internal.length === 0
        ? 'Resource programmed'
        : `Resource programmed, assigned to service(s) ${joinWords(found.internal)}`,
  };
  if (services.length === 0)
    return {
      ...programmed,
      problem: { reason: 'UnsupportedAddress', message: 'Failed to assign to any requested addresses' },
    };
  if (found.warnings.length === 0) return programmed;
  const why = found.warnings.join('; ');
  return {
    ...programmed,
    problem: {
      reason: found.areUsable ? 'AddressNotAssigned' : 'AddressNotUsable',
      message:
        found.internal.length === 0
          ? `Failed to assign to any requested addresses: ${why}`
          : `Assigned to service(s) ${joinWords(found.internal)}, but failed to assign to all requested addresses: ${why}`,
    },
  };
}

function portsOf(converted: ConvertedGateway | undefined): readonly number[] {
  return (converted?.listeners ?? []).flatMap(({ server }) => server?.port?.number ?? []);
}

/** Where a Gateway's Services are reached. */
interface Instances {
  /** `hostname:port` of what is served. */
  readonly internal: readonly string[];
  readonly internalAddresses: readonly string[];
  readonly external: readonly string[];
  /** Hostnames of Services that wait for a load balancer. */
  readonly pending: readonly string[];
  readonly warnings: readonly string[];
  /** Whether each Service is there and has each port. */
  readonly areUsable: boolean;
}

/** Source: Istio `ResolveGatewayInstances`. */
function instances(
  objects: GatewayApiObjects,
  namespace: string,
  services: readonly string[],
  ports: readonly number[],
): Instances {
  const internal = new Set<string>();
  const internalAddresses = new Set<string>();
  const external = new Set<string>();
  const pending = new Set<string>();
  const warnings: string[] = [];
  let areUsable = true;
  for (const hostname of services) {
    const service = objects.discovered(hostname, namespace);
    if (service === undefined) {
      const others = objects.namespacesOf(hostname).map((other) => `"${other}"`);
      warnings.push(
        others.length === 0
          ? `hostname "${hostname}" not found`
          : `hostname "${hostname}" not found in namespace "${namespace}", but it was found in namespace(s) ${others.join(', ')}`,
      );
      areUsable = false;
      continue;
    }
    for (const port of new Set(ports)) {
      const own = service.ports.find(({ servicePort }) => servicePort === port);
      if ((own?.endpointPorts ?? []).length > 0) {
        internal.add(`${hostname}:${port}`);
        for (const address of service.addresses) internalAddresses.add(address);
        for (const address of service.externalAddresses) external.add(address);
        if (service.externalAddresses.length === 0 && service.isLoadBalancer && !pending.has(hostname)) {
          pending.add(hostname);
          warnings.push(`address pending for hostname "${hostname}"`);
        }
        continue;
      }
      if (service.ports.every(({ endpointPorts }) => endpointPorts.length === 0)) {
        warnings.push(`no instances found for hostname "${hostname}"`);
        continue;
      }
      const hints = service.ports.filter(({ endpointPorts }) => endpointPorts.includes(port));
      if (hints.length > 0) {
        const numbers = hints.map(({ servicePort }) => servicePort).sort((a, b) => a - b);
        warnings.push(
          `port ${port} not found for hostname "${hostname}" (hint: the service port should be specified, not the workload port. Did you mean one of these ports: [${numbers.join(' ')}]?)`,
        );
        areUsable = false;
      } else if (!('gateway.istio.io/managed' in service.labels) || own === undefined) {
        // The Service of a Gateway that we deploy has the port: its endpoints will follow.
        warnings.push(`port ${port} not found for hostname "${hostname}"`);
        areUsable = false;
      }
    }
  }
  return {
    internal: [...internal].sort(),
    internalAddresses: [...internalAddresses].sort(),
    external: [...external].sort(),
    pending: [...pending].sort(),
    warnings: warnings.sort(),
    areUsable,
  };
}

/** What a load balancer gave, else the names of the Services (or, by annotation, their cluster IPs). */
function addressesOf({ annotations }: KubeGatewayConfig, found: Instances): readonly string[] {
  if (found.external.length > 0) return found.external;
  const wanted = annotations['networking.istio.io/address-type'] ?? 'Hostname';
  const addresses = wanted === 'Hostname' ? [] : [...found.internalAddresses];
  if (wanted === 'IPAddress') return addresses;
  for (const place of found.internal) {
    const hostname = place.slice(0, place.lastIndexOf(':'));
    if (!found.pending.includes(hostname) && !addresses.includes(hostname)) addresses.push(hostname);
  }
  return addresses;
}

function withAttachments(
  objects: GatewayApiObjects,
  owner: ObjectKey,
  converted: ConvertedGateway | undefined,
): { readonly listeners?: readonly ListenerStatus[] } {
  const counts = attachments(objects, owner);
  const listeners = (converted?.listeners ?? []).map(({ status }) => ({
    ...status,
    attachedRoutes: counts[status.name] ?? 0,
  }));
  return listeners.length === 0 ? {} : { listeners };
}
