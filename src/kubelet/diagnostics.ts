// What a user's workload asks for that cannot be done here: positions, field paths and English.
import type { Diagnostic } from '../config/config.ts';
import type { Container } from '../config/kube-types.ts';
import type { FieldPath } from '../model/origin.ts';
import type { LocalPod } from './pod.ts';
import type { Workload } from './workloads.ts';

/** What is wrong with a workload, its pods of the current template considered. */
export function workloadDiagnostics(
  workload: Workload,
  pods: readonly LocalPod[],
  firstOpenPort: number,
): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const seen = new Set<string>();
  const report = (severity: Diagnostic['severity'], path: FieldPath, message: string): void => {
    const fieldPath = [...workload.templatePath, ...path];
    const key = `${fieldPath.join('.')}: ${message}`;
    if (seen.has(key)) return;
    seen.add(key);
    const { config } = workload;
    diagnostics.push({
      severity,
      code: 'not-runnable',
      message,
      position: config.locate(fieldPath),
      object: { kind: config.kind, namespace: config.namespace, name: config.name },
      fieldPath,
    });
  };
  // Every replica has the same problems: each is said once.
  for (const pod of pods)
    for (const { problem } of pod.problems) report('error', problem.path, problem.message);
  for (const name of unsupportedAnnotations(workload))
    report('warning', ['metadata', 'annotations', name], 'this annotation is not supported');
  if (workload.isGateway) return diagnostics;
  const containers = workload.template.spec?.containers ?? [];
  for (const [index, container] of containers.entries()) {
    for (const [portIndex, port] of (container.ports ?? []).entries()) {
      if (port.containerPort >= firstOpenPort) continue;
      report(
        'warning',
        ['spec', 'containers', index, 'ports', portIndex, 'containerPort'],
        `you may not listen on port ${port.containerPort} of this machine; use a port from ${firstOpenPort} on, or allow it once with: sudo sysctl net.ipv4.ip_unprivileged_port_start=0`,
      );
    }
    if ('lifecycle' in container) {
      report(
        'warning',
        ['spec', 'containers', index, 'lifecycle'],
        `container ${container.name}: its hooks are not run; the command may trap SIGTERM`,
      );
    }
    for (const mount of mountsWithContent(container, workload)) {
      report(
        'warning',
        ['spec', 'containers', index, 'volumeMounts', mount.index],
        `container ${container.name}: ${mount.path} is not mounted: local processes see this machine's own files`,
      );
    }
  }
  return diagnostics;
}

/** Annotations of Istio's that change what a sidecar does, and that are not heard here. */
function unsupportedAnnotations({ template }: Workload): string[] {
  return Object.keys(template.metadata?.annotations ?? {}).filter(
    (name) =>
      /^(sidecar|traffic\.sidecar|proxy|inject|readiness\.status\.sidecar|status\.sidecar)\.istio\.io\//.test(
        name,
      ) && !supportedAnnotations.has(name),
  );
}

const supportedAnnotations = new Set([
  'sidecar.istio.io/inject',
  'sidecar.istio.io/status',
  'inject.istio.io/templates',
]);

/** Mounts of volumes that carry something; an emptyDir is a place to write, which this machine has. */
function mountsWithContent(container: Container, workload: Workload): { index: number; path: string }[] {
  const volumes = workload.template.spec?.volumes ?? [];
  return (container.volumeMounts ?? []).flatMap(({ name, mountPath }, index) => {
    const volume = volumes.find((candidate) => candidate.name === name);
    return volume?.emptyDir === undefined ? [{ index, path: mountPath }] : [];
  });
}
