// Asks one authenticator after the other who speaks, and holds a proxy's node to the answer.
import type { ProxyIdentity, ProxyNode } from '../../model/proxy-node.ts';
import type { SpiffeId } from '../../model/spiffe-id.ts';
import { formatSpiffeId } from '../../model/spiffe-id.ts';
import type { Authenticator, Credentials } from './caller.ts';
import { AuthenticationError } from './caller.ts';

export type Authentication =
  | { readonly ok: true; readonly identities: readonly SpiffeId[] }
  /** `reason` is for our log alone. */
  | { readonly ok: false; readonly reason: string };

/** The first that knows the caller has the word; a credential that proves nothing does not hide another one. */
export async function authenticate(
  authenticators: readonly Authenticator[],
  credentials: Credentials,
): Promise<Authentication> {
  const reasons: string[] = [];
  for (const authenticator of authenticators) {
    try {
      const caller = await authenticator.authenticate(credentials);
      if (caller !== undefined && caller.identities.length > 0)
        return { ok: true, identities: caller.identities };
    } catch (error) {
      if (!(error instanceof AuthenticationError)) throw error;
      reasons.push(`${authenticator.name}: ${error.message}`);
    }
  }
  return { ok: false, reason: reasons.length === 0 ? 'no credential' : reasons.join('; ') };
}

/**
 * The identity under which this node may speak; undefined if none of them is that of its namespace and service
 * account. A node that does not say which account it runs as is taken for each of its namespace.
 * Source: Istio `checkConnectionIdentity`.
 */
export function identityOfNode(
  identities: readonly SpiffeId[],
  { namespace, serviceAccount }: Pick<ProxyNode, 'namespace' | 'serviceAccount'>,
): ProxyIdentity | undefined {
  const found = identities.find(
    (identity) =>
      identity.namespace === namespace &&
      (serviceAccount === '' || identity.serviceAccount === serviceAccount),
  );
  return found === undefined
    ? undefined
    : { namespace: found.namespace, serviceAccount: found.serviceAccount };
}

/** For messages: the names, no more than a few. */
export function describeIdentities(identities: readonly SpiffeId[]): string {
  return identities.slice(0, 3).map(formatSpiffeId).join(', ');
}
