// Matchers of subject alternative names, and the SPIFFE names that workloads have.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { StringMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';
import { formatSpiffeId } from '../../model/spiffe-id.ts';

type Matcher = MessageInitShape<typeof StringMatcherSchema>;

/** `spiffe://cluster.local/ns/default/sa/reviews` */
export function spiffeName(trustDomain: string, namespace: string, serviceAccount: string): string {
  return formatSpiffeId({ trustDomain, namespace, serviceAccount });
}

/** The names, and each that is a workload's under every other trust domain that the mesh goes by. */
export function underAliases(names: Iterable<string>, aliases: readonly string[]): ReadonlySet<string> {
  const all = new Set(names);
  for (const name of Array.from(all)) {
    const path = /^spiffe:\/\/[^/]+(\/ns\/[^/]+\/sa\/[^/]+)$/.exec(name)?.[1];
    if (path !== undefined) for (const alias of aliases) all.add(`spiffe://${alias}${path}`);
  }
  return all;
}

export function exactNames(names: readonly string[]): Matcher[] {
  return names.map((name) => ({ matchPattern: { case: 'exact', value: name } }));
}

/** Everybody in one of these trust domains. */
export function namesOfTrustDomains(trustDomains: readonly string[]): Matcher[] {
  return trustDomains.map((domain) => ({ matchPattern: { case: 'prefix', value: `spiffe://${domain}/` } }));
}
