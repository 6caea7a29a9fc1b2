// Command operators (`%DOWNSTREAM_REMOTE_ADDRESS%`) in header values, compiled once.
import { ConfigError } from '../config-error.ts';
import type { MessageHeaders, StreamInfo } from '../stream-info.ts';
import { responseFlagsText } from '../stream-info.ts';

/** Makes the value for one request. */
export type ValueFormat = (info: StreamInfo) => string;

type Operator = (info: StreamInfo) => string | undefined;

const plainOperators: Readonly<Record<string, Operator>> = {
  PROTOCOL: (info) => info.protocol,
  RESPONSE_CODE: (info) => String(info.responseCode),
  RESPONSE_CODE_DETAILS: (info) => info.responseCodeDetails,
  RESPONSE_FLAGS: (info) => responseFlagsText(info.responseFlags),
  ROUTE_NAME: (info) => info.routeName,
  VIRTUAL_CLUSTER_NAME: () => undefined,
  UPSTREAM_CLUSTER: (info) => info.upstreamCluster,
  UPSTREAM_CLUSTER_RAW: (info) => info.upstreamCluster,
  UPSTREAM_HOST: (info) => info.upstreamHost?.text,
  UPSTREAM_REMOTE_ADDRESS: (info) => info.upstreamHost?.text,
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (info) => info.upstreamHost?.address,
  UPSTREAM_LOCAL_ADDRESS: (info) => info.upstreamLocalAddress?.text,
  DOWNSTREAM_REMOTE_ADDRESS: (info) => info.downstreamRemoteAddress?.text,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (info) => info.downstreamRemoteAddress?.address,
  DOWNSTREAM_REMOTE_PORT: (info) => portText(info.downstreamRemoteAddress?.port),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: (info) => info.downstreamDirectRemoteAddress?.text,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: (info) => info.downstreamDirectRemoteAddress?.address,
  DOWNSTREAM_LOCAL_ADDRESS: (info) => info.downstreamLocalAddress?.text,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (info) => info.downstreamLocalAddress?.address,
  DOWNSTREAM_LOCAL_PORT: (info) => portText(info.downstreamLocalAddress?.port),
  REQUESTED_SERVER_NAME: (info) => info.requestedServerName,
  CONNECTION_ID: (info) => String(info.connectionId),
  START_TIME: (info) => new Date(info.startTimeMs).toISOString(),
};

/** Throws ConfigError for an operator that is not known. `%%` is a percent sign. */
export function compileFormat(text: string, field: string): ValueFormat | string {
  if (!text.includes('%')) return text;
  const parts: (string | Operator)[] = [];
  let at = 0;
  while (at < text.length) {
    const percent = text.indexOf('%', at);
    if (percent < 0) {
      parts.push(text.slice(at));
      break;
    }
    if (percent > at) parts.push(text.slice(at, percent));
    if (text[percent + 1] === '%') {
      parts.push('%');
      at = percent + 2;
      continue;
    }
    const match = /^%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%/.exec(text.slice(percent));
    if (match === null)
      throw new ConfigError(
        field,
        `${JSON.stringify(text)}: a % must start an operator; write %% for a percent sign`,
      );
    parts.push(operatorOf(match[1]!, match[2], match[3], field));
    at = percent + match[0].length;
  }
  if (parts.every((part) => typeof part === 'string')) return parts.join('');
  return (info) => {
    let out = '';
    // Nothing for what is unknown, where an access log would have `-` (observed on Envoy 1.40).
    for (const part of parts) out += typeof part === 'string' ? part : (part(info) ?? '');
    return out;
  };
}

function operatorOf(
  name: string,
  argument: string | undefined,
  length: string | undefined,
  field: string,
): Operator {
  const lengthMax = length === undefined ? undefined : Number(length);
  const operator =
    headerOperator(name, argument) ?? (argument === undefined ? plainOperators[name] : undefined);
  if (operator === undefined) {
    throw new ConfigError(
      field,
      `%${name}% is not a known operator here (known: REQ(name), RESP(name), ${Object.keys(plainOperators).join(', ')})`,
    );
  }
  return lengthMax === undefined ? operator : (info) => operator(info)?.slice(0, lengthMax);
}

function headerOperator(name: string, argument: string | undefined): Operator | undefined {
  if (argument === undefined || (name !== 'REQ' && name !== 'RESP')) return undefined;
  const [first = '', alternative] = argument.toLowerCase().split('?');
  const read = (headers: MessageHeaders | undefined): string | undefined =>
    headers?.first(first) ?? (alternative === undefined ? undefined : headers?.first(alternative));
  if (name === 'RESP') return (info) => read(info.responseHeaders);
  const pseudo = (info: StreamInfo, key: string): string | undefined => {
    switch (key) {
      case ':path':
        return info.path;
      case ':method':
        return info.method;
      case ':authority':
      case 'host':
        return info.authority;
      default:
        return info.requestHeaders?.first(key);
    }
  };
  return (info) => pseudo(info, first) ?? (alternative === undefined ? undefined : pseudo(info, alternative));
}

function portText(port: number | undefined): string | undefined {
  return port === undefined ? undefined : String(port);
}
