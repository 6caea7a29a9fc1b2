// AuthorizationPolicies apply to workloads that are there, and name namespaces that are there.
import type { AuthorizationPolicySpec } from '../../api/gen/istio-types.js';
import type { AnalysisContext, Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { specOf } from '../object.ts';
import { isAmbientPod, isInMesh, podsOf } from '../pods.ts';
import { selectorText, selects } from '../selector.ts';

type Labels = Readonly<Record<string, string>>;

export const authorizationPolicies: Analyzer = {
  name: 'auth.AuthorizationPoliciesAnalyzer',
  description: 'AuthorizationPolicies apply to workloads and name namespaces that exist',
  needs: ['Namespace', 'Pod', 'Deployment', 'StatefulSet'],
  run: (context) => {
    const workloads = podsOf(context.objects).filter(
      (pod) => isInMesh(pod, context.objects) || isAmbientPod(pod),
    );
    for (const object of context.objects.list('AuthorizationPolicy')) {
      checkWorkloads(object, workloads, context);
      checkNamespaces(object, context);
    }
  },
};

function checkWorkloads(
  object: AnalysisObject,
  workloads: readonly { readonly namespace: string; readonly labels: Labels }[],
  { mesh, report }: AnalysisContext,
): void {
  const { selector } = specOf<AuthorizationPolicySpec>(object);
  const isMeshWide = object.namespace === mesh.rootNamespace;
  if (isMeshWide && selector === undefined) return;
  const labels = selector?.matchLabels;
  const applies = workloads.some(
    (pod) => (isMeshWide || pod.namespace === object.namespace) && selects(labels, pod.labels),
  );
  if (!applies) report(says.noMatchingWorkloadsFound(selectorText(labels)), object, 'spec', 'selector');
}

function checkNamespaces(object: AnalysisObject, { objects, report }: AnalysisContext): void {
  for (const [ruleIndex, rule] of (specOf<AuthorizationPolicySpec>(object).rules ?? []).entries())
    for (const [fromIndex, { source }] of (rule.from ?? []).entries())
      for (const field of ['namespaces', 'notNamespaces'] as const)
        for (const [index, namespace] of (source?.[field] ?? []).entries())
          if (!isNamespace(namespace, objects))
            report(
              says.referencedResourceNotFound('namespace', namespace),
              object,
              'spec',
              'rules',
              ruleIndex,
              'from',
              fromIndex,
              'source',
              field,
              index,
            );
}

/** `*` stands for any text at the start or at the end. */
function isNamespace(pattern: string, objects: Objects): boolean {
  if (pattern === '*') return objects.list('Namespace').length > 0;
  return objects.list('Namespace').some(({ name }) => {
    if (pattern.startsWith('*')) return name.endsWith(pattern.slice(1));
    if (pattern.endsWith('*')) return name.startsWith(pattern.slice(0, -1));
    return name.toLowerCase() === pattern.toLowerCase();
  });
}
