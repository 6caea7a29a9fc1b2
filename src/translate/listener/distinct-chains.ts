// Envoy refuses a listener of which two chains ask the same of a connection, be it with one of many values.
import type { ChainInput, ChainMatchInput } from './listener-input.ts';

/**
 * The chains without what earlier ones ask already: a repeated server name or range leaves the later chain, and
 * the chain itself goes where nothing of it is left. (Istio compares whole lists, so that two VirtualServices
 * which share one of several names cost the proxy the listener.)
 */
export function distinctChains(chains: readonly ChainInput[]): readonly ChainInput[] {
  const taken = new Set<string>();
  return chains.flatMap((chain) => {
    const match = withoutTaken(chain.match, taken);
    if (match === undefined) return [];
    for (const key of keysOf(match)) taken.add(key);
    return [match === chain.match ? chain : { ...chain, match }];
  });
}

/** Undefined where nothing is left to ask for. */
function withoutTaken(match: ChainMatchInput, taken: ReadonlySet<string>): ChainMatchInput | undefined {
  const isTaken = (part: ChainMatchInput): boolean =>
    keysOf({ ...match, ...part }).some((key) => taken.has(key));
  if (!isTaken({})) return match;
  if (match.serverNames !== undefined) {
    const serverNames = match.serverNames.filter((name) => !isTaken({ serverNames: [name] }));
    if (serverNames.length > 0) return { ...match, serverNames };
  }
  if (match.prefixRanges !== undefined) {
    const prefixRanges = match.prefixRanges.filter((range) => !isTaken({ prefixRanges: [range] }));
    if (prefixRanges.length > 0) return { ...match, prefixRanges };
  }
  return undefined;
}

/** Each combination of one value per criterion. */
function keysOf(match: ChainMatchInput): readonly string[] {
  const any: readonly (string | undefined)[] = [undefined];
  return (match.prefixRanges ?? any).flatMap((range = '') =>
    (match.serverNames ?? any).flatMap((name = '') =>
      (match.applicationProtocols ?? any).map((protocol = '') =>
        [match.destinationPort ?? '', range, name, match.transportProtocol ?? '', protocol].join('|'),
      ),
    ),
  );
}
