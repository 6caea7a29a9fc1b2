// What callers who are not on this machine may see of the debug pages. Source: Istio `AuthorizeDebugRequest`.
import type { SpiffeId } from '../../model/spiffe-id.ts';
import type { PilotServer } from '../pilot.ts';
import type { Answer } from './answers.ts';
import { connectionOf, notConnected, plain } from './answers.ts';

/** Pages that callers of other namespaces than the root namespace may ask for, of proxies of their own. */
const namespacePages: readonly string[] = ['config_dump', 'edsz', 'ndsz'];

/** Whether it is one of those; `path` as it stands behind `/debug/`. */
export function isNamespacePage(path: string): boolean {
  return namespacePages.includes(path);
}

/**
 * The namespace whose proxies somebody may ask about; undefined: all, for the identity is of the root namespace.
 * Of several identities the first counts, as in Istio.
 */
export function namespaceOfCaller(
  pilot: PilotServer,
  identity: Pick<SpiffeId, 'namespace'>,
): string | undefined {
  const root = pilot.graph.untracked(() => pilot.world.meshConfig().rootNamespace);
  return identity.namespace === root ? undefined : identity.namespace;
}

/** Why a caller who has shown to be somebody gets no answer; undefined: it gets one. */
export function refusalOf(
  pilot: PilotServer,
  { pathname, searchParams }: Pick<URL, 'pathname' | 'searchParams'>,
  identity: Pick<SpiffeId, 'namespace'>,
): Answer | undefined {
  const namespace = namespaceOfCaller(pilot, identity);
  if (namespace === undefined) return undefined;
  if (!isNamespacePage(pathname.slice('/debug/'.length)))
    return plain(403, `this page is not for identities of namespace ${namespace}`);
  const found = connectionOf(pilot, searchParams);
  if ('status' in found) return found;
  // As if it were not connected: who runs what in other namespaces is nobody's business.
  return found.node.namespace === namespace ? undefined : notConnected();
}
