// Deployments: the Services that lead to them agree, and nothing runs as the sidecar's user.
import type { DeploymentSpec, KubeServiceSpec } from '../../config/kube-types.ts';
import type { Analyzer } from '../analyzer.ts';
import { listAt, textAt, valueAt } from '../fields.ts';
import { says } from '../messages.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { fullName, specOf } from '../object.ts';
import { isControlPlane, isInMesh } from '../pods.ts';
import { selects } from '../selector.ts';

export const multipleServices: Analyzer = {
  name: 'deployment.MultiServiceAnalyzer',
  description: 'Services of one deployment agree about protocols and target ports',
  needs: ['Service'],
  run: ({ objects, report }) => {
    for (const object of objects.list('Deployment')) {
      const { template } = specOf<DeploymentSpec>(object);
      const labels = template?.metadata?.labels ?? {};
      const pod = {
        namespace: object.namespace,
        labels,
        annotations: template?.metadata?.annotations ?? {},
        spec: template?.spec ?? {},
      };
      const isWaypoint = object.labels['gateway.istio.io/managed'] === 'istio.io-mesh-controller';
      if (isWaypoint || !isInMesh(pod, objects)) continue;
      const services = servicesOf(object.namespace, labels, objects);
      for (const [port, protocols] of portProtocols(services))
        if (protocols.size > 1)
          report(
            says.deploymentAssociatedToMultipleServices(
              object.name,
              port,
              [...protocols.values()].flat().sort(),
            ),
            object,
            'metadata',
            'name',
          );
      for (const [targetPort, ports] of targetPorts(services))
        if (ports.size > 1)
          report(
            says.deploymentConflictingPorts(
              object.name,
              [...ports.values()].sort(),
              targetPort,
              [...ports.keys()].sort((a, b) => a - b),
            ),
            object,
            'metadata',
            'name',
          );
    }
  },
};

/** The user that sidecars run as; iptables leaves its traffic alone. */
const sidecarUser = 1337;

export const applicationUid: Analyzer = {
  name: 'applicationUID.Analyzer',
  description: "No application runs under the sidecar's user ID",
  run: ({ objects, report }) => {
    for (const [kind, path] of [
      ['Pod', ['spec']],
      ['Deployment', ['spec', 'template', 'spec']],
    ] as const)
      for (const object of objects.list(kind)) {
        if (isControlPlane(object)) continue;
        const holders = [
          path,
          ...listAt(object.body, ...path, 'containers').flatMap((container, index) =>
            ['istio-proxy', 'istio-operator'].includes(textAt(container, 'name'))
              ? []
              : [[...path, 'containers', index]],
          ),
        ];
        // Once an object: it is the same mistake.
        const place = holders
          .map((holder) => [...holder, 'securityContext', 'runAsUser'])
          .find((field) => valueAt(object.body, ...field) === sidecarUser);
        if (place !== undefined) report(says.invalidApplicationUid(), object, ...place);
      }
  },
};

function servicesOf(
  namespace: string,
  labels: Readonly<Record<string, string>>,
  objects: Objects,
): readonly AnalysisObject[] {
  return objects.list('Service').filter((service) => {
    const { selector = {} } = specOf<KubeServiceSpec>(service);
    return service.namespace === namespace && Object.keys(selector).length > 0 && selects(selector, labels);
  });
}

/** By service port: the services by protocol. */
function portProtocols(services: readonly AnalysisObject[]): Map<number, Map<string, string[]>> {
  const found = new Map<number, Map<string, string[]>>();
  for (const service of services)
    for (const { port, protocol = 'TCP' } of specOf<KubeServiceSpec>(service).ports ?? []) {
      const protocols = found.get(port) ?? new Map<string, string[]>();
      found.set(port, protocols);
      protocols.set(protocol, [...(protocols.get(protocol) ?? []), fullName(service)]);
    }
  return found;
}

/** By target port: the service of each service port. */
function targetPorts(services: readonly AnalysisObject[]): Map<string, Map<number, string>> {
  const found = new Map<string, Map<number, string>>();
  for (const service of services)
    for (const { port, targetPort } of specOf<KubeServiceSpec>(service).ports ?? []) {
      const target = String(
        targetPort === undefined || targetPort === 0 || targetPort === '' ? port : targetPort,
      );
      const ports = found.get(target) ?? new Map<number, string>();
      found.set(target, ports);
      ports.set(port, fullName(service));
    }
  return found;
}
