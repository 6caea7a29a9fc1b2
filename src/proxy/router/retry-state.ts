// Whether and when a request is tried again (inventory D6.07).
import type { HeaderBlock } from '../http/header-block.ts';
import { nameIds } from '../http/names.ts';
import type { MatchInput } from '../matchers/input.ts';
import type { RetryLimit } from '../upstream/circuit-breakers.ts';
import type { ResetReason } from '../upstream/upstream-request.ts';
import type { RetrySettings } from './compiled.ts';
import { parseRetryOn, retryBits } from './retry-conditions.ts';

/**
 * no: this result is not retried. limit-exceeded: it would be, but all retries are used (URX). overflow: the
 * circuit breaker does not let it (UO).
 */
export type RetryVerdict = 'no' | 'retry' | 'limit-exceeded' | 'overflow';

const H = nameIds;

const grpcConditions: Readonly<Record<string, number>> = {
  '1': retryBits.cancelled,
  '4': retryBits['deadline-exceeded'],
  '8': retryBits['resource-exhausted'],
  '13': retryBits.internal,
  '14': retryBits.unavailable,
};

/** Of one request; reused. */
export class RetryState {
  enabled = false;
  #settings: RetrySettings | undefined;
  #conditions = 0;
  #left = 0;
  #statusCodes: readonly number[] = [];
  #limit: RetryLimit | undefined;
  #holdsLimit = false;
  #backOffMs = 0;
  #random: () => number = () => 0;

  /** Reads and removes the x-envoy-retry headers, which only internal requests still have at this point. */
  start(
    settings: RetrySettings | undefined,
    request: MatchInput & { readonly headers: HeaderBlock },
    retries: RetryLimit,
    random: () => number,
  ): void {
    this.enabled = false;
    this.#settings = settings;
    const { headers } = request;
    const retryOn = take(headers, H['x-envoy-retry-on']);
    const retryGrpcOn = take(headers, H['x-envoy-retry-grpc-on']);
    const retriesMax = take(headers, H['x-envoy-max-retries']);
    const codes = take(headers, H['x-envoy-retriable-status-codes']);
    take(headers, H['x-envoy-retriable-header-names']);
    if (settings === undefined && retryOn === undefined && retryGrpcOn === undefined) return;
    let conditions = settings?.conditions ?? 0;
    if (retryOn !== undefined) conditions |= parseRetryOn(retryOn);
    if (retryGrpcOn !== undefined) conditions |= parseRetryOn(retryGrpcOn);
    const wanted = settings?.retriableRequestHeaders ?? [];
    if (conditions === 0 || (wanted.length > 0 && !wanted.some((test) => test(request)))) return;
    this.#conditions = conditions;
    this.#left = settings?.retriesMax ?? 1;
    if (retriesMax !== undefined && /^\d{1,4}$/.test(retriesMax)) this.#left = Number(retriesMax);
    this.#statusCodes = settings?.retriableStatusCodes ?? [];
    if (codes !== undefined) this.#statusCodes = [...this.#statusCodes, ...codes.split(',').map(Number)];
    this.#limit = retries;
    this.#backOffMs = settings?.backOffBaseMs ?? 25;
    this.#random = random;
    this.enabled = true;
  }

  /** The request cannot be repeated: its body was not kept. */
  giveUp(): void {
    this.enabled = false;
    this.#releaseLimit();
  }

  /** The request is over. */
  end(): void {
    this.enabled = false;
    this.#releaseLimit();
  }

  onResponse(status: number, headers: HeaderBlock, request: MatchInput): RetryVerdict {
    return this.#decide(this.#wantsResponse(status, headers, request));
  }

  /** `unsent`: nothing of the request has reached the upstream. */
  onReset(reason: ResetReason, unsent: boolean): RetryVerdict {
    return this.#decide(this.#wantsReset(reason, unsent));
  }

  /** Full jitter under an exponential ceiling: up to 25 ms, 50 ms, 100 ms ... by default. */
  nextBackOffMs(): number {
    const ceilingMs = this.#backOffMs;
    this.#backOffMs = Math.min(ceilingMs * 2, this.#settings?.backOffMaxMs ?? 250);
    return Math.floor(this.#random() * ceilingMs);
  }

  #decide(wanted: boolean): RetryVerdict {
    // The attempt before was a retry, and is over.
    this.#releaseLimit();
    if (!wanted) return 'no';
    if (this.#left === 0) return 'limit-exceeded';
    this.#left--;
    const limit = this.#limit!;
    if (!limit.available) return 'overflow';
    limit.acquire();
    this.#holdsLimit = true;
    return 'retry';
  }

  #wantsResponse(status: number, headers: HeaderBlock, request: MatchInput): boolean {
    const conditions = this.#conditions;
    if (headers.has(H['x-envoy-ratelimited'])) return (conditions & retryBits['envoy-ratelimited']) !== 0;
    if ((conditions & retryBits['5xx']) !== 0 && status >= 500 && status < 600) return true;
    if ((conditions & retryBits['gateway-error']) !== 0 && status >= 502 && status < 505) return true;
    if ((conditions & retryBits['retriable-4xx']) !== 0 && status === 409) return true;
    if ((conditions & retryBits['retriable-status-codes']) !== 0 && this.#statusCodes.includes(status))
      return true;
    if ((conditions & retryBits['retriable-headers']) !== 0) {
      const view: MatchInput = {
        method: request.method,
        authority: request.authority,
        path: request.path,
        pathOnly: request.pathOnly,
        scheme: request.scheme,
        headers,
        tls: request.tls,
        random: () => this.#random(),
      };
      if ((this.#settings?.retriableHeaders ?? []).some((test) => test(view))) return true;
    }
    const grpcStatus = headers.known(H['grpc-status']);
    return grpcStatus !== undefined && (conditions & (grpcConditions[grpcStatus] ?? 0)) !== 0;
  }

  #wantsReset(reason: ResetReason, unsent: boolean): boolean {
    if (reason === 'overflow') return false;
    const conditions = this.#conditions;
    // A reset ends as a 503, so those who want 5xx want it, too.
    if ((conditions & (retryBits.reset | retryBits['5xx'] | retryBits['gateway-error'])) !== 0) return true;
    if (reason === 'remote refused stream reset' && (conditions & retryBits['refused-stream']) !== 0)
      return true;
    if (unsent && (conditions & retryBits['reset-before-request']) !== 0) return true;
    return (
      (conditions & retryBits['connect-failure']) !== 0 &&
      (reason === 'remote connection failure' || reason === 'connection timeout')
    );
  }

  #releaseLimit(): void {
    if (!this.#holdsLimit) return;
    this.#holdsLimit = false;
    this.#limit!.release();
  }
}

function take(headers: HeaderBlock, id: number): string | undefined {
  const value = headers.known(id);
  if (value !== undefined) headers.removeKnown(id);
  return value;
}
