// How a cluster speaks HTTP to its upstream: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { HttpProtocolOptionsSchema } from '../../api/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { isHttp2 } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { ConnectionPool } from '../destination-rule.ts';
import { durationOf, durationOfMs, pack } from '../proto-values.ts';

type Options = MessageInitShape<typeof HttpProtocolOptionsSchema>;

export interface HttpOptionsInput {
  readonly protocol: Protocol;
  readonly followsDownstream: boolean;
  readonly pool: ConnectionPool | undefined;
  /** Inbound clusters take the protocol that they are given. */
  readonly mayUpgrade: boolean;
}

const optionsName = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/**
 * The options of one cluster; empty where all are Envoy's defaults (HTTP/1.1). HTTP/2 is explicit by
 * the port's protocol or h2UpgradePolicy UPGRADE; the downstream's protocol is followed for sniffed ports and
 * useClientProtocol. Source: Istio `setUpstreamProtocol`, `applyConnectionPool`.
 */
export function httpProtocolOptions(input: HttpOptionsInput): { [name: string]: Any } {
  const http = input.pool?.http;
  const follows = http?.useClientProtocol === true || input.followsDownstream;
  const upgraded =
    input.mayUpgrade && http?.useClientProtocol !== true && http?.h2UpgradePolicy === 'UPGRADE';
  // A sniffed port keeps following the downstream, whatever the upgrade policy says.
  const speaksHttp2 = !follows && (isHttp2(input.protocol) || upgraded);
  const common = commonOptions(input.pool);
  if (!follows && !speaksHttp2 && common === undefined) return {};
  const streams = http?.maxConcurrentStreams ?? 0;
  return wrap({
    ...(common === undefined ? {} : { commonHttpProtocolOptions: common }),
    upstreamProtocolOptions: follows
      ? {
          case: 'useDownstreamProtocolConfig',
          value: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
        }
      : {
          case: 'explicitHttpConfig',
          value: {
            protocolConfig: speaksHttp2
              ? {
                  case: 'http2ProtocolOptions',
                  value: streams > 0 ? { maxConcurrentStreams: streams } : {},
                }
              : { case: 'httpProtocolOptions', value: {} },
          },
        },
  });
}

/** Of the passthrough clusters: the downstream's protocol, idle connections closed after five minutes. */
export function passthroughProtocolOptions(): { [name: string]: Any } {
  return wrap({
    commonHttpProtocolOptions: { idleTimeout: durationOfMs(300_000) },
    upstreamProtocolOptions: {
      case: 'useDownstreamProtocolConfig',
      value: { httpProtocolOptions: {}, http2ProtocolOptions: {} },
    },
  });
}

function wrap(options: Options): { [name: string]: Any } {
  return { [optionsName]: pack(HttpProtocolOptionsSchema, options) };
}

/** The HTTP idle timeout counts before the TCP one. */
function commonOptions(pool: ConnectionPool | undefined): Options['commonHttpProtocolOptions'] {
  const idleTimeout = durationOf(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = durationOf(pool?.tcp?.maxConnectionDuration);
  const maxRequests = pool?.http?.maxRequestsPerConnection ?? 0;
  const streams = pool?.http?.maxConcurrentStreams ?? 0;
  if (idleTimeout === undefined && maxConnectionDuration === undefined && maxRequests <= 0 && streams <= 0)
    return undefined;
  return {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    ...(maxConnectionDuration === undefined ? {} : { maxConnectionDuration }),
    ...(maxRequests > 0 ? { maxRequestsPerConnection: maxRequests } : {}),
  };
}
