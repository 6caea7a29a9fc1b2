// consistentHash of a DestinationRule -> hash_policy of the routes that lead there.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { RouteAction_HashPolicySchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { durationOf } from '../proto-values.ts';
import type { LoadBalancer } from '../destination-rule.ts';
import type { ConsistentHash } from './route-input.ts';

type HashPolicyInit = MessageInitShape<typeof RouteAction_HashPolicySchema>;

/** The hash key that a load balancer policy names; null where it names none. */
export function consistentHashOf(loadBalancer: LoadBalancer | undefined): ConsistentHash | null {
  const hash = loadBalancer?.consistentHash;
  if (hash?.httpHeaderName !== undefined) return { kind: 'header', name: hash.httpHeaderName };
  if (hash?.httpCookie !== undefined) {
    const { name, ttl, path, attributes } = hash.httpCookie;
    return {
      kind: 'cookie',
      name: name ?? '',
      path: path ?? '',
      attributes: (attributes ?? []).map((attribute) => ({
        name: attribute.name ?? '',
        value: attribute.value ?? '',
      })),
      ...(ttl === undefined ? {} : { ttl }),
    };
  }
  if (hash?.useSourceIp === true) return { kind: 'source-ip' };
  if (hash?.httpQueryParameterName !== undefined)
    return { kind: 'query-parameter', name: hash.httpQueryParameterName };
  return null;
}

export function hashPolicies(hashes: readonly (ConsistentHash | null)[]): HashPolicyInit[] {
  return hashes.flatMap((hash) => (hash === null ? [] : [hashPolicy(hash)]));
}

function hashPolicy(hash: ConsistentHash): HashPolicyInit {
  switch (hash.kind) {
    case 'header':
      return { policySpecifier: { case: 'header', value: { headerName: hash.name } } };
    case 'cookie': {
      const ttl = durationOf(hash.ttl);
      const { name, path, attributes } = hash;
      const cookie = { name, path, attributes: [...attributes], ...(ttl === undefined ? {} : { ttl }) };
      return { policySpecifier: { case: 'cookie', value: cookie } };
    }
    case 'source-ip':
      return { policySpecifier: { case: 'connectionProperties', value: { sourceIp: true } } };
    case 'query-parameter':
      return { policySpecifier: { case: 'queryParameter', value: { name: hash.name } } };
    default:
      return hash satisfies never;
  }
}
