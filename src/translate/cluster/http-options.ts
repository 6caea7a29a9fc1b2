// How a cluster speaks HTTP to its upstream: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { UpstreamHttpProtocolOptionsSchema } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { HttpProtocolOptionsSchema } from '../../api/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { isHttp, isHttp2 } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { ConnectionPool } from '../destination-rule.ts';
import { keptCase } from '../kept-case.ts';
import { durationOf, durationOfMs, pack } from '../proto-values.ts';

type Options = Exclude<MessageInitShape<typeof HttpProtocolOptionsSchema>, Message>;
/** What the upstream's name in TLS is taken from, and whether it is checked. */
export type AutomaticNames = Exclude<MessageInitShape<typeof UpstreamHttpProtocolOptionsSchema>, Message>;

export interface HttpOptionsInput {
  readonly protocol: Protocol;
  readonly followsDownstream: boolean;
  readonly pool: ConnectionPool | undefined;
  /** What holds for HTTP/1.1 ports whose rule says nothing. Absent: inbound clusters take the protocol that they are given. */
  readonly upgradePolicy?: MeshConfig['h2UpgradePolicy'];
  readonly names?: AutomaticNames | undefined;
  /** Whether names of HTTP/1.1 headers are sent as they came. */
  readonly keepsCase: boolean;
}

const optionsName = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/**
 * The options of one cluster; empty where all are Envoy's defaults (HTTP/1.1). HTTP/2 is explicit by
 * the port's protocol or h2UpgradePolicy UPGRADE; the downstream's protocol is followed for sniffed ports and
 * useClientProtocol. Source: Istio `setUpstreamProtocol`, `applyConnectionPool`.
 */
export function httpProtocolOptions(input: HttpOptionsInput): { [name: string]: Any } {
  const { pool, names } = input;
  const follows = follow(input);
  const http2 = speaksHttp2(input);
  const common = commonOptions(pool);
  const isHttp1 = isHttp(input.protocol) || input.protocol === 'unsupported';
  const http1 = input.keepsCase && isHttp1 ? keptCase() : {};
  const isPlain = !follows && !http2 && Object.keys(http1).length === 0;
  if (isPlain && common === undefined && names === undefined) return {};
  return wrap({
    ...(common === undefined ? {} : { commonHttpProtocolOptions: common }),
    ...(names === undefined ? {} : { upstreamHttpProtocolOptions: names }),
    upstreamProtocolOptions: follows
      ? {
          case: 'useDownstreamProtocolConfig',
          value: { httpProtocolOptions: http1, http2ProtocolOptions: {} },
        }
      : {
          case: 'explicitHttpConfig',
          value: {
            protocolConfig: http2
              ? { case: 'http2ProtocolOptions', value: http2Options(pool) }
              : { case: 'httpProtocolOptions', value: http1 },
          },
        },
  });
}

/**
 * Whether HTTP/2 is spoken whatever the downstream speaks: then ALPN offers it. A sniffed port keeps following the
 * downstream, whatever the upgrade policy says. Source: Istio `shouldH2Upgrade`.
 */
export function speaksHttp2(input: HttpOptionsInput): boolean {
  if (follow(input)) return false;
  if (isHttp2(input.protocol)) return true;
  if (input.upgradePolicy === undefined) return false;
  const written = input.pool?.http?.h2UpgradePolicy ?? 'DEFAULT';
  if (written !== 'DEFAULT') return written === 'UPGRADE';
  return input.upgradePolicy === 'UPGRADE' && isHttp(input.protocol);
}

/** Of the passthrough clusters: the downstream's protocol, idle connections closed after five minutes. */
export function passthroughProtocolOptions(
  keepsCase: boolean,
  names?: AutomaticNames,
): { [name: string]: Any } {
  return wrap({
    commonHttpProtocolOptions: { idleTimeout: durationOfMs(300_000) },
    ...(names === undefined ? {} : { upstreamHttpProtocolOptions: names }),
    upstreamProtocolOptions: {
      case: 'useDownstreamProtocolConfig',
      value: { httpProtocolOptions: keepsCase ? keptCase() : {}, http2ProtocolOptions: {} },
    },
  });
}

function follow(input: HttpOptionsInput): boolean {
  return input.pool?.http?.useClientProtocol === true || input.followsDownstream;
}

function wrap(options: Options): { [name: string]: Any } {
  return { [optionsName]: pack(HttpProtocolOptionsSchema, options) };
}

function http2Options(pool: ConnectionPool | undefined) {
  const streams = pool?.http?.maxConcurrentStreams ?? 0;
  const keepAlive = pool?.http?.http2KeepAlive;
  const interval = durationOf(keepAlive?.interval);
  const timeout = durationOf(keepAlive?.timeout);
  return {
    ...(streams > 0 ? { maxConcurrentStreams: streams } : {}),
    ...(keepAlive === undefined
      ? {}
      : {
          connectionKeepalive: {
            ...(interval === undefined ? {} : { interval }),
            ...(timeout === undefined ? {} : { timeout }),
          },
        }),
  };
}

/** The HTTP idle timeout counts before the TCP one. */
function commonOptions(pool: ConnectionPool | undefined): Options['commonHttpProtocolOptions'] {
  const idleTimeout = durationOf(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = durationOf(pool?.tcp?.maxConnectionDuration);
  const maxRequests = pool?.http?.maxRequestsPerConnection ?? 0;
  const streams = pool?.http?.maxConcurrentStreams ?? 0;
  const says =
    idleTimeout !== undefined ||
    maxConnectionDuration !== undefined ||
    maxRequests > 0 ||
    streams > 0 ||
    pool?.http?.http2KeepAlive !== undefined;
  if (!says) return undefined;
  return {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    ...(maxConnectionDuration === undefined ? {} : { maxConnectionDuration }),
    ...(maxRequests > 0 ? { maxRequestsPerConnection: maxRequests } : {}),
  };
}
