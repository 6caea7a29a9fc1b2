// The timeouts of one forwarded request: from its route, its headers, and gRPC (inventory D6.08).
import type { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import type { ForwardAction } from './compiled.ts';

export interface RequestTimeouts {
  /** For the whole response, all attempts together; 0 = none. */
  readonly timeoutMs: number;
  /** For each attempt; 0 = none. */
  readonly tryTimeoutMs: number;
}

const H = nameIds;

/** Reads and removes the timeout headers, which only internal requests still have at this point. */
export function requestTimeouts(action: ForwardAction, headers: HeaderBlock, grpc: boolean): RequestTimeouts {
  let { timeoutMs } = action;
  let tryTimeoutMs = action.retry?.perTryTimeoutMs ?? 0;
  if (grpc && action.grpcTimeoutMaxMs !== undefined) {
    const wanted = parseGrpcTimeout(headers.known(H['grpc-timeout']));
    const max = action.grpcTimeoutMaxMs;
    timeoutMs = max !== 0 && (wanted === 0 || wanted > max) ? max : wanted;
  }
  const header = wholeNumber(headers, H['x-envoy-upstream-rq-timeout-ms']);
  if (header !== undefined) timeoutMs = header;
  const tryHeader = wholeNumber(headers, H['x-envoy-upstream-rq-per-try-timeout-ms']);
  if (tryHeader !== undefined) tryTimeoutMs = tryHeader;
  // As long as the whole or longer: the whole counts.
  if (timeoutMs > 0 && tryTimeoutMs >= timeoutMs) tryTimeoutMs = 0;
  const expectedMs = tryTimeoutMs > 0 ? tryTimeoutMs : timeoutMs;
  // A gRPC server is to know what is waited for.
  if (grpc && action.grpcTimeoutMaxMs !== undefined && expectedMs > 0)
    headers.setKnown(H['grpc-timeout'], grpcTimeout(expectedMs));
  return { timeoutMs, tryTimeoutMs };
}

function wholeNumber(headers: HeaderBlock, id: number): number | undefined {
  const text = headers.known(id);
  if (text === undefined) return undefined;
  headers.removeKnown(id);
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

const grpcUnitsMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000001,
};

/** A value of grpc-timeout: eight digits at most, in the finest unit that they can hold; not finer than a millisecond. */
export function grpcTimeout(ms: number): string {
  const whole = Math.round(ms);
  return whole < 1e8 ? `${whole}m` : `${Math.min(99_999_999, Math.floor(whole / 1000))}S`;
}

/** 0 for none or a malformed one (https://github.com/grpc/grpc/blob/v1.66.0/doc/PROTOCOL-HTTP2.md). */
function parseGrpcTimeout(text: string | undefined): number {
  const match = text === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? 0 : Math.ceil(Number(match[1]) * grpcUnitsMs[match[2]!]!);
}
