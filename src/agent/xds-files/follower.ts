// Follows the whole configuration of one proxy: clusters and their endpoints, listeners and their routes. What cannot be
// read is refused by name, and the last good version of it stays.
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ReceivedResource, ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';
import type { XdsClient } from '../../xds/client/xds-client.ts';
import { assignmentName, routeNames } from './references.ts';

/** What a proxy has been told, by name. */
export interface ProxyConfiguration {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
}

interface Collected<T> {
  readonly consumer: ResourceConsumer;
  readonly held: Map<string, T>;
  /** A response came. */
  readonly answered: () => boolean;
}

export class ConfigurationFollower implements ProxyConfiguration {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
  readonly #clustersAnswered: () => boolean;
  readonly #listenersAnswered: () => boolean;

  /** `onChange`: after each response that was taken. */
  constructor(client: XdsClient, onChange: () => void) {
    const endpoints = collect(
      (bytes) => fromBinary(ClusterLoadAssignmentSchema, bytes),
      ({ clusterName }) => clusterName,
      onChange,
    );
    const routes = collect(
      (bytes) => fromBinary(RouteConfigurationSchema, bytes),
      ({ name }) => name,
      onChange,
    );
    const endpointNames = client.subscribe(typeUrlOf(ClusterLoadAssignmentSchema), false, endpoints.consumer);
    const clusters = collect(
      (bytes) => fromBinary(ClusterSchema, bytes),
      ({ name }) => name,
      () => {
        const names = namesOf(clusters.held, (cluster) => [assignmentName(cluster)]);
        keepOnly(endpoints.held, names);
        endpointNames.setNames(names);
        onChange();
      },
    );
    client.subscribe(typeUrlOf(ClusterSchema), true, clusters.consumer);
    const routeSubscription = client.subscribe(typeUrlOf(RouteConfigurationSchema), false, routes.consumer);
    const listeners = collect(
      (bytes) => fromBinary(ListenerSchema, bytes),
      ({ name }) => name,
      () => {
        const names = namesOf(listeners.held, routeNames);
        keepOnly(routes.held, names);
        routeSubscription.setNames(names);
        onChange();
      },
    );
    client.subscribe(typeUrlOf(ListenerSchema), true, listeners.consumer);
    this.clusters = clusters.held;
    this.endpoints = endpoints.held;
    this.listeners = listeners.held;
    this.routes = routes.held;
    this.#clustersAnswered = clusters.answered;
    this.#listenersAnswered = listeners.answered;
  }

  /** What the control plane still owes; empty: the configuration is whole. */
  missing(): readonly string[] {
    const missing: string[] = [];
    if (!this.#clustersAnswered()) missing.push('clusters');
    if (!this.#listenersAnswered()) missing.push('listeners');
    for (const cluster of this.clusters.values()) {
      const name = assignmentName(cluster);
      if (name !== undefined && !this.endpoints.has(name)) missing.push(`endpoints ${name}`);
    }
    for (const listener of this.listeners.values())
      for (const name of routeNames(listener)) if (!this.routes.has(name)) missing.push(`routes ${name}`);
    return missing;
  }
}

/** Keeps what comes of one type; of a type that is asked for by name, what is not asked for is dropped by the caller. */
function collect<T>(
  decode: (bytes: Uint8Array) => T,
  nameOf: (message: T) => string,
  onChange: () => void,
): Collected<T> {
  const held = new Map<string, T>();
  let answered = false;
  const take = (resource: ReceivedResource, named: Set<string>): string | undefined => {
    try {
      const message = decode(resource.bytes);
      const name = nameOf(message);
      if (name === '') throw new Error('it has no name');
      if (named.has(name)) throw new Error('it is there twice');
      named.add(name);
      held.set(name, message);
      return undefined;
    } catch (error) {
      if (resource.name !== undefined) named.add(resource.name);
      return `${resource.name ?? 'a resource without a name'}: ${(error as Error).message}`;
    }
  };
  const onUpdate = (update: ResourceUpdate): readonly string[] => {
    const named = new Set<string>();
    const errors = update.resources
      .map((resource) => take(resource, named))
      .filter((error) => error !== undefined);
    for (const name of update.removed ?? []) held.delete(name);
    // State of the world: a type that is asked for whole has nothing else. With an error it is not known what is meant.
    if (update.removed === undefined && errors.length === 0 && isWhole(update)) keepOnly(held, named);
    answered = true;
    onChange();
    return errors;
  };
  return { consumer: { onUpdate }, held, answered: () => answered };
}

function isWhole({ resources }: ResourceUpdate): boolean {
  const typeUrl = resources[0]?.typeUrl;
  return (
    typeUrl === undefined || typeUrl === typeUrlOf(ClusterSchema) || typeUrl === typeUrlOf(ListenerSchema)
  );
}

function namesOf<T>(
  held: ReadonlyMap<string, T>,
  namesIn: (message: T) => readonly (string | undefined)[],
): Set<string> {
  return new Set(
    [...held.values()].flatMap((message) => namesIn(message)).filter((name) => name !== undefined),
  );
}

function keepOnly<T>(held: Map<string, T>, names: ReadonlySet<string>): void {
  for (const name of held.keys()) if (!names.has(name)) held.delete(name);
}
