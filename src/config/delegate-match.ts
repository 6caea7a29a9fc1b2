// Matches of a root VirtualService's rule and of its delegate's: whether they go together, and what both ask.
import { isDeepStrictEqual } from 'node:util';
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';

type HttpMatch = NonNullable<NonNullable<VirtualServiceSpec['http']>[number]['match']>[number];
type StringMatch = NonNullable<HttpMatch['uri']>;
type StringMatches = Readonly<Record<string, StringMatch | undefined>> | undefined;

/** One merged match, and the places of the two that it was made of (absent: the other side has none). */
export interface MergedMatch {
  readonly match: HttpMatch;
  readonly root?: number;
  readonly delegate?: number;
}

/**
 * Every pair of a root's and a delegate's match that go together; a side without matches asks
 * nothing. Undefined where one of the delegate's goes with none of the root's: then the delegate's
 * whole rule does not count. Gateways are compared as they are written: complete them before.
 * Source: Istio `mergeHTTPMatchRequests`.
 */
export function mergeMatches(
  root: readonly HttpMatch[],
  delegate: readonly HttpMatch[],
): readonly MergedMatch[] | undefined {
  if (root.length === 0) return delegate.map((match, index) => ({ match, delegate: index }));
  if (delegate.length === 0) return root.map((match, index) => ({ match, root: index }));
  const merged: MergedMatch[] = [];
  for (const [delegateIndex, leaf] of delegate.entries()) {
    const before = merged.length;
    for (const [rootIndex, match] of root.entries())
      if (!matchesConflict(match, leaf))
        merged.push({ match: mergeMatch(match, leaf), root: rootIndex, delegate: delegateIndex });
    if (merged.length === before) return undefined;
  }
  return merged;
}

/**
 * Whether a delegate's match may let in what the root's does not, as far as Istio looks: an exact value below a
 * prefix, or a longer prefix, are narrower; a regex goes with nothing but silence on the other side.
 * Source: Istio `hasConflict`.
 */
export function matchesConflict(root: HttpMatch, leaf: HttpMatch): boolean {
  if ((['uri', 'scheme', 'method', 'authority'] as const).some((field) => conflict(root[field], leaf[field])))
    return true;
  if (
    (['headers', 'withoutHeaders', 'queryParams'] as const).some((field) => {
      const roots: StringMatches = root[field];
      return Object.entries(leaf[field] ?? {}).some(([name, value]) => conflict(roots?.[name], value));
    })
  )
    return true;
  if ((root.ignoreUriCase ?? false) !== (leaf.ignoreUriCase ?? false)) return true;
  const [rootPort, leafPort] = [root.port ?? 0, leaf.port ?? 0];
  if (rootPort > 0 && leafPort > 0 && rootPort !== leafPort) return true;
  const sourceNamespace = root.sourceNamespace ?? '';
  if (sourceNamespace !== '' && sourceNamespace !== (leaf.sourceNamespace ?? '')) return true;
  const rootLabels = root.sourceLabels ?? {};
  if (Object.entries(leaf.sourceLabels ?? {}).some(([name, value]) => (rootLabels[name] ?? value) !== value))
    return true;
  const rootGateways = root.gateways ?? [];
  const leafGateways = leaf.gateways ?? [];
  if (rootGateways.length === 0 || leafGateways.length === 0) return false;
  return (
    rootGateways.length < leafGateways.length || leafGateways.some((name) => !rootGateways.includes(name))
  );
}

/** What the delegate's match says, and where it is silent the root's. Source: Istio `mergeHTTPMatchRequest`. */
function mergeMatch(root: HttpMatch, leaf: HttpMatch): HttpMatch {
  const merged: Record<string, unknown> = { ...root };
  for (const [field, value] of Object.entries(leaf)) {
    const known = merged[field];
    if (mapFields.has(field)) merged[field] = { ...(known as object | undefined), ...(value as object) };
    else if (known === undefined || !isSilent(value)) merged[field] = value;
  }
  if (root.name !== undefined && root.name !== '' && leaf.name !== undefined && leaf.name !== '')
    merged['name'] = `${root.name}-${leaf.name}`;
  return merged;
}

const mapFields: ReadonlySet<string> = new Set(['headers', 'withoutHeaders', 'queryParams', 'sourceLabels']);

/** Values that protobuf does not tell from absent ones. */
function isSilent(value: unknown): boolean {
  return value === undefined || value === '' || value === 0 || isDeepStrictEqual(value, []);
}

function conflict(root: StringMatch | undefined | null, leaf: StringMatch | undefined | null): boolean {
  if (root === undefined || root === null || leaf === undefined || leaf === null) return false;
  const says = ({ exact, prefix, regex }: StringMatch): boolean =>
    [exact, prefix, regex].some((text) => text !== undefined && text !== '');
  if ((root.regex ?? '') !== '' || (leaf.regex ?? '') !== '') {
    if (says(root) && says(leaf)) return true;
  }
  const rootExact = root.exact ?? '';
  if (rootExact !== '') return (leaf.prefix ?? '') !== '' || leaf.exact !== rootExact;
  const rootPrefix = root.prefix ?? '';
  if (rootPrefix === '') return true;
  const text = (leaf.prefix ?? '') === '' ? (leaf.exact ?? '') : (leaf.prefix ?? '');
  return text === '' || !text.startsWith(rootPrefix);
}
