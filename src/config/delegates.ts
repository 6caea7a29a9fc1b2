// VirtualServices whose rules stand in others: a root's rule with `delegate` is replaced by the delegate's rules.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import { resolveGatewayName } from '../model/gateway-name.ts';
import { resolveHost } from '../model/hostname.ts';
import type { Origin } from '../model/origin.ts';
import type { MadeOf, VirtualServiceConfig } from './config.ts';
import { originOf } from './config.ts';
import { mergeMatches } from './delegate-match.ts';

type HttpRule = NonNullable<VirtualServiceSpec['http']>[number];
type HttpMatch = NonNullable<HttpRule['match']>[number];

/** Without hosts: it only lends its rules to others. */
export function isDelegate({ spec }: VirtualServiceConfig): boolean {
  return (spec.hosts ?? []).length === 0;
}

/** Whether rules of it stand in others. */
export function isRoot({ spec }: VirtualServiceConfig): boolean {
  return (spec.http ?? []).some(({ delegate }) => delegate !== undefined);
}

/** The delegate that a rule of `root` names. */
export function delegateKey(
  delegate: NonNullable<HttpRule['delegate']>,
  root: VirtualServiceConfig,
): { readonly namespace: string; readonly name: string } {
  const { namespace = '', name = '' } = delegate;
  return { namespace: namespace === '' ? root.namespace : namespace, name };
}

/**
 * The root with its delegates' rules in the places of those that name them. `delegateOf` finds a delegate that
 * the root may use; a rule whose delegate is missing is left out, and so is a rule of a delegate that
 * goes with no match of the root's. What the delegate's rule does not say the root's says for it. Short
 * names in a delegate are meant in its own namespace. The result knows where each part was written (`originOf`).
 * Source: Istio `mergeVirtualServices`.
 */
export function withDelegates(
  root: VirtualServiceConfig,
  delegateOf: (key: {
    readonly namespace: string;
    readonly name: string;
  }) => VirtualServiceConfig | undefined,
  domainSuffix: string,
): VirtualServiceConfig {
  if (!isRoot(root)) return root;
  const http: HttpRule[] = [];
  const parts: Record<string, Origin> = {};
  const note = (origin: Origin, ...path: readonly (string | number)[]): void => {
    parts[path.join('/')] = origin;
  };
  for (const [index, rule] of (root.spec.http ?? []).entries()) {
    if (rule.delegate === undefined) {
      note(originOf(root, 'spec', 'http', index), 'spec', 'http', http.length);
      http.push(rule);
      continue;
    }
    const delegate = delegateOf(delegateKey(rule.delegate, root));
    for (const [leafIndex, leaf] of (delegate?.spec.http ?? []).entries()) {
      // A delegate cannot delegate once more; its validation says so.
      if (delegate === undefined || leaf.delegate !== undefined) continue;
      const full = inFull(leaf, delegate.namespace, domainSuffix);
      const matches = mergeMatches(
        (rule.match ?? []).map((match) => fullMatch(match, root.namespace)),
        full.match ?? [],
      );
      if (matches === undefined) continue;
      note(originOf(delegate, 'spec', 'http', leafIndex), 'spec', 'http', http.length);
      for (const [place, merged] of matches.entries()) {
        const origin =
          merged.delegate === undefined
            ? originOf(root, 'spec', 'http', index, 'match', merged.root ?? 0)
            : originOf(delegate, 'spec', 'http', leafIndex, 'match', merged.delegate);
        note(origin, 'spec', 'http', http.length, 'match', place);
      }
      const match = matches.map((merged) => merged.match);
      http.push(mergeRule(rule, full, match));
    }
  }
  for (const field of ['hosts', 'tcp', 'tls'] as const) note(originOf(root, 'spec', field), 'spec', field);
  const madeOf: MadeOf = { whole: originOf(root), parts, sameFields: true };
  return { ...root, spec: { ...root.spec, http }, madeOf };
}

/** What a delegate's rule takes from the root's where it says nothing itself. Source: Istio `mergeHTTPRoute`. */
const inherited = [
  'rewrite',
  'directResponse',
  'timeout',
  'retries',
  'fault',
  'mirror',
  'mirrorPercent',
  'mirror_percent',
  'mirrorPercentage',
  'corsPolicy',
  'mirrors',
  'headers',
] as const;

function mergeRule(root: HttpRule, leaf: HttpRule, match: readonly HttpMatch[]): HttpRule {
  const merged: Record<string, unknown> = { ...leaf };
  for (const field of inherited) {
    const own = leaf[field];
    const isSilent = own === undefined || (Array.isArray(own) && own.length === 0);
    if (isSilent && root[field] !== undefined) merged[field] = root[field];
  }
  const names = [root.name ?? '', leaf.name ?? ''].filter((name) => name !== '');
  if (names.length > 0) merged['name'] = names.join('-');
  if (match.length > 0) merged['match'] = match;
  else delete merged['match'];
  return merged;
}

/** With full names of hosts and gateways, so that the rule means the same in another namespace. */
function inFull(rule: HttpRule, namespace: string, domainSuffix: string): HttpRule {
  const full = <Named extends { readonly host?: string | undefined }>(destination: Named): Named =>
    destination.host === undefined
      ? destination
      : { ...destination, host: resolveHost(destination.host, namespace, domainSuffix) };
  const holding = <
    Holder extends { readonly destination?: { readonly host?: string | undefined } | undefined },
  >(
    holder: Holder,
  ): Holder =>
    holder.destination === undefined ? holder : { ...holder, destination: full(holder.destination) };
  return {
    ...rule,
    ...(rule.match === undefined ? {} : { match: rule.match.map((match) => fullMatch(match, namespace)) }),
    ...(rule.route === undefined ? {} : { route: rule.route.map(holding) }),
    ...(rule.mirror === undefined ? {} : { mirror: full(rule.mirror) }),
    ...(rule.mirrors === undefined ? {} : { mirrors: rule.mirrors.map(holding) }),
  };
}

function fullMatch(match: HttpMatch, namespace: string): HttpMatch {
  const { gateways = [] } = match;
  if (gateways.length === 0) return match;
  return { ...match, gateways: gateways.map((name) => resolveGatewayName(name, namespace)) };
}
