// DNS as a seam: what the clusters ask, and the answer of the machine's own resolver.
import { Resolver } from 'node:dns/promises';
import { lookup } from 'node:dns/promises';

/** Envoy's dns_lookup_family. */
export type DnsFamily = 'AUTO' | 'V4_ONLY' | 'V6_ONLY' | 'V4_PREFERRED' | 'ALL';

export interface DnsAnswer {
  readonly addresses: readonly string[];
  /** Of the shortest-lived record; undefined where the resolver does not tell. */
  readonly ttlMs: number | undefined;
}

export interface DnsResolver {
  /** Rejects when the name cannot be resolved. An answer without addresses is possible. */
  resolve(hostname: string, family: DnsFamily, wantTtl: boolean): Promise<DnsAnswer>;
}

/** getaddrinfo (which knows /etc/hosts), and a query of its own for the TTL where that is asked for. */
export const systemResolver: DnsResolver = {
  async resolve(hostname, family, wantTtl) {
    const [answers, ttlMs] = await Promise.all([
      lookup(hostname, {
        all: true,
        verbatim: true,
        family: family === 'V4_ONLY' ? 4 : family === 'V6_ONLY' ? 6 : 0,
      }),
      wantTtl ? lookupTtl(hostname) : undefined,
    ]);
    return { addresses: chooseFamily(answers, family), ttlMs };
  },
};

/** AUTO prefers v6 and V4_PREFERRED v4; both fall back to the other (Envoy: dns_lookup_family). */
export function chooseFamily(
  answers: readonly { readonly address: string; readonly family: number }[],
  family: DnsFamily,
): string[] {
  const of = (wanted: number): string[] => [
    ...new Set(answers.filter((answer) => answer.family === wanted).map((answer) => answer.address)),
  ];
  const v4 = of(4);
  const v6 = of(6);
  const byFamily: Readonly<Record<DnsFamily, string[]>> = {
    V4_ONLY: v4,
    V6_ONLY: v6,
    AUTO: v6.length > 0 ? v6 : v4,
    V4_PREFERRED: v4.length > 0 ? v4 : v6,
    ALL: [...v4, ...v6],
  };
  return byFamily[family];
}

async function lookupTtl(hostname: string): Promise<number | undefined> {
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  const records = await resolver.resolve4(hostname, { ttl: true }).catch(() => []);
  return records.length === 0 ? undefined : Math.min(...records.map((record) => record.ttl)) * 1000;
}
