// The destinations that a VirtualService names, with their places.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { FieldPath } from '../../model/origin.ts';

export interface Destination {
  readonly host: string;
  readonly subset: string;
  readonly port: number | undefined;
  /** Of the field `host`. */
  readonly path: FieldPath;
  readonly isMirror: boolean;
}

interface Written {
  readonly host?: string | undefined;
  readonly subset?: string | undefined;
  readonly port?: { readonly number?: number | undefined } | undefined;
}

/** In the order tcp, tls, http; mirrors last. */
export function destinationsOf(spec: Partial<VirtualServiceSpec>): readonly Destination[] {
  const found: Destination[] = [];
  const add = (written: Written | undefined, isMirror: boolean, ...path: FieldPath): void => {
    if (written === undefined) return;
    const { host = '', subset = '', port } = written;
    found.push({
      host,
      subset,
      port: port === undefined ? undefined : (port.number ?? 0),
      path: [...path, 'host'],
      isMirror,
    });
  };
  for (const kind of ['tcp', 'tls', 'http'] as const)
    for (const [rule, { route }] of (spec[kind] ?? []).entries())
      for (const [index, { destination }] of (route ?? []).entries())
        // A route without a destination has one without a host.
        add(destination ?? {}, false, 'spec', kind, rule, 'route', index, 'destination');
  for (const [rule, { mirror, mirrors }] of (spec.http ?? []).entries()) {
    add(mirror, true, 'spec', 'http', rule, 'mirror');
    for (const [index, { destination }] of (mirrors ?? []).entries())
      add(destination, true, 'spec', 'http', rule, 'mirrors', index, 'destination');
  }
  return found;
}
