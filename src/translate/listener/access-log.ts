// The access log of MeshConfig (accessLogFile, accessLogEncoding, accessLogFormat).
import type { JsonObject } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { AccessLog } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { AccessLogSchema } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { FileAccessLogSchema } from '../../api/gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { pack } from '../proto-values.ts';
import type { AccessLogInput } from './listener-input.ts';

/** Operator of each part of the default text format (C13.01) and its key in the JSON form (C13.02). */
const operators = {
  start_time: '%START_TIME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  route_name: '%ROUTE_NAME%',
} as const;

/** Istio's default line, which people have parsers for. */
export const defaultTextFormat = defaultLine();

/** Undefined where the mesh has no access log. */
export function accessLogInput(mesh: MeshConfig): AccessLogInput | undefined {
  if (mesh.accessLogFile === '') return undefined;
  return { path: mesh.accessLogFile, encoding: mesh.accessLogEncoding, format: mesh.accessLogFormat };
}

/** `flags`: only connections and requests with one of these response flags. */
export function buildAccessLog(input: AccessLogInput, flags?: readonly string[]): AccessLog {
  const format =
    input.encoding === 'JSON'
      ? {
          format: { case: 'jsonFormat' as const, value: jsonFormat(input.format) },
          jsonFormatOptions: { sortProperties: false },
        }
      : {
          format: {
            case: 'textFormatSource' as const,
            value: { specifier: { case: 'inlineString' as const, value: textFormat(input.format) } },
          },
        };
  return create(AccessLogSchema, {
    name: 'envoy.access_loggers.file',
    configType: {
      case: 'typedConfig',
      value: pack(FileAccessLogSchema, {
        path: input.path,
        accessLogFormat: { case: 'logFormat', value: format },
      }),
    },
    ...(flags === undefined
      ? {}
      : { filter: { filterSpecifier: { case: 'responseFlagFilter', value: { flags: [...flags] } } } }),
  });
}

/** Each record is a line. */
function textFormat(format: string): string {
  if (format === '') return defaultTextFormat;
  return format.endsWith('\n') ? format : `${format}\n`;
}

/** A format that is no JSON object is as good as none: validation has said so. */
function jsonFormat(format: string): JsonObject {
  if (format === '') return { ...operators };
  try {
    const parsed: unknown = JSON.parse(format);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as JsonObject;
  } catch {
    // Falls through to the default.
  }
  return { ...operators };
}

function defaultLine(): string {
  const o = operators;
  const request = `"${o.method} ${o.path} ${o.protocol}"`;
  const parts = [
    `[${o.start_time}]`,
    request,
    o.response_code,
    o.response_flags,
    o.response_code_details,
    o.connection_termination_details,
    `"${o.upstream_transport_failure_reason}"`,
    o.bytes_received,
    o.bytes_sent,
    o.duration,
    o.upstream_service_time,
    `"${o.x_forwarded_for}"`,
    `"${o.user_agent}"`,
    `"${o.request_id}"`,
    `"${o.authority}"`,
    `"${o.upstream_host}"`,
    o.upstream_cluster,
    o.upstream_local_address,
    o.downstream_local_address,
    o.downstream_remote_address,
    o.requested_server_name,
    o.route_name,
  ];
  return `${parts.join(' ')}\n`;
}
