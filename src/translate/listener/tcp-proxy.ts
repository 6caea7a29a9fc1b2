// The tcp_proxy filter: bytes to one cluster, or each connection to one of several.
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '../../api/any.ts';
import { TcpProxySchema } from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { durationOf } from '../proto-values.ts';
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
      hashPolicy: input.hashBySource ? [{ policySpecifier: { case: 'sourceIp', value: {} } }] : [],
      accessLog: input.accessLog === undefined ? [] : [buildAccessLog(input.accessLog)],
    }),
  );
}
