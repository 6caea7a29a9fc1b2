// Ports of Services say what they speak.
import type { KubeServiceSpec } from '../../config/kube-types.ts';
import { protocolOfPort } from '../../model/protocol.ts';
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';
import { isControlPlane } from '../pods.ts';

/** Services that the gateway deployment controller makes. */
const managedBy: ReadonlySet<string> = new Set([
  'istio.io-gateway-controller',
  'istio.io-mesh-controller',
  'istio.io-eastwest-controller',
]);

export const portNames: Analyzer = {
  name: 'service.PortNameAnalyzer',
  description: 'Ports of Services tell their protocol, by name or appProtocol',
  needs: ['Service'],
  run: ({ objects, report }) => {
    for (const object of objects.list('Service')) {
      if (isControlPlane(object) || managedBy.has(object.labels['gateway.istio.io/managed'] ?? '')) continue;
      const { ports, type } = specOf<KubeServiceSpec>(object);
      for (const [index, { name = '', port, protocol = 'TCP', appProtocol, targetPort }] of (
        ports ?? []
      ).entries()) {
        const spoken = protocolOfPort({ name, number: port, transport: protocol, appProtocol });
        const isExternal = type === 'ExternalName';
        if (spoken !== 'unsupported' && !(isExternal && name === 'tcp')) continue;
        report(
          isExternal
            ? says.externalNameServiceTypeInvalidPortName(name)
            : says.portNameIsNotUnderNamingConvention(name, port, String(targetPort ?? 0)),
          object,
          'spec',
          'ports',
          index,
          'port',
        );
      }
    }
  },
};
