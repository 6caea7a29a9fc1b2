// Fields that are not for translation: what becomes of them, and which test shows it.

export interface Words {
  readonly what: string;
  readonly shownBy: string;
}

interface Rule extends Words {
  readonly kind: string;
  /** The field, or the beginning of it up to a dot or bracket. */
  readonly field: string;
}

const waypoint = 'no effect: waypoints belong to the ambient mode, which has no sidecars';
const group =
  'no effect on other workloads, as in Istio: it is the pattern for the WorkloadEntry of a machine that registers itself';

const rules: readonly Rule[] = [
  {
    kind: 'Gateway',
    field: 'spec.servers[].defaultEndpoint',
    what: 'no effect, as in Istio: gateways route by VirtualServices alone',
    shownBy: 'config/istio-validation.test.ts',
  },
  {
    kind: 'Gateway',
    field: 'spec.servers[].name',
    what: 'no effect, as in Istio: a name for people, checked to be unique',
    shownBy: 'config/istio-validation.test.ts',
  },
  {
    kind: 'Sidecar',
    field: 'spec.inboundConnectionPool.http.h2UpgradePolicy',
    what: 'no effect, as in Istio: what comes in keeps its protocol',
    shownBy: 'fields/cases/sidecar-upgrade.yaml',
  },
  {
    kind: 'Sidecar',
    field: 'spec.ingress[].connectionPool.http.h2UpgradePolicy',
    what: 'no effect, as in Istio: what comes in keeps its protocol',
    shownBy: 'fields/cases/sidecar-upgrade.yaml',
  },
  { kind: 'WorkloadGroup', field: 'spec', what: group, shownBy: 'config/semantic/workload-group.test.ts' },
  { kind: 'EnvoyFilter', field: 'spec.configPatches[].match.waypoint', what: waypoint, shownBy: '' },
  {
    kind: 'ProxyConfig',
    field: 'spec',
    what: 'how the proxy is started: its bootstrap, its environment, its threads',
    shownBy: 'config/proxy-config.test.ts, agent/bootstrap-patches.test.ts',
  },
];

/** Undefined: nothing is said of this field. */
export function elsewhere(kind: string, field: string): Words | undefined {
  return rules.find(
    (rule) =>
      rule.kind === kind &&
      (field === rule.field ||
        (field.startsWith(rule.field) && /^[.[{]/.test(field.slice(rule.field.length)))),
  );
}
