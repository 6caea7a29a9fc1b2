// A listener -> a server of Istio's Gateway, and what is to be said of it.
import type { GatewaySpec } from '../api/gen/istio-types.js';
import type { Config } from '../config/config.ts';
import { gatewayApiGroup } from '../config/config.ts';
import type { KubeGatewaySpec, Listener, RouteGroupKind } from '../config/gateway-api-types.ts';
import type { Condition, Problem, Verdict } from './conditions.ts';
import { joinConditions } from './conditions.ts';
import type { ConflictReason } from './listener-conflicts.ts';
import { listenerPort } from './listener-conflicts.ts';
import { listenerTls } from './listener-tls.ts';
import { serverHosts } from './namespaces.ts';
import type { GatewayApiObjects } from './objects.ts';

export type Server = NonNullable<GatewaySpec['servers']>[number];

/** A listener in a status. */
export interface ListenerStatus {
  readonly name: string;
  readonly attachedRoutes: number;
  readonly supportedKinds: readonly RouteGroupKind[];
  readonly conditions: readonly Condition[];
}

export interface ListenerResult {
  readonly listener: Listener;
  /** Absent: it stands for nothing (it lost to another one, or says nothing of its TLS). */
  readonly server?: Server;
  /** Whether proxies get the server. */
  readonly valid: boolean;
  readonly status: ListenerStatus;
}

/** `owner` is the Gateway or ListenerSet with the listener. Source: Istio `buildListener`. */
export function convertListener(
  objects: GatewayApiObjects,
  owner: Config,
  gateway: KubeGatewaySpec,
  listener: Listener,
  existing: readonly Condition[] | undefined,
): ListenerResult {
  const { tls, problem: tlsProblem } = listenerTls(objects, owner, gateway, listener);
  const port = listenerPort(listener);
  const protocolProblem = problemOfProtocol(listener, port);
  const isSet = owner.kind === 'ListenerSet';
  const lacksTls = tls === undefined && (listener.protocol === 'HTTPS' || listener.protocol === 'TLS');
  const missing: Problem | undefined =
    lacksTls && isSet
      ? {
          reason: 'UnsupportedProtocol',
          message: `protocol is ${listener.protocol} but no TLS section is defined`,
        }
      : undefined;
  const noCertificate =
    tlsProblem !== undefined && caReasons.has(tlsProblem.reason)
      ? { reason: 'NoValidCACertificate', message: tlsProblem.message }
      : undefined;
  const badTls = tlsProblem ?? missing;
  const fine = (reason: string, problem?: Problem): Verdict => ({
    reason,
    message: 'No errors found',
    problem,
  });
  const verdicts = {
    Accepted: fine('Accepted', missing ?? protocolProblem ?? noCertificate),
    Programmed: fine(
      'Programmed',
      badTls === undefined ? undefined : { reason: 'Invalid', message: 'Bad TLS configuration' },
    ),
    Conflicted: { ...fine('NoConflicts'), status: 'False' as const },
    ResolvedRefs: fine('ResolvedRefs', tlsProblem),
  };
  const server: Server = {
    // Each server has a Gateway of its own, so that one name does for all.
    port: { name: 'default', number: port ?? 0, protocol: knownProtocol(listener.protocol) },
    hosts: [...serverHosts(objects, owner.namespace, listener)],
    ...(tls === undefined ? {} : { tls }),
  };
  return {
    listener,
    ...(lacksTls ? {} : { server }),
    valid: badTls === undefined && protocolProblem === undefined,
    status: listenerStatus(owner, listener, existing, verdicts),
  };
}

/** What is said of a listener that lost to another one. */
export function conflictedListener(
  owner: Config,
  listener: Listener,
  reason: ConflictReason,
  existing: readonly Condition[] | undefined,
): ListenerResult {
  const message = 'Listener has a conflict with another listener attached to the same Gateway';
  const problem = { reason, message };
  const verdicts = {
    Accepted: { ...problem, problem },
    Programmed: { ...problem, problem },
    Conflicted: problem,
  };
  return { listener, valid: false, status: listenerStatus(owner, listener, existing, verdicts) };
}

/**
 * The kinds of routes that a listener takes: those of its protocol, as far as it allows them. `valid` is false
 * where it allows kinds that are not among them. Source: Istio `GenerateGatewaySupportedKinds`.
 */
export function supportedKinds({ protocol, tls, allowedRoutes }: Listener): {
  readonly kinds: readonly RouteGroupKind[];
  readonly valid: boolean;
} {
  const possible = (kindsOfProtocol[protocol] ?? []).concat(
    protocol === 'TLS' && tls?.mode === 'Terminate' ? ['TCPRoute'] : [],
  );
  const allowed = allowedRoutes?.kinds ?? [];
  const kinds = possible
    .filter(
      (kind) =>
        allowed.length === 0 ||
        allowed.some((each) => each.kind === kind && (each.group ?? gatewayApiGroup) === gatewayApiGroup),
    )
    .map((kind) => ({ group: gatewayApiGroup, kind }));
  return { kinds, valid: allowed.length === 0 || kinds.length === allowed.length };
}

const kindsOfProtocol: Readonly<Record<string, readonly string[]>> = {
  HTTP: ['HTTPRoute', 'GRPCRoute'],
  HTTPS: ['HTTPRoute', 'GRPCRoute'],
  TCP: ['TCPRoute'],
  TLS: ['TLSRoute'],
};

/** What is wrong with a CA certificate is said of the listener as a whole, too. */
const caReasons: ReadonlySet<string> = new Set([
  'InvalidCACertificateRef',
  'InvalidCACertificateKind',
  'RefNotPermitted',
]);

function listenerStatus(
  { generation }: Config,
  listener: Listener,
  existing: readonly Condition[] | undefined,
  verdicts: Readonly<Record<string, Verdict>>,
): ListenerStatus {
  const { kinds, valid } = supportedKinds(listener);
  const badKinds: Record<string, Verdict> = valid
    ? {}
    : {
        ResolvedRefs: { reason: 'InvalidRouteKinds', message: 'Invalid route kinds', status: 'False' },
      };
  return {
    name: listener.name,
    attachedRoutes: 0,
    supportedKinds: kinds,
    conditions: joinConditions(existing, { ...verdicts, ...badKinds }, generation),
  };
}

function knownProtocol(protocol: string): string {
  return protocol in kindsOfProtocol ? protocol : '';
}

function problemOfProtocol({ protocol }: Listener, port: number | undefined): Problem | undefined {
  const unsupported = (message: string): Problem => ({ reason: 'UnsupportedProtocol', message });
  if (protocol === 'HBONE') return unsupported('protocol "HBONE" is only supported for waypoint proxies');
  if (!(protocol in kindsOfProtocol)) {
    const upper = protocol.toUpperCase();
    return unsupported(
      upper in kindsOfProtocol || upper === 'HBONE'
        ? `protocol "${protocol}" is unsupported. hint: "${upper}" (uppercase) may be supported`
        : `protocol "${protocol}" is unsupported`,
    );
  }
  return port === undefined ? unsupported(`protocol ${protocol} requires a port to be set`) : undefined;
}
