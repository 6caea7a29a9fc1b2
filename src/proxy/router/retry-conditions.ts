// The words of `retry_on` and `x-envoy-retry-on` as bits.

/** https://www.envoyproxy.io/docs/envoy/v1.33.0/configuration/http/http_filters/router_filter#x-envoy-retry-on */
export const retryBits = {
  '5xx': 1 << 0,
  'gateway-error': 1 << 1,
  reset: 1 << 2,
  'connect-failure': 1 << 3,
  'retriable-4xx': 1 << 4,
  'refused-stream': 1 << 5,
  'retriable-status-codes': 1 << 6,
  'retriable-headers': 1 << 7,
  'envoy-ratelimited': 1 << 8,
  'reset-before-request': 1 << 9,
  'http3-post-connect-failure': 1 << 10,
  cancelled: 1 << 11,
  'deadline-exceeded': 1 << 12,
  'resource-exhausted': 1 << 13,
  unavailable: 1 << 14,
  internal: 1 << 15,
} as const;

/** Bits of the comma-separated words; unknown ones are left out, as Envoy does. */
export function parseRetryOn(words: string): number {
  let bits = 0;
  for (const word of words.split(',')) bits |= retryBits[word.trim() as keyof typeof retryBits] ?? 0;
  return bits;
}
