// backendRefs -> destinations, and why one cannot be reached.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { BackendRef, FilteredBackendRef } from '../config/gateway-api-types.ts';
import { serviceHostname } from '../model/hostname.ts';
import type { Problem } from './conditions.ts';
import { headersOf, unsupportedFilter } from './filters.ts';
import type { HttpRule } from './matches.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { backendKind, isGranted } from './references.ts';

export type HttpRoute = NonNullable<HttpRule['route']>[number];
export type StreamRoute = NonNullable<NonNullable<VirtualServiceSpec['tcp']>[number]['route']>[number];
export type Destination = NonNullable<HttpRoute['destination']>;

/** Who refers, and whether references across namespaces must be granted: not those of routes of the mesh. */
export interface Referrer {
  readonly objects: GatewayApiObjects;
  readonly route: ObjectKey;
  readonly mustBeGranted: boolean;
}

/** `destination` is absent where the rule as a whole cannot be used; empty where its share of requests fails. */
export interface ResolvedBackend {
  readonly destination?: Destination;
  readonly problem?: Problem;
}

/** Source: Istio `buildDestination`. */
export function resolveBackend(
  { objects, route, mustBeGranted }: Referrer,
  backend: BackendRef,
): ResolvedBackend {
  const { group = '', kind: written = '', name, port, namespace = route.namespace } = backend;
  const kind = backendKind(backend);
  if (
    mustBeGranted &&
    namespace !== route.namespace &&
    !isGranted(objects, route, { kind: kind ?? '', namespace, name })
  )
    return failing(
      'RefNotPermitted',
      `backendRef ${name}/${namespace} not accessible to a ${route.kind} in namespace "${route.namespace}" (missing a ReferenceGrant?)`,
    );
  const domainSuffix = objects.domainSuffix();
  let host: string;
  let isFound: boolean;
  // We know services of several clusters by their names in one.
  if (kind === 'Service' || kind === 'ServiceImport') {
    if (kind === 'Service' && name.includes('.'))
      return invalid('service name invalid; the name of the Service must be used, not the hostname.');
    host = serviceHostname(name, namespace, domainSuffix);
    isFound = objects.service(namespace, name) !== undefined;
  } else if (kind === 'Hostname') {
    if (backend.namespace !== undefined) return invalid('namespace may not be set with Hostname type');
    host = name;
    isFound = objects.isDiscovered(name, namespace);
  } else if (kind === 'InferencePool') {
    return failing('InvalidKind', 'InferencePool is not supported: requests are not sent by inference load');
  } else {
    return failing('InvalidKind', `referencing unsupported backendRef: group "${group}" kind "${written}"`);
  }
  if (port === undefined) return invalid('port is required in backendRef');
  return {
    destination: { host, port: { number: port } },
    ...(isFound ? {} : { problem: { reason: 'BackendNotFound', message: `backend(${host}) not found` } }),
  };
}

export interface Destinations<Route> {
  /** Absent: the rule cannot be used. */
  readonly routes?: readonly Route[];
  readonly problem?: Problem;
}

/** Source: Istio `buildHTTPDestination`, `buildGRPCDestination`. */
export function httpDestinations(
  referrer: Referrer,
  backends: readonly FilteredBackendRef[],
): Destinations<HttpRoute> {
  let problem: Problem | undefined;
  const routes: HttpRoute[] = [];
  const shares = sharesOf(backends);
  for (const { backend, weight } of shares) {
    const resolved = resolveBackend(referrer, backend);
    problem = resolved.problem ?? problem;
    if (resolved.destination === undefined) return resolved;
    const filters = backend.filters ?? [];
    const foreign = filters.find(({ type }) => !type.endsWith('HeaderModifier'));
    if (foreign !== undefined) return { problem: unsupportedFilter(foreign.type) };
    const headers = headersOf(filters);
    if ('problem' in headers) return { problem: headers.problem };
    routes.push({ destination: resolved.destination, ...weight, ...headers });
  }
  return { routes, ...(problem === undefined ? {} : { problem }) };
}

/** Source: Istio `buildTCPDestination`. */
export function streamDestinations(
  referrer: Referrer,
  backends: readonly BackendRef[],
): Destinations<StreamRoute> {
  let problem: Problem | undefined;
  const routes: StreamRoute[] = [];
  for (const { backend, weight } of sharesOf(backends)) {
    const resolved = resolveBackend(referrer, backend);
    problem = resolved.problem ?? problem;
    if (resolved.destination === undefined) return resolved;
    routes.push({ destination: resolved.destination, ...weight });
  }
  return { routes, ...(problem === undefined ? {} : { problem }) };
}

/** Whether any backend gets a share. */
export function hasShares(backends: readonly BackendRef[] = []): boolean {
  return backends.some(({ weight = 1 }) => weight > 0);
}

/** Places of the backends that get a share, in order. */
export function sharePlaces(backends: readonly BackendRef[] = []): readonly number[] {
  return [...backends.entries()].flatMap(([index, { weight = 1 }]) => (weight > 0 ? [index] : []));
}

/** One alone needs no weight. */
function sharesOf<Backend extends BackendRef>(
  backends: readonly Backend[],
): readonly { readonly backend: Backend; readonly weight: { weight?: number } }[] {
  const taking = backends.filter(({ weight = 1 }) => weight > 0);
  return taking.map((backend) => ({
    backend,
    weight: taking.length === 1 ? {} : { weight: backend.weight ?? 1 },
  }));
}

function invalid(message: string): ResolvedBackend {
  return { problem: { reason: 'InvalidDestination', message } };
}

function failing(reason: string, message: string): ResolvedBackend {
  return { destination: {}, problem: { reason, message } };
}
