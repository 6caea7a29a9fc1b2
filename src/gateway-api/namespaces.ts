// Which namespaces a Gateway lets in: for routes of a listener, and for ListenerSets.
import type { Config } from '../config/config.ts';
import type { KubeGatewayConfig, Listener } from '../config/gateway-api-types.ts';
import type { LabelSelector } from '../model/labels.ts';
import { labelSelectorMatches } from '../model/labels.ts';
import type { GatewayApiObjects } from './objects.ts';

/**
 * The server hosts of a listener: its host under each namespace whose routes it takes. Where there is none,
 * `~/host`, which no route meets. Source: Istio `buildHostnameMatch`.
 */
export function serverHosts(
  objects: Pick<GatewayApiObjects, 'namespaces'>,
  namespace: string,
  { hostname = '*', allowedRoutes }: Listener,
): readonly string[] {
  const { from = 'Same', selector } = allowedRoutes?.namespaces ?? {};
  if (from === 'Same') return [`${namespace}/${hostname}`];
  // A missing selector chooses everything, as in Istio.
  if (from === 'All' || selector === undefined) return [`*/${hostname}`];
  const names = objects
    .namespaces()
    .filter((each) => selects(selector, each))
    .map(({ name }) => name)
    .sort();
  return names.length === 0 ? [`~/${hostname}`] : names.map((name) => `${name}/${hostname}`);
}

/** Whether a Gateway takes ListenerSets of that namespace: by default it takes none. */
export function takesListenerSets(
  objects: Pick<GatewayApiObjects, 'namespace'>,
  gateway: KubeGatewayConfig,
  namespace: string,
): boolean {
  const rule = gateway.spec.allowedListeners?.namespaces;
  const from = rule?.from ?? (rule?.selector === undefined ? 'None' : 'Selector');
  if (from === 'All') return true;
  if (from === 'Same') return namespace === gateway.namespace;
  const found = from === 'Selector' ? objects.namespace(namespace) : undefined;
  return rule?.selector !== undefined && found !== undefined && selects(rule.selector, found);
}

/** Every namespace has its name as a label. */
function selects(selector: LabelSelector, { labels, name }: Config): boolean {
  return labelSelectorMatches(selector, { ...labels, 'kubernetes.io/metadata.name': name });
}
