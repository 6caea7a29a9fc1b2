// The options of one side's HTTP/2, compiled from Envoy's Http2ProtocolOptions.
import type { Http2ProtocolOptions } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import {
  Http2ProtocolOptionsSchema,
  KeepaliveSettingsSchema,
} from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { ConfigError } from '../config-error.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import { windowSizeInitial, windowSizeMax } from './frames.ts';
import { tableBytesLimit } from './hpack-decoder.ts';

/** https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/core/v3/protocol.proto#config-core-v3-http2protocoloptions */
export interface Http2Options {
  /** Bytes of the dynamic table, for both directions. */
  readonly tableBytesMax: number;
  readonly concurrentStreamsMax: number;
  /** Bytes that a stream's sender may have under way. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Frames that may wait to be written; more close the connection. */
  readonly outboundFramesMax: number;
  /** As above, of PING, SETTINGS and RST_STREAM. */
  readonly outboundControlFramesMax: number;
  /** HEADERS, CONTINUATION and DATA frames in a row that hold nothing and end nothing. */
  readonly emptyInboundFramesMax: number;
  /** PRIORITY frames: this number for each stream so far, and one more. */
  readonly priorityFramesPerStreamMax: number;
  /** WINDOW_UPDATE frames: 5 + 2 * (streams + this number * DATA frames sent). */
  readonly windowUpdatesPerDataFrameMax: number;
  /** A message that is none resets its stream only, not the connection. */
  readonly streamErrorOnInvalidMessage: boolean;
  /** PING after this silence, and close if no answer comes in time; 0: never. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
}

const accepted = new Set([
  'hpack_table_size',
  'max_concurrent_streams',
  'initial_stream_window_size',
  'initial_connection_window_size',
  'max_outbound_frames',
  'max_outbound_control_frames',
  'max_consecutive_inbound_frames_with_empty_payload',
  'max_inbound_priority_frames_per_stream',
  'max_inbound_window_update_frames_per_data_frame_sent',
  'stream_error_on_invalid_http_messaging',
  'override_stream_error_on_invalid_http_message',
  // Without a route that matches CONNECT there is nothing to allow: CONNECT is answered 404.
  'allow_connect',
  'connection_keepalive',
]);

const keepaliveFields = new Set(['interval', 'timeout']);

/** Throws ConfigError. `field`: where the options stand. Defaults are those of Envoy 1.40. */
export function readHttp2Options(config: Http2ProtocolOptions | undefined, field: string): Http2Options {
  if (config !== undefined) refuseFields(Http2ProtocolOptionsSchema, config, field, accepted);
  const number = (
    name: string,
    value: number | undefined,
    fallback: number,
    least: number,
    most: number,
  ): number => {
    if (value === undefined) return fallback;
    if (value < least || value > most)
      throw new ConfigError(`${field}.${name}`, `${value} is not between ${least} and ${most}`);
    return value;
  };
  const keepalive = config?.connectionKeepalive;
  if (keepalive !== undefined) {
    // Jitter is not built: ours are without any. Nor is the PING before a request on a connection that was idle.
    refuseFields(KeepaliveSettingsSchema, keepalive, `${field}.connection_keepalive`, keepaliveFields);
    if (keepalive.timeout === undefined)
      throw new ConfigError(`${field}.connection_keepalive.timeout`, 'must be set');
  }
  return {
    tableBytesMax: number('hpack_table_size', config?.hpackTableSize, 4096, 0, tableBytesLimit),
    concurrentStreamsMax: number(
      'max_concurrent_streams',
      config?.maxConcurrentStreams,
      1024,
      1,
      windowSizeMax,
    ),
    streamWindowBytes: number(
      'initial_stream_window_size',
      config?.initialStreamWindowSize,
      16 * 1024 * 1024,
      windowSizeInitial,
      windowSizeMax,
    ),
    connectionWindowBytes: number(
      'initial_connection_window_size',
      config?.initialConnectionWindowSize,
      24 * 1024 * 1024,
      windowSizeInitial,
      windowSizeMax,
    ),
    outboundFramesMax: number('max_outbound_frames', config?.maxOutboundFrames, 10_000, 1, windowSizeMax),
    outboundControlFramesMax: number(
      'max_outbound_control_frames',
      config?.maxOutboundControlFrames,
      1000,
      1,
      windowSizeMax,
    ),
    emptyInboundFramesMax: config?.maxConsecutiveInboundFramesWithEmptyPayload ?? 1,
    priorityFramesPerStreamMax: config?.maxInboundPriorityFramesPerStream ?? 100,
    windowUpdatesPerDataFrameMax: number(
      'max_inbound_window_update_frames_per_data_frame_sent',
      config?.maxInboundWindowUpdateFramesPerDataFrameSent,
      10,
      1,
      windowSizeMax,
    ),
    streamErrorOnInvalidMessage:
      config?.overrideStreamErrorOnInvalidHttpMessage ?? config?.streamErrorOnInvalidHttpMessaging ?? false,
    keepaliveIntervalMs: durationMs(keepalive?.interval, 0),
    keepaliveTimeoutMs: durationMs(keepalive?.timeout, 0),
  };
}
