// What is taken to be there although no file holds it: Istio's ingress gateway.
import type { LoadOptions } from './load.ts';
import { loadText } from './load.ts';
import type { MeshSettings } from './mesh-settings.ts';
import type { AnalysisObject } from './object.ts';

const ports: readonly (readonly [name: string, port: number])[] = [
  ['http2', 80],
  ['https', 443],
  ['tcp', 31400],
  ['tls', 15443],
];

/**
 * A Service and a Pod of the default ingress gateway, unless the mesh has ingress turned off.
 * Source: Istio `pkg/config/analysis/local/defaults.go`.
 */
export function assumedObjects(
  { ingressControllerMode, ingressService }: MeshSettings,
  istioNamespace: string,
): readonly AnalysisObject[] {
  if (ingressControllerMode === 'OFF') return [];
  const labels = { istio: 'ingressgateway' };
  const objects = [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: ingressService, namespace: istioNamespace },
      spec: {
        selector: labels,
        ports: ports.map(([name, port]) => ({ name, port, targetPort: port, protocol: 'TCP' })),
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${ingressService}-dummypod`, namespace: istioNamespace, labels },
      spec: { containers: [{ name: 'istio-proxy' }] },
    },
  ];
  const options: LoadOptions = { defaultNamespace: istioNamespace, withLiveKinds: true };
  return objects
    .flatMap((object) => loadText('assumed', JSON.stringify(object), options).objects)
    .map((object) => ({ ...object, locate: () => undefined }));
}
