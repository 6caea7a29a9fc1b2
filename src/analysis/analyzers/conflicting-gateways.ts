// Gateways of the same workloads that serve the same hosts on one port.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName, specOf } from '../object.ts';
import { podsOf } from '../pods.ts';
import type { AnalyzedPod } from '../pods.ts';
import { selectorText, selects } from '../selector.ts';

type Labels = Readonly<Record<string, string>>;
type Server = NonNullable<GatewaySpec['servers']>[number];

export const conflictingGateways: Analyzer = {
  name: 'gateway.ConflictingGatewayAnalyzer',
  description: 'No two gateways of the same workloads serve the same hosts on one port',
  needs: ['Pod', 'Deployment', 'StatefulSet'],
  run: ({ objects, report }) => {
    const gateways = objects.list('Gateway');
    const pods = podsOf(objects);
    for (const object of gateways) {
      const { selector = {}, servers } = specOf<GatewaySpec>(object);
      const neighbours = gateways.filter(
        (other) =>
          other !== object && doShareWorkloads(selector, specOf<GatewaySpec>(other).selector ?? {}, pods),
      );
      for (const [index, server] of (servers ?? []).entries()) {
        const rivals = neighbours.filter((other) => serves(other, server));
        if (rivals.length > 0)
          report(
            says.conflictingGateways(
              rivals.map(fullName).sort().join(', '),
              selectorText(selector),
              String(server.port?.number ?? 0),
              (server.hosts ?? []).join(', '),
            ),
            object,
            'spec',
            'servers',
            index,
          );
      }
    }
  },
};

/** The same selector; or one that narrows the other, where some pod has the labels of both. */
function doShareWorkloads(a: Labels, b: Labels, pods: readonly AnalyzedPod[]): boolean {
  if (selectorText(a) === selectorText(b)) return true;
  const isNarrower = selects(a, b) || selects(b, a);
  return isNarrower && pods.some(({ labels }) => selects(a, labels) && selects(b, labels));
}

/** Whether a gateway has a server for one of the hosts, on the same port and address. */
function serves(gateway: AnalysisObject, { hosts, port, bind = '' }: Server): boolean {
  return (specOf<GatewaySpec>(gateway).servers ?? []).some(
    (other) =>
      (other.port?.number ?? 0) === (port?.number ?? 0) &&
      (other.bind ?? '') === bind &&
      (other.hosts ?? []).some((host) => (hosts ?? []).includes(host)),
  );
}
