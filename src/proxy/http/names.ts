// Header names that the data path asks for, interned to small numbers while a head is parsed.

const knownNames = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'expect',
  'date',
  'server',
  'via',
  'user-agent',
  'accept',
  'accept-encoding',
  'content-type',
  'cookie',
  'set-cookie',
  'authorization',
  'location',
  'origin',
  'referer',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-client-cert',
  'x-request-id',
  'x-client-trace-id',
  'x-envoy-internal',
  'x-envoy-external-address',
  'x-envoy-original-path',
  'x-envoy-original-host',
  'x-envoy-upstream-service-time',
  'x-envoy-upstream-stream-duration-ms',
  'x-envoy-attempt-count',
  'x-envoy-decorator-operation',
  'x-envoy-overloaded',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-max-retries',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-force-trace',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-ip-tags',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-url',
  'x-envoy-original-method',
  'x-envoy-upstream-healthchecked-cluster',
  'x-envoy-immediate-health-check-fail',
  'x-envoy-degraded',
  'x-envoy-ratelimited',
  'grpc-status',
  'grpc-message',
  'grpc-timeout',
  'access-control-request-method',
  'access-control-request-headers',
  'http2-settings',
] as const;

export type KnownName = (typeof knownNames)[number];

/** Number of a known name; 0 stands for every other name. */
export const nameIds: Readonly<Record<KnownName, number>> = Object.fromEntries(
  knownNames.map((name, index) => [name, index + 1]),
) as Record<KnownName, number>;

/** One more than the largest id. */
export const nameIdEnd = knownNames.length + 1;

/** Id -> name; empty text for 0. */
export const namesById: readonly string[] = ['', ...knownNames];

const idByName: ReadonlyMap<string, number> = new Map(
  knownNames.map((name, index) => [name as string, index + 1]),
);

/** The id of `name` (lower case); 0 if it is not one of the known. */
export function nameIdOf(name: string): number {
  return idByName.get(name) ?? 0;
}

// Open addressing over a hash that the parser computes while it lower-cases the name.
const tableSize = 512;
const table = new Uint8Array(tableSize);
const nameBytes: readonly Uint8Array[] = namesById.map((name) => Buffer.from(name, 'latin1'));

/** One step of the hash of a name: the parser applies it to each lower-cased byte, starting from 0. */
export function hashStep(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0;
}

for (const [index, name] of knownNames.entries()) {
  let hash = 0;
  for (let at = 0; at < name.length; at++) hash = hashStep(hash, name.charCodeAt(at));
  let slot = hash & (tableSize - 1);
  while (table[slot] !== 0) slot = (slot + 1) & (tableSize - 1);
  table[slot] = index + 1;
}

/** The id of the lower-cased name in `bytes[start, end)` whose hash is `hash`. */
export function internName(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let slot = hash & (tableSize - 1);
  for (;;) {
    const id = table[slot]!;
    if (id === 0) return 0;
    const candidate = nameBytes[id]!;
    if (candidate.length === end - start) {
      let at = 0;
      while (at < candidate.length && candidate[at] === bytes[start + at]) at++;
      if (at === candidate.length) return id;
    }
    slot = (slot + 1) & (tableSize - 1);
  }
}
