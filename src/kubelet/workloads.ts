// What the user's objects ask to run: Deployments, StatefulSets and bare Pods, read from a store.
import type { Config } from '../config/config.ts';
import { configKey } from '../config/config.ts';
import type {
  DeploymentSpec,
  PodSpec,
  PodStatus,
  PodTemplateSpec,
  StatefulSetSpec,
} from '../config/kube-types.ts';
import type { ConfigStore } from '../config/store.ts';
import type { FieldPath } from '../model/origin.ts';
import { wantsGateway } from './injection.ts';
import type { DesiredWorkload, Strategy } from './plan.ts';
import { rollingStrategy } from './plan.ts';
import { templateHash } from './pod-name.ts';

export type WorkloadKind = 'Deployment' | 'StatefulSet' | 'Pod';

export interface Workload extends DesiredWorkload {
  readonly kind: WorkloadKind;
  readonly config: Config;
  readonly template: PodTemplateSpec;
  /** Where in the object the template stands. */
  readonly templatePath: FieldPath;
  readonly isGateway: boolean;
}

/** The kinds whose objects run as pods. */
export const workloadKinds: readonly WorkloadKind[] = ['Deployment', 'StatefulSet', 'Pod'];

/** All workloads of a store, sorted by kind and name. Pods that say where they run are not ours to run. */
export function readWorkloads(store: ConfigStore): Workload[] {
  return workloadKinds.flatMap((kind) =>
    store
      .list(kind)
      .filter((config) => kind !== 'Pod' || !runsElsewhere(config))
      .map((config) => readWorkload(kind, config)),
  );
}

/** A Pod with an address runs somewhere already: it is an endpoint, not a wish. */
export function runsElsewhere(pod: Config): boolean {
  return ((pod.status ?? {}) as PodStatus).podIP !== undefined;
}

export function readWorkload(kind: WorkloadKind, config: Config): Workload {
  const template = templateOf(kind, config);
  const replicas = kind === 'Pod' ? 1 : ((config.spec as DeploymentSpec | undefined)?.replicas ?? 1);
  const isGateway = wantsGateway(template.metadata?.annotations ?? {});
  return {
    key: configKey(config),
    kind,
    config,
    template,
    templatePath: kind === 'Pod' ? [] : ['spec', 'template'],
    isGateway,
    replicas: Math.max(0, Math.trunc(replicas)),
    templateHash: templateHash(template),
    strategy: isGateway ? { kind: 'recreate' } : strategyOf(kind, config, replicas),
  };
}

function templateOf(kind: WorkloadKind, config: Config): PodTemplateSpec {
  if (kind !== 'Pod') return (config.spec as DeploymentSpec | undefined)?.template ?? {};
  const spec = (config.spec ?? {}) as PodSpec;
  return { metadata: { labels: config.labels, annotations: config.annotations }, spec };
}

/**
 * A gateway is always recreated: two pods of it cannot have the same ports of this machine's own
 * addresses.
 */
function strategyOf(kind: WorkloadKind, config: Config, replicas: number): Strategy {
  if (kind === 'Pod') return { kind: 'single' };
  if (kind === 'StatefulSet') {
    const { podManagementPolicy } = (config.spec ?? {}) as StatefulSetSpec;
    return { kind: podManagementPolicy === 'Parallel' ? 'parallel' : 'ordered' };
  }
  const { strategy } = (config.spec ?? {}) as DeploymentSpec;
  if (strategy?.type === 'Recreate') return { kind: 'recreate' };
  const { maxSurge, maxUnavailable } = strategy?.rollingUpdate ?? {};
  return rollingStrategy(replicas, maxSurge, maxUnavailable);
}
