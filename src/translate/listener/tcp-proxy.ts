// The tcp_proxy filter: bytes to one cluster, or each connection to one of several.
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '../../api/any.ts';
import { FilterConfigSchema as SniDynamicForwardProxySchema } from '../../api/gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.js';
import { TcpProxySchema } from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { dnsCacheOf } from '../dynamic-dns.ts';
import { durationOf, pack } from '../proto-values.ts';
import { buildAccessLog } from './access-log.ts';
import type { TcpFilterInput } from './listener-input.ts';

export const tcpProxyName = 'envoy.filters.network.tcp_proxy';

export function buildTcpProxy(input: TcpFilterInput): Any {
  const idleTimeout = durationOf(input.idleTimeout);
  const maxDownstreamConnectionDuration = durationOf(input.maxConnectionDuration);
  const only = input.clusters.length === 1 ? input.clusters[0] : undefined;
  return packAny(
    TcpProxySchema,
    create(TcpProxySchema, {
      statPrefix: input.statPrefix,
      clusterSpecifier:
        only !== undefined
          ? { case: 'cluster', value: only.cluster }
          : {
              case: 'weightedClusters',
              value: {
                clusters: input.clusters.map(({ cluster, weight }) => ({ name: cluster, weight })),
              },
            },
      ...(idleTimeout === undefined ? {} : { idleTimeout }),
      ...(maxDownstreamConnectionDuration === undefined ? {} : { maxDownstreamConnectionDuration }),
      ...(input.tunnel === undefined
        ? {}
        : {
            tunnelingConfig: { hostname: input.tunnel.target, usePost: input.tunnel.method === 'POST' },
          }),
      hashPolicy: input.hashBySource ? [{ policySpecifier: { case: 'sourceIp', value: {} } }] : [],
      accessLog: input.accessLog === undefined ? [] : [buildAccessLog(input.accessLog)],
    }),
  );
}

export const serverNameLookupName = 'envoy.filters.network.sni_dynamic_forward_proxy';

/** Looks up the server name that the client asks for, for the cluster behind the tcp_proxy filter. */
export function buildServerNameLookup(input: NonNullable<TcpFilterInput['serverNameLookup']>): Any {
  return pack(SniDynamicForwardProxySchema, {
    dnsCacheConfig: dnsCacheOf(input.hostname, input.family),
    portSpecifier: { case: 'portValue', value: input.port },
  });
}
