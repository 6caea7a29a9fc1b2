// Kinds as people write them on a command line, and as kubectl prints them.
import { UserError } from '../base/user-error.ts';
import type { Kind } from '../config/kinds.ts';
import { kinds } from '../config/kinds.ts';
import { kindName } from '../config/config.ts';

/** Short names of the custom resources (Istio's CRDs), and of Kubernetes' own kinds. */
const shortNames: Readonly<Record<string, string>> = {
  vs: 'VirtualService',
  dr: 'DestinationRule',
  gw: 'Gateway',
  se: 'ServiceEntry',
  we: 'WorkloadEntry',
  wg: 'WorkloadGroup',
  pa: 'PeerAuthentication',
  svc: 'Service',
  po: 'Pod',
  deploy: 'Deployment',
  sts: 'StatefulSet',
  cm: 'ConfigMap',
  ns: 'Namespace',
  no: 'Node',
  ep: 'Endpoints',
  sa: 'ServiceAccount',
  ing: 'Ingress',
};

/**
 * `virtualservice`, `virtual-service`, `VirtualService`, `virtualservices`, `vs`,
 * `gateways.gateway.networking.k8s.io`. Throws a UserError in istioctl's words where there is none.
 */
export function findKind(written: string): Kind {
  const all = [...kinds.values()];
  const wanted = (shortNames[written.toLowerCase()] ?? written).replaceAll('-', '').toLowerCase();
  const dot = wanted.indexOf('.');
  const [word, group] = dot < 0 ? [wanted, undefined] : [wanted.slice(0, dot), wanted.slice(dot + 1)];
  const fits = (kind: Kind): boolean => {
    const name = kindName(kind.kind).toLowerCase();
    return (word === name || word === pluralOf(name)) && (group === undefined || group === kind.group);
  };
  // Without a group, Gateway is Istio's.
  const found = all.find((kind) => fits(kind) && (group !== undefined || kind.kind === kindName(kind.kind)));
  if (found === undefined) throw new UserError(`type ${written} is not recognized`);
  return found;
}

function pluralOf(name: string): string {
  if (name.endsWith('s')) return name.endsWith('ss') ? `${name}es` : name;
  if (name.endsWith('y') && !name.endsWith('ay')) return `${name.slice(0, -1)}ies`;
  return `${name}s`;
}

/** `virtualservice.networking.istio.io/reviews`, `service/reviews`: as kubectl names an object. */
export function objectTitle(object: {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}): string {
  const kind = kindName(object.kind).toLowerCase();
  return `${object.group === '' ? kind : `${kind}.${object.group}`}/${object.name}`;
}
