// Matchers of subject alternative names, and the SPIFFE names that workloads have.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { StringMatcherSchema } from '../../api/gen/envoy/type/matcher/v3/string_pb.js';

type Matcher = MessageInitShape<typeof StringMatcherSchema>;

/** `spiffe://cluster.local/ns/default/sa/reviews` */
export function spiffeName(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

export function exactNames(names: readonly string[]): Matcher[] {
  return names.map((name) => ({ matchPattern: { case: 'exact', value: name } }));
}

/** Everybody in one of these trust domains. */
export function namesOfTrustDomains(trustDomains: readonly string[]): Matcher[] {
  return trustDomains.map((domain) => ({ matchPattern: { case: 'prefix', value: `spiffe://${domain}/` } }));
}
