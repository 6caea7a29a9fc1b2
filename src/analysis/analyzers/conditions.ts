// Status conditions in which a controller says that an object does not do what it should.
import { kubeGatewayKind } from '../../config/config.ts';
import type { Analyzer } from '../analyzer.ts';
import { listAt, textAt } from '../fields.ts';
import { says } from '../messages.ts';

const gatewayConditions = ['Accepted', 'Programmed', 'ResolvedRefs'];

/** Conditions of each kind that must not be False. */
const watched: Readonly<Record<string, readonly string[]>> = {
  Service: ['istio.io/WaypointBound'],
  ServiceEntry: ['istio.io/WaypointBound'],
  WorkloadEntry: ['istio.io/WaypointBound'],
  AuthorizationPolicy: ['ZtunnelAccepted', 'WaypointAccepted'],
  [kubeGatewayKind]: gatewayConditions,
  HTTPRoute: gatewayConditions,
  GRPCRoute: gatewayConditions,
};

export const conditions: Analyzer = {
  name: 'conditions.ConditionAnalyzer',
  description: 'Status conditions that say that an object is not in force',
  run: ({ objects, report }) => {
    for (const [kind, types] of Object.entries(watched))
      for (const object of objects.list(kind)) {
        const { status } = object.body;
        const parents = listAt(status, 'parents');
        const all =
          parents.length > 0
            ? parents.flatMap((parent) => listAt(parent, 'conditions'))
            : listAt(status, 'conditions');
        for (const condition of all) {
          const type = textAt(condition, 'type');
          const reason = textAt(condition, 'reason');
          const isPartly =
            kind === 'AuthorizationPolicy' && type === 'WaypointAccepted' && reason === 'PartiallyInvalid';
          if (isPartly || (types.includes(type) && textAt(condition, 'status') === 'False'))
            report(
              says.negativeConditionStatus(type, reason, textAt(condition, 'message')),
              object,
              'status',
            );
        }
      }
  },
};
