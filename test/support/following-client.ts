// An ADS client that behaves as Envoy does: it acknowledges, and asks for what it was told of.
import { fromBinary } from '@bufbuild/protobuf';
import {
  ClusterSchema,
  Cluster_DiscoveryType,
} from '../../src/api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '../../src/api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../../src/api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '../../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { DiscoveryResponse } from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { unpackAs } from '../../src/api/any.ts';
import { typeUrls } from '../../src/xds/types.ts';
import { BareAdsClient } from './ads-client.ts';
import { waitFor } from './wait.ts';

export interface FollowingOptions {
  readonly node: Parameters<BareAdsClient['send']>[0]['node'];
  /** Says why a response is refused; undefined: it is accepted. */
  readonly refuse?: (response: DiscoveryResponse) => string | undefined;
  /** Whether a response is never answered. Default: none is. */
  readonly isMute?: (response: DiscoveryResponse) => boolean;
}

/** What it has, as far as a test wants to know, and every response in order, as `CDS`, `EDS a b`... */
export class FollowingClient {
  readonly clusters = new Set<string>();
  readonly endpoints = new Map<string, ClusterLoadAssignment>();
  readonly listeners = new Set<string>();
  readonly routes = new Map<string, RouteConfiguration>();
  readonly log: string[] = [];
  readonly bare: BareAdsClient;
  readonly #options: FollowingOptions;
  readonly #names = new Map<string, string[]>();
  readonly #last = new Map<string, DiscoveryResponse>();

  constructor(port: number, options: FollowingOptions) {
    this.#options = options;
    this.bare = new BareAdsClient(port);
    this.bare.send({ typeUrl: typeUrls.cluster, node: options.node });
    void this.#follow();
  }

  close(): void {
    this.bare.close();
  }

  /** Resolves when it has clusters, endpoints, listeners and routes. */
  async ready(): Promise<this> {
    await waitFor('all types', () => (this.routes.size > 0 && this.listeners.size > 0) || undefined);
    return this;
  }

  async #follow(): Promise<void> {
    for (;;) {
      let response: DiscoveryResponse;
      try {
        // oxlint-disable-next-line no-await-in-loop -- one answer after the other
        response = await this.bare.next();
      } catch {
        if (this.bare.error !== undefined || this.bare.ended) return;
        continue;
      }
      this.#take(response);
    }
  }

  #take(response: DiscoveryResponse): void {
    const { typeUrl } = response;
    const first = !this.#last.has(typeUrl);
    this.#last.set(typeUrl, response);
    if (this.#options.isMute?.(response) === true) return;
    const reason = this.#options.refuse?.(response);
    const names = this.#names.get(typeUrl) ?? [];
    if (reason !== undefined) {
      this.log.push(`${short(typeUrl)} refused`);
      this.bare.nack(response, reason, names);
      return;
    }
    switch (typeUrl) {
      case typeUrls.cluster:
        this.bare.ack(response, names);
        this.#takeClusters(response);
        if (first) this.bare.send({ typeUrl: typeUrls.listener });
        break;
      case typeUrls.listener:
        this.bare.ack(response, names);
        this.#takeListeners(response);
        break;
      default:
        this.#takePart(response);
        this.bare.ack(response, names);
        break;
    }
  }

  #takeClusters(response: DiscoveryResponse): void {
    this.log.push('CDS');
    this.clusters.clear();
    const eds: string[] = [];
    for (const { value } of response.resources) {
      const cluster = fromBinary(ClusterSchema, value);
      this.clusters.add(cluster.name);
      if (cluster.clusterDiscoveryType.value === Cluster_DiscoveryType.EDS) eds.push(cluster.name);
    }
    this.#ask(typeUrls.endpoint, eds);
  }

  #takeListeners(response: DiscoveryResponse): void {
    this.log.push('LDS');
    this.listeners.clear();
    const routes = new Set<string>();
    for (const { value } of response.resources) {
      const listener = fromBinary(ListenerSchema, value);
      this.listeners.add(listener.name);
      for (const chain of listener.filterChains) {
        for (const { configType } of chain.filters) {
          if (configType.case !== 'typedConfig') continue;
          const manager = unpackAs(configType.value, HttpConnectionManagerSchema);
          if (manager?.routeSpecifier.case === 'rds')
            routes.add(manager.routeSpecifier.value.routeConfigName);
        }
      }
    }
    this.#ask(typeUrls.route, [...routes]);
  }

  #takePart(response: DiscoveryResponse): void {
    const names: string[] = [];
    for (const { value } of response.resources) {
      if (response.typeUrl === typeUrls.endpoint) {
        const assignment = fromBinary(ClusterLoadAssignmentSchema, value);
        this.endpoints.set(assignment.clusterName, assignment);
        names.push(assignment.clusterName);
      } else {
        const route = fromBinary(RouteConfigurationSchema, value);
        this.routes.set(route.name, route);
        names.push(route.name);
      }
    }
    this.log.push([short(response.typeUrl), ...names].join(' '));
  }

  #ask(typeUrl: string, names: string[]): void {
    const sorted = names.toSorted();
    if (sorted.join() === (this.#names.get(typeUrl) ?? []).join()) return;
    this.#names.set(typeUrl, sorted);
    const last = this.#last.get(typeUrl);
    this.bare.send({
      typeUrl,
      resourceNames: sorted,
      ...(last === undefined ? {} : { responseNonce: last.nonce, versionInfo: last.versionInfo }),
    });
  }
}

function short(typeUrl: string): string {
  switch (typeUrl) {
    case typeUrls.cluster:
      return 'CDS';
    case typeUrls.endpoint:
      return 'EDS';
    case typeUrls.listener:
      return 'LDS';
    default:
      return 'RDS';
  }
}
