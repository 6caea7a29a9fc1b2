// The HTTP data path of our proxy, from the static resources of an Envoy bootstrap, inside the test's process.
import { fromBinary } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { parse } from 'yaml';
import { systemClock } from '../../src/base/clock.ts';
import type { Clock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { Random } from '../../src/base/random.ts';
import { messageFromJson, typeUrlOf } from '../../src/api/any.ts';
import { BootstrapSchema } from '../../src/api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '../../src/api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { HttpConnectionManagerSchema } from '../../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { createHttpConnectionManager } from '../../src/proxy/http/connection-manager.ts';
import { listen } from '../../src/proxy/io/listen.ts';
import { socketAddress } from '../../src/proxy/io/socket-address.ts';
import type { NetworkFilter } from '../../src/proxy/network/filter.ts';
import { StatsStore } from '../../src/proxy/stats/stats.ts';
import type { StreamInfo } from '../../src/proxy/stream-info.ts';
import { responseFlagsText } from '../../src/proxy/stream-info.ts';
import type { UpstreamCluster } from '../../src/proxy/upstream/cluster.ts';
import { createCluster } from '../../src/proxy/upstream/cluster.ts';
import { noLocality } from '../../src/proxy/upstream/host.ts';

export interface StaticProxy {
  readonly stats: StatsStore;
  /** What the access log would have written: code, flags, details, of each request in order. */
  readonly log: { code: number; flags: string; details: string | undefined }[];
  readonly clusters: ReadonlyMap<string, UpstreamCluster>;
  /** Its listeners' connections take no more requests. */
  drain(): void;
  close(): void;
}

export interface StaticProxyOptions {
  readonly clock?: Clock;
  readonly random?: Random;
}

/** Listens where the bootstrap says. Every listener has one filter chain with one HTTP connection manager. */
export async function startStaticProxy(yaml: string, options: StaticProxyOptions = {}): Promise<StaticProxy> {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const bootstrap = messageFromJson(BootstrapSchema, parse(yaml) as JsonValue);
  const stats = new StatsStore();
  const log: StaticProxy['log'] = [];
  const clusters = new Map<string, UpstreamCluster>();
  for (const config of bootstrap.staticResources?.clusters ?? []) {
    const scope = stats.scope('cluster').scope(config.name, 'envoy_cluster_name');
    const cluster = createCluster(config, { clock, random, stats: scope, logger: silentLogger });
    cluster.setHosts(endpointsOf(config));
    clusters.set(config.name, cluster);
  }
  const closers: (() => void)[] = [];
  const filters: NetworkFilter[] = [];
  let nextId = 1;
  for (const listener of bootstrap.staticResources?.listeners ?? []) {
    const any = listener.filterChains[0]!.filters[0]!.configType.value;
    if (any === undefined || !('typeUrl' in any) || any.typeUrl !== typeUrlOf(HttpConnectionManagerSchema))
      throw new Error(`listener ${listener.name}: no HTTP connection manager`);
    const filter: NetworkFilter = createHttpConnectionManager(
      fromBinary(HttpConnectionManagerSchema, any.value),
      {
        clusters: { get: (name) => clusters.get(name) },
        stats: stats.root,
        accessLogs: () => ({
          log: (info: StreamInfo) =>
            void log.push({
              code: info.responseCode,
              flags: responseFlagsText(info.responseFlags),
              details: info.responseCodeDetails,
            }),
        }),
        routes: { acquire: (name) => ({ name, current: undefined }), release: () => {} },
        trafficDirection: 'UNSPECIFIED',
        nodeCluster: '',
        nodeId: '',
        clock,
        random,
        logger: silentLogger,
      },
    );
    filters.push(filter);
    const address = listener.address!.address;
    if (address.case !== 'socketAddress') throw new Error('not a socket address');
    const { address: host, portSpecifier } = address.value;
    const server = await listen({ address: host, port: Number(portSpecifier.value) }, (wire) => {
      filter.accept({
        id: nextId++,
        wire,
        peeked: undefined,
        localAddress: wire.localAddress,
        directLocalAddress: wire.localAddress,
        remoteAddress: wire.remoteAddress,
        serverName: undefined,
        applicationProtocols: [],
        transportProtocol: 'raw_buffer',
        trafficDirection: 'UNSPECIFIED',
        acceptedMs: clock.monotonicMs(),
      });
    });
    closers.push(() => {
      server.close();
      filter.close();
    });
  }
  return {
    stats,
    log,
    clusters,
    drain() {
      for (const filter of filters) filter.drain();
    },
    close() {
      for (const close of closers) close();
      for (const cluster of clusters.values()) cluster.close();
    },
  };
}

function endpointsOf(config: Cluster): Parameters<UpstreamCluster['setHosts']>[0] {
  return (config.loadAssignment?.endpoints ?? []).flatMap((locality) =>
    locality.lbEndpoints.map((each) => {
      const endpoint = each.hostIdentifier.value;
      if (endpoint === undefined || typeof endpoint === 'string') throw new Error('no endpoint');
      const address = endpoint.address?.address;
      if (address?.case !== 'socketAddress') throw new Error('not a socket address');
      return {
        address: socketAddress(address.value.address, Number(address.value.portSpecifier.value)),
        hostname: endpoint.hostname,
        weight: each.loadBalancingWeight ?? 1,
        health: 'HEALTHY' as const,
        priority: locality.priority,
        locality: noLocality,
        localityWeight: undefined,
        metadata: undefined,
      };
    }),
  );
}
