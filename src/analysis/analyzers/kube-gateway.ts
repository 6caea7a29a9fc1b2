// What concerns the Gateway API: policies that do not reach its gateways, and definitions that are too old.
import type { Analyzer } from '../analyzer.ts';
import { labelsAt, valueAt } from '../fields.ts';
import { says } from '../messages.ts';
import { podsOf } from '../pods.ts';
import { selects } from '../selector.ts';

const gatewayLabel = 'gateway.networking.k8s.io/gateway-name';

export const kubeGatewaySelectors: Analyzer = {
  name: 'k8sgateway.SelectorAnalyzer',
  description: "Policies reach the Gateway API's gateways by targetRefs, not by selectors",
  needs: ['Pod', 'Deployment'],
  run: ({ objects, report }) => {
    const gatewayPods = podsOf(objects).filter(({ labels }) => labels[gatewayLabel] !== undefined);
    for (const kind of ['AuthorizationPolicy', 'RequestAuthentication', 'Telemetry', 'WasmPlugin'])
      for (const object of objects.list(kind)) {
        const { spec } = object.body;
        if (valueAt(spec, 'targetRef') !== undefined || valueAt(spec, 'targetRefs') !== undefined) continue;
        if (valueAt(spec, 'selector') === undefined) continue;
        const wanted = labelsAt(spec, 'selector', 'matchLabels');
        const gateways = gatewayPods
          .filter(({ namespace, labels }) => namespace === object.namespace && selects(wanted, labels))
          .map(({ labels }) => labels[gatewayLabel] ?? '');
        for (const gateway of new Set(gateways))
          report(says.ineffectiveSelector(gateway), object, 'spec', 'selector');
      }
  },
};

/** From which version of the Gateway API on Istio 1.32 reads a kind; kinds that are not here, from any. */
const minimumVersions: Readonly<Record<string, string>> = {
  'backendtlspolicies.gateway.networking.k8s.io': '1.4.0',
  'grpcroutes.gateway.networking.k8s.io': '1.1.0',
  'tcproutes.gateway.networking.k8s.io': '1.6.0',
  'tlsroutes.gateway.networking.k8s.io': '1.5.0',
};

export const crdVersions: Analyzer = {
  name: 'k8sgateway.CRDVersionAnalyzer',
  description: "The Gateway API's definitions are new enough",
  run: ({ objects, report }) => {
    for (const object of objects.list('CustomResourceDefinition')) {
      const minimum = minimumVersions[object.name];
      const installed = object.annotations['gateway.networking.k8s.io/bundle-version'];
      if (minimum === undefined || installed === undefined) continue;
      const version = /^v?(\d+\.\d+\.\d+)/.exec(installed)?.[1];
      if (version !== undefined && isOlder(version, minimum))
        report(
          says.gatewayApiCrdVersionBelowMinimum(object.name, installed.replace(/^v/, ''), minimum),
          object,
          'metadata',
          'annotations',
          'gateway.networking.k8s.io/bundle-version',
        );
    }
  },
};

function isOlder(version: string, minimum: string): boolean {
  const [a, b] = [version, minimum].map((text) => text.split('.').map(Number));
  for (const [index, part] of (b ?? []).entries()) {
    const own = a?.[index] ?? 0;
    if (own !== part) return own < part;
  }
  return false;
}
