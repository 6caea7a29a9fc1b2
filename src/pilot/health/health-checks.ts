// Which endpoints the services of the mesh ask to have checked, as clients that check (HDS) are told.
import { isIP } from 'node:net';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { HealthCheckSchema } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import type { ClusterHealthCheckSchema } from '../../api/gen/envoy/service/health/v3/hds_pb.js';
import {
  Capability_Protocol,
  HealthCheckSpecifierSchema,
} from '../../api/gen/envoy/service/health/v3/hds_pb.js';
import type { HealthCheck } from '../../model/health-check.ts';
import type { Locality } from '../../model/service.ts';
import { durationOfMs } from '../../translate/proto-values.ts';
import type { PilotWorld } from '../world/world.ts';

/** The endpoints of one service port. Plain data. */
export interface CheckedPort {
  /** `namespace/hostname:port`: the cluster's name in HDS. */
  readonly name: string;
  /** `namespace/hostname` */
  readonly service: string;
  readonly hostname: string;
  readonly check: HealthCheck;
  readonly endpoints: readonly CheckedEndpoint[];
}

interface CheckedEndpoint {
  readonly address: string;
  readonly port: number;
  readonly locality: Locality;
}

/** Endpoints that one client is asked to check; what is beyond is left out, in the order of names. */
const endpointsMax = 2000;

/**
 * What clients of a namespace can see and that asks to be checked, sorted. Addresses that are none to connect to
 * (names, sockets, other networks) are left out. Recorded reads.
 */
export function checkedPorts(world: PilotWorld, namespace: string): readonly CheckedPort[] {
  const ports: CheckedPort[] = [];
  let count = 0;
  for (const service of world.servicesVisibleTo(namespace)) {
    const { healthCheck: check, hostname, namespace: owner } = service;
    if (check === undefined) continue;
    for (const { servicePort } of service.ports) {
      const endpoints = world
        .endpoints(hostname, servicePort, owner)
        .filter(({ address, health }) => isIP(address) !== 0 && health !== 'DRAINING')
        .slice(0, endpointsMax - count)
        .map(({ address, endpointPort: port, locality }) => ({ address, port, locality }));
      if (endpoints.length === 0) continue;
      count += endpoints.length;
      const name = `${owner}/${hostname}:${servicePort}`;
      ports.push({ name, service: `${owner}/${hostname}`, hostname, check, endpoints });
    }
  }
  return ports.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A HealthCheckSpecifier of what a client with these capabilities can check. */
export function specifierOf(
  ports: readonly CheckedPort[],
  protocols: readonly Capability_Protocol[],
): Uint8Array {
  const clusterHealthChecks = ports
    .filter(({ check }) => protocols.includes(protocolOf(check)))
    .map(clusterHealthCheck);
  const intervalMs = Math.min(reportMs, ...ports.map(({ check }) => check.intervalMs));
  return toBinary(
    HealthCheckSpecifierSchema,
    create(HealthCheckSpecifierSchema, { clusterHealthChecks, interval: durationOfMs(intervalMs) }),
  );
}

/** How often clients report, if nothing is checked more often. */
const reportMs = 5000;

function clusterHealthCheck(port: CheckedPort): MessageInitShape<typeof ClusterHealthCheckSchema> {
  const byPlace = new Map<string, CheckedEndpoint[]>();
  for (const endpoint of port.endpoints) {
    const { region, zone, subzone } = endpoint.locality;
    const place = JSON.stringify([region, zone, subzone]);
    byPlace.set(place, [...(byPlace.get(place) ?? []), endpoint]);
  }
  return {
    clusterName: port.name,
    healthChecks: [healthCheck(port)],
    localityEndpoints: [...byPlace.values()].map((endpoints) => {
      const { region = '', zone = '', subzone = '' } = endpoints[0]?.locality ?? {};
      return {
        locality: { region, zone, subZone: subzone },
        endpoints: endpoints.map((endpoint) => ({
          address: {
            address: {
              case: 'socketAddress' as const,
              value: {
                address: endpoint.address,
                portSpecifier: { case: 'portValue' as const, value: endpoint.port },
              },
            },
          },
        })),
      };
    }),
  };
}

function healthCheck({ check, hostname }: CheckedPort): MessageInitShape<typeof HealthCheckSchema> {
  const { path, intervalMs, timeoutMs, unhealthyThreshold, healthyThreshold } = check;
  return {
    interval: durationOfMs(intervalMs),
    timeout: durationOfMs(timeoutMs),
    // Endpoints without traffic would be checked once a minute.
    noTrafficInterval: durationOfMs(intervalMs),
    unhealthyThreshold,
    healthyThreshold,
    healthChecker:
      path === undefined
        ? { case: 'tcpHealthCheck', value: {} }
        : { case: 'httpHealthCheck', value: { host: hostname, path } },
  };
}

function protocolOf({ protocol }: HealthCheck): Capability_Protocol {
  return protocol === 'http' ? Capability_Protocol.HTTP : Capability_Protocol.TCP;
}
