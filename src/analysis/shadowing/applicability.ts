// Where a match counts at all: gateways, ports, source workloads. What is decided before any request comes.
import { meshGateway, resolveGatewayName } from '../../model/gateway-name.ts';

export interface Placed {
  readonly gateways?: readonly string[] | undefined;
  readonly port?: number | undefined;
  readonly sourceLabels?: Readonly<Record<string, string>> | undefined;
  readonly sourceNamespace?: string | undefined;
}

/** The VirtualService that a match stands in. */
export interface Owner {
  readonly namespace: string;
  readonly gateways: readonly string[];
}

/** Full names of the gateways at which the match counts: its own if it names any, of those of its VirtualService. */
export function gatewaysOf(match: Placed, owner: Owner): readonly string[] {
  const full = (names: readonly string[]): readonly string[] =>
    names.map((name) => resolveGatewayName(name, owner.namespace));
  const bound = full(owner.gateways.length === 0 ? [meshGateway] : owner.gateways);
  const own = match.gateways ?? [];
  return own.length === 0 ? bound : full(own).filter((name) => bound.includes(name));
}

/**
 * Whether `earlier` counts wherever `later` does. `isHttp`: where a match names gateways they alone decide, labels
 * and namespace do not count; for TCP and TLS all conditions hold together. Source: Istio `sourceMatchHTTP`.
 */
export function countsWherever(
  earlier: Placed,
  earlierOwner: Owner,
  later: Placed,
  laterOwner: Owner,
  isHttp: boolean,
): boolean {
  const places = gatewaysOf(earlier, earlierOwner);
  if (!gatewaysOf(later, laterOwner).every((gateway) => places.includes(gateway))) return false;
  if ((earlier.port ?? 0) !== 0 && earlier.port !== later.port) return false;
  const isFreeOfSource = (match: Placed): boolean => isHttp && (match.gateways ?? []).length > 0;
  if (isFreeOfSource(earlier)) return true;
  const labels = isFreeOfSource(later) ? {} : (later.sourceLabels ?? {});
  const namespace = isFreeOfSource(later) ? '' : (later.sourceNamespace ?? '');
  return (
    Object.entries(earlier.sourceLabels ?? {}).every(([name, value]) => labels[name] === value) &&
    ['', namespace].includes(earlier.sourceNamespace ?? '')
  );
}
