// Sidecars: each applies to something, and no two to the same pod.
import type { SidecarSpec } from '../../api/gen/istio-types.js';
import type { AnalysisContext, Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { specOf } from '../object.ts';
import type { AnalyzedPod } from '../pods.ts';
import { isAmbientPod, podsOf } from '../pods.ts';
import { selectorText, selects } from '../selector.ts';

export const sidecarSelectors: Analyzer = {
  name: 'sidecar.SelectorAnalyzer',
  description: 'Sidecars with a selector select a pod, and no two Sidecars the same',
  needs: ['Pod', 'Deployment', 'StatefulSet', 'Namespace'],
  run: (context) => {
    const sidecars = context.objects.list('Sidecar');
    const withSelector = sidecars.filter((object) => Object.keys(selectorOf(object)).length > 0);
    checkSelectors(withSelector, context);
    checkDefaults(
      sidecars.filter((object) => !withSelector.includes(object)),
      context,
    );
  },
};

function selectorOf(object: AnalysisObject): Readonly<Record<string, string>> {
  return specOf<SidecarSpec>(object).workloadSelector?.labels ?? {};
}

function checkSelectors(sidecars: readonly AnalysisObject[], { objects, report }: AnalysisContext): void {
  const selected = new Map<AnalyzedPod, AnalysisObject[]>();
  const pods = podsOf(objects);
  for (const object of sidecars) {
    const selector = selectorOf(object);
    const own = pods.filter(
      ({ namespace, labels }) => namespace === object.namespace && selects(selector, labels),
    );
    for (const pod of own) selected.set(pod, [...(selected.get(pod) ?? []), object]);
    const [first] = Object.keys(selector).sort();
    if (own.length === 0)
      report(
        says.referencedResourceNotFound('selector', selectorText(selector)),
        object,
        'spec',
        'workloadSelector',
        'labels',
        first ?? '',
      );
  }
  const idle = new Set<AnalysisObject>();
  const conflicting = new Set<string>();
  for (const [pod, rivals] of selected)
    for (const object of rivals) {
      if (isAmbientPod(pod)) {
        if (!idle.has(object))
          report(
            says.ineffectivePolicy('the selected workload is in ambient mode'),
            object,
            'metadata',
            'name',
          );
        idle.add(object);
        continue;
      }
      const names = rivals.map(({ name }) => name).sort();
      const key = `${object.name}/${pod.name}`;
      if (rivals.length < 2 || conflicting.has(key)) continue;
      conflicting.add(key);
      report(
        says.conflictingSidecarWorkloadSelectors(names, pod.namespace, pod.name),
        object,
        'metadata',
        'name',
      );
    }
}

/** Sidecars that are for all workloads of their namespace. */
function checkDefaults(sidecars: readonly AnalysisObject[], { objects, report }: AnalysisContext): void {
  for (const object of sidecars) {
    const namespace = objects.find('Namespace', '', object.namespace);
    const isAmbient =
      namespace?.labels['istio.io/dataplane-mode'] === 'ambient' &&
      namespace.labels['istio-injection'] !== 'enabled' &&
      (namespace.labels['istio.io/rev'] ?? '') === '';
    const rivals = sidecars.filter((other) => other.namespace === object.namespace);
    if (isAmbient)
      report(says.ineffectivePolicy('the namespace is in ambient mode'), object, 'metadata', 'name');
    else if (rivals.length > 1)
      report(
        says.multipleSidecarsWithoutWorkloadSelectors(
          rivals.map(({ name }) => name).sort(),
          object.namespace,
        ),
        object,
        'metadata',
        'name',
      );
  }
}
