// Which namespaces a Gateway lets in: for routes of a listener, and for ListenerSets.
import type { Config } from '../config/config.ts';
import type { KubeGatewayConfig, LabelSelector, Listener } from '../config/gateway-api-types.ts';
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

/** Every namespace has its name as a label. An operator that Kubernetes does not know selects nothing. */
function selects({ matchLabels = {}, matchExpressions = [] }: LabelSelector, namespace: Config): boolean {
  const labels: Readonly<Record<string, string>> = {
    ...namespace.labels,
    'kubernetes.io/metadata.name': namespace.name,
  };
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
