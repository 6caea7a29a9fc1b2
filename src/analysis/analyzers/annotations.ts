// Annotations of Istio on Kubernetes objects: known ones, in the right place, with a value that means something.
import type { AnalysisContext, Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { knownAnnotations } from './annotation-table.ts';
import { annotationProblem } from './annotation-values.ts';

const annotatedKinds = ['Namespace', 'Service', 'Pod', 'Deployment'];

/** Written by Istio itself, wherever it sees fit. */
const ownAnnotations: ReadonlySet<string> = new Set([
  'sidecar.istio.io/status',
  'gateway.istio.io/controller-version',
  'istio.io/rev',
]);

/** What the deprecation of an annotation says more. */
const replacements: Readonly<Record<string, string>> = {
  'sidecar.istio.io/inject': '; use the label of the same name',
};

export const kubeAnnotations: Analyzer = {
  name: 'annotations.K8sAnalyzer',
  description: "Istio's annotations on Kubernetes objects are known, in place and well-formed",
  needs: annotatedKinds,
  run: (context) => {
    for (const kind of annotatedKinds)
      for (const object of context.objects.list(kind))
        for (const [name, value] of Object.entries(object.annotations))
          if (isOfIstio(name) && !ownAnnotations.has(name)) checkAnnotation(name, value, object, context);
  },
};

/** Only what some capture modes do without; the CNI plugin ignores these anyway. */
const capturedByInit: ReadonlySet<string> = new Set([
  'sidecar.istio.io/interceptionMode',
  'traffic.sidecar.istio.io/includeInboundPorts',
  'traffic.sidecar.istio.io/excludeInboundPorts',
  'traffic.sidecar.istio.io/includeOutboundIPRanges',
]);

/** Not run by default. */
export const alphaAnnotations: Analyzer = {
  name: 'annotations.AlphaAnalyzer',
  description: 'Annotations of features in alpha phase',
  needs: annotatedKinds,
  run: ({ objects, report }) => {
    for (const kind of annotatedKinds)
      for (const object of objects.list(kind)) {
        const hasInit =
          kind === 'Pod' &&
          (
            (object.body['spec'] as { initContainers?: { name: string }[] } | undefined)?.initContainers ?? []
          ).some(({ name }) => name === 'istio-init');
        for (const name of Object.keys(object.annotations)) {
          if (knownAnnotations.get(name)?.isAlpha !== true || !isOfIstio(name) || ownAnnotations.has(name))
            continue;
          if (kind === 'Pod' && !hasInit && capturedByInit.has(name)) continue;
          report(says.alphaAnnotation(name), object, 'metadata', 'annotations', name);
        }
      }
  },
};

function checkAnnotation(
  name: string,
  value: string,
  object: AnalysisObject,
  { report }: AnalysisContext,
): void {
  const path = ['metadata', 'annotations', name];
  const facts = knownAnnotations.get(name);
  if (facts === undefined) {
    report(says.unknownAnnotation(name), object, ...path);
    return;
  }
  // Where the label stands beside it, the annotation is for older versions.
  if (facts.isDeprecated && !(name === 'sidecar.istio.io/inject' && object.labels[name] !== undefined))
    report(says.deprecatedAnnotation(name, replacements[name] ?? ''), object, ...path);
  if (facts.kinds.includes('Any')) return;
  if (!facts.kinds.includes(object.kind)) {
    report(says.misplacedAnnotation(name, facts.kinds.join(', ')), object, ...path);
    return;
  }
  const problem = annotationProblem(name, value);
  if (problem !== undefined) report(says.invalidAnnotation(name, problem), object, ...path);
}

function isOfIstio(name: string): boolean {
  return name === 'kubernetes.io/ingress.class' || (name.split('/')[0] ?? '').endsWith('istio.io');
}
