// The command operators of access logs (`%RESPONSE_CODE%`), each a closure over the stream's record. See
// https://www.envoyproxy.io/docs/envoy/v1.33.0/configuration/observability/access_log/usage#command-operators
import { ConfigError } from '../config-error.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { MessageHeaders, StreamInfo } from '../stream-info.ts';
import { responseFlagsText } from '../stream-info.ts';
import { compileTimeFormat } from './start-time.ts';

/** The value of one operator; undefined prints as `-`. Text has one character for each byte. */
export type Operator = (info: StreamInfo) => string | number | undefined;

export interface OperatorContext {
  readonly hostname: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** `argument` is what stands in parentheses. Throws ConfigError naming `field` for what is not known. */
export function compileOperator(
  name: string,
  argument: string | undefined,
  context: OperatorContext,
  field: string,
): Operator {
  const simple = simpleOperators[name];
  if (simple !== undefined) return simple;
  switch (name) {
    case 'START_TIME': {
      const format = compileTimeFormat(argument, field);
      return (info) => format(info.startTimeMs);
    }
    case 'REQ':
      return headerOperator(argument, name, field, requestHeader);
    case 'REQ_WITHOUT_QUERY': {
      const header = headerOperator(argument, name, field, requestHeader);
      return (info) => {
        const value = header(info);
        return typeof value === 'string' && value.includes('?') ? value.slice(0, value.indexOf('?')) : value;
      };
    }
    case 'RESP':
      return headerOperator(argument, name, field, (info, header) =>
        header === ':status' ? String(info.responseCode) : get(info.responseHeaders, header),
      );
    case 'TRAILER':
      return headerOperator(argument, name, field, (info, header) => get(info.responseTrailers, header));
    case 'HOSTNAME':
      return () => context.hostname;
    case 'ENVIRONMENT': {
      const value = context.environment[argument ?? ''];
      return () => value;
    }
    // Nothing in this proxy makes dynamic metadata or filter state, so they are always empty.
    case 'DYNAMIC_METADATA':
    case 'FILTER_STATE':
      if (argument === undefined) throw new ConfigError(field, `%${name}% needs an argument in parentheses`);
      return () => undefined;
    default:
      throw new ConfigError(
        field,
        `%${name}% is not supported; supported are ${[...Object.keys(simpleOperators), ...operatorsWithArgument].join(', ')}`,
      );
  }
}

const operatorsWithArgument = [
  'START_TIME',
  'REQ',
  'REQ_WITHOUT_QUERY',
  'RESP',
  'TRAILER',
  'HOSTNAME',
  'ENVIRONMENT',
  'DYNAMIC_METADATA',
  'FILTER_STATE',
];

/** Whole milliseconds from the start to `atMs`; undefined if that did not happen. */
function sinceStart(info: StreamInfo, atMs: number): number | undefined {
  return atMs < 0 ? undefined : Math.max(0, Math.floor(atMs - info.startMonotonicMs));
}

const simpleOperators: Readonly<Record<string, Operator>> = {
  PROTOCOL: (info) => info.protocol,
  RESPONSE_CODE: (info) => info.responseCode,
  RESPONSE_CODE_DETAILS: (info) => info.responseCodeDetails,
  RESPONSE_FLAGS: (info) => (info.responseFlags === 0 ? undefined : responseFlagsText(info.responseFlags)),
  CONNECTION_TERMINATION_DETAILS: (info) => info.connectionTerminationDetails,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (info) => info.upstreamTransportFailureReason,
  BYTES_RECEIVED: (info) => info.bytesReceived,
  BYTES_SENT: (info) => info.bytesSent,
  DURATION: (info) => sinceStart(info, info.endMonotonicMs),
  REQUEST_DURATION: (info) => sinceStart(info, info.requestReceivedMs),
  REQUEST_TX_DURATION: (info) => sinceStart(info, info.upstreamRequestSentMs),
  RESPONSE_DURATION: (info) => sinceStart(info, info.upstreamResponseHeadersMs),
  RESPONSE_TX_DURATION: (info) =>
    info.upstreamResponseHeadersMs < 0 || info.endMonotonicMs < 0
      ? undefined
      : Math.max(0, Math.floor(info.endMonotonicMs - info.upstreamResponseHeadersMs)),
  REQUEST_HEADERS_BYTES: (info) => info.requestHeaderBytes,
  RESPONSE_HEADERS_BYTES: (info) => info.responseHeaderBytes,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (info) => info.attemptCount,
  UPSTREAM_CLUSTER: (info) => info.upstreamCluster,
  UPSTREAM_CLUSTER_RAW: (info) => info.upstreamCluster,
  ROUTE_NAME: (info) => info.routeName,
  VIRTUAL_CLUSTER_NAME: () => undefined,
  REQUESTED_SERVER_NAME: (info) => info.requestedServerName,
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: (info) => info.downstreamTransportFailureReason,
  DOWNSTREAM_TLS_VERSION: (info) => info.downstreamTls?.facts.version,
  DOWNSTREAM_TLS_CIPHER: (info) => info.downstreamTls?.facts.cipher,
  DOWNSTREAM_PEER_SUBJECT: (info) => presence(info.downstreamTls?.peer?.subject),
  DOWNSTREAM_PEER_ISSUER: (info) => presence(info.downstreamTls?.peer?.issuer),
  DOWNSTREAM_PEER_URI_SAN: (info) => presence(info.downstreamTls?.peer?.names('URI').join()),
  DOWNSTREAM_PEER_DNS_SAN: (info) => presence(info.downstreamTls?.peer?.names('DNS').join()),
  DOWNSTREAM_PEER_SERIAL: (info) => info.downstreamTls?.peer?.serialNumber,
  DOWNSTREAM_PEER_FINGERPRINT_256: (info) => info.downstreamTls?.peer?.fingerprint256,
  DOWNSTREAM_LOCAL_SUBJECT: (info) => presence(info.downstreamTls?.local?.subject),
  DOWNSTREAM_LOCAL_URI_SAN: (info) => presence(info.downstreamTls?.local?.names('URI').join()),
  DOWNSTREAM_LOCAL_DNS_SAN: (info) => presence(info.downstreamTls?.local?.names('DNS').join()),
  CONNECTION_ID: (info) => info.connectionId,
  TRACE_ID: () => undefined,
  STREAM_ID: (info) => info.requestId,
  GRPC_STATUS: grpcStatus,
  UPSTREAM_HOST: (info) => info.upstreamHost?.text,
  ...addressOperators('UPSTREAM_REMOTE', (info) => info.upstreamHost),
  ...addressOperators('UPSTREAM_LOCAL', (info) => info.upstreamLocalAddress),
  ...addressOperators('DOWNSTREAM_REMOTE', (info) => info.downstreamRemoteAddress),
  ...addressOperators('DOWNSTREAM_DIRECT_REMOTE', (info) => info.downstreamDirectRemoteAddress),
  ...addressOperators('DOWNSTREAM_LOCAL', (info) => info.downstreamLocalAddress),
  ...addressOperators('DOWNSTREAM_DIRECT_LOCAL', (info) => info.downstreamDirectLocalAddress),
};

/** The access log prints `-` for what is not there. */
function presence(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function addressOperators(
  end: string,
  addressOf: (info: StreamInfo) => SocketAddress | undefined,
): Record<string, Operator> {
  return {
    [`${end}_ADDRESS`]: (info) => addressOf(info)?.text,
    [`${end}_ADDRESS_WITHOUT_PORT`]: (info) => addressOf(info)?.address,
    [`${end}_PORT`]: (info) => addressOf(info)?.port,
  };
}

const grpcStatusNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

function grpcStatus(info: StreamInfo): string | undefined {
  const status = get(info.responseTrailers, 'grpc-status') ?? get(info.responseHeaders, 'grpc-status');
  return status === undefined ? undefined : (grpcStatusNames[Number(status)] ?? status);
}

/** `X?Y`: the header X, or Y where X is absent or empty. */
function headerOperator(
  argument: string | undefined,
  operator: string,
  field: string,
  read: (info: StreamInfo, header: string) => string | undefined,
): Operator {
  const names = (argument ?? '').split('?').map((name) => name.trim().toLowerCase());
  const [first = '', second] = names;
  if (first === '' || names.length > 2) {
    throw new ConfigError(
      field,
      `%${operator}(${argument ?? ''})% needs the form ${operator}(NAME) or ${operator}(NAME?OTHER)`,
    );
  }
  if (second === undefined) return (info) => read(info, first);
  return (info) => {
    const value = read(info, first);
    return value === undefined || value === '' ? read(info, second) : value;
  };
}

function requestHeader(info: StreamInfo, header: string): string | undefined {
  switch (header) {
    case ':method':
      return info.method;
    case ':path':
      return info.path ?? info.originalPath;
    case ':authority':
    case 'host':
      return info.authority;
    case 'x-envoy-original-path':
      // After a rewrite; the header itself only goes upstream.
      return (
        get(info.requestHeaders, header) ?? (info.path === info.originalPath ? undefined : info.originalPath)
      );
    case 'x-request-id':
      return get(info.requestHeaders, header) ?? info.requestId;
    default:
      return get(info.requestHeaders, header);
  }
}

function get(headers: MessageHeaders | undefined, name: string): string | undefined {
  return headers?.first(name);
}
