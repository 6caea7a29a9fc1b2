// Secrets are the only resources for which it counts who a proxy has shown to be.
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { ProxyScope } from '../resource.ts';

/**
 * The scope of a proxy's secrets: its scope, and its identity. So nothing that is computed of secrets is ever shared
 * between identities (CVE-2021-34824 was a cache that knew names alone).
 */
export function identityScope(scope: ProxyScope, { identity }: ProxyNode): ProxyScope {
  if (identity === undefined) return scope;
  const who = JSON.stringify([identity.namespace, identity.serviceAccount]);
  return { key: `${scope.key}|identity|${who}`, node: { ...scope.node, identity } };
}
