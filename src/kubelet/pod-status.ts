// A pod of this machine as the v1 Pod that the rest of the mesh reads.
import { describeExit } from '../agent/supervised-process.ts';
import type { Config } from '../config/config.ts';
import type { PodSpec, PodStatus } from '../config/kube-types.ts';
import type { FieldPath } from '../model/origin.ts';
import type { ContainerRun } from './container-run.ts';
import type { LocalPod } from './pod.ts';
import { proxyContainer } from './pod-factory.ts';
import type { Workload } from './workloads.ts';

/** `status` of a Pod as we write it. */
export interface ReportedPodStatus extends PodStatus {
  readonly containerStatuses: readonly ContainerStatus[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  /** One of waiting, running and terminated, as in Kubernetes. */
  readonly state: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
}

/** The object that stands in the store for a pod. It points at the workload's place in the user's YAML. */
export function podConfig(pod: LocalPod, workload: Workload): Config<PodSpec> {
  const { facts } = pod;
  const controller = controllerOf(workload);
  return {
    group: '',
    version: 'v1',
    kind: 'Pod',
    namespace: facts.namespace,
    name: facts.name,
    labels: facts.labels,
    annotations: facts.annotations,
    creationTimeMs: pod.createdMs,
    ...(pod.deletionMs === undefined ? {} : { deletionTimeMs: pod.deletionMs }),
    ...(controller === undefined ? {} : { controller }),
    spec: {
      ...workload.template.spec,
      serviceAccountName: facts.serviceAccountName,
      nodeName: facts.machineName,
    },
    status: podStatus(pod),
    locate: (path: FieldPath) => workload.config.locate([...workload.templatePath, ...path]),
  };
}

export function podStatus(pod: LocalPod): ReportedPodStatus {
  const { podIp } = pod.facts.addresses;
  const ready = pod.ready ? 'True' : 'False';
  const initialized = pod.state === 'waiting' || pod.state === 'initializing' ? 'False' : 'True';
  return {
    phase: phaseOf(pod),
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    hostIP: '127.0.0.1',
    conditions: [
      { type: 'PodScheduled', status: 'True' },
      { type: 'Initialized', status: initialized },
      { type: 'ContainersReady', status: ready },
      { type: 'Ready', status: ready },
    ],
    containerStatuses: [
      ...pod.containers.map(containerStatus),
      ...refusedStatuses(pod),
      ...proxyStatuses(pod),
    ],
  };
}

/** A Deployment's pods belong to a ReplicaSet, which exists by name alone. */
function controllerOf(workload: Workload): Config['controller'] {
  if (workload.kind === 'Pod') return undefined;
  if (workload.kind === 'StatefulSet') return { kind: 'StatefulSet', name: workload.config.name };
  return { kind: 'ReplicaSet', name: `${workload.config.name}-${workload.templateHash}` };
}

function phaseOf(pod: LocalPod): NonNullable<PodStatus['phase']> {
  if (pod.state === 'waiting' || pod.state === 'initializing') return 'Pending';
  if (pod.containers.length === 0) return pod.proxy === undefined ? 'Pending' : 'Running';
  const completed = pod.containers.filter((container) => container.state === 'completed');
  if (completed.length < pod.containers.length) return 'Running';
  return completed.every((container) => container.lastExit?.code === 0) ? 'Succeeded' : 'Failed';
}

function containerStatus(container: ContainerRun): ContainerStatus {
  return {
    name: container.name,
    ready: container.ready,
    started: container.started,
    restartCount: container.restarts,
    state: containerState(container),
  };
}

function containerState(container: ContainerRun): ContainerStatus['state'] {
  const { lastExit } = container;
  if (container.state === 'created') return { waiting: { reason: 'PodInitializing' } };
  if (container.state === 'running' || container.state === 'stopping') return { running: {} };
  if (container.state === 'backoff') {
    const message = lastExit === undefined ? '' : describeExit(lastExit);
    return { waiting: { reason: 'CrashLoopBackOff', message } };
  }
  const exitCode = lastExit?.code ?? 137;
  return { terminated: { exitCode, reason: exitCode === 0 ? 'Completed' : 'Error' } };
}

/** Containers that could not be started at all. */
function refusedStatuses(pod: LocalPod): ContainerStatus[] {
  const names = [...new Set(pod.problems.map(({ container }) => container))];
  return names.map((name) => ({
    name,
    ready: false,
    started: false,
    restartCount: 0,
    state: {
      waiting: {
        reason: 'CreateContainerConfigError',
        message: pod.problems
          .filter(({ container }) => container === name)
          .map(({ problem }) => problem.message)
          .join('; '),
      },
    },
  }));
}

function proxyStatuses({ proxy }: LocalPod): ContainerStatus[] {
  if (proxy === undefined) return [];
  return [
    {
      name: proxyContainer,
      ready: proxy.ready,
      started: proxy.ready,
      restartCount: proxy.process.restarts,
      state:
        proxy.process.state === 'running' ? { running: {} } : { waiting: { reason: 'CrashLoopBackOff' } },
    },
  ];
}
