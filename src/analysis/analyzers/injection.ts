// Injection of sidecars: what namespaces ask for, and whether their pods have it.
import type { ConfigMap, PodSpec } from '../../config/kube-types.ts';
import { parseDocument } from '../../config/yaml-document.ts';
import type { ProxyConfigSpec } from '../../api/gen/istio-types.js';
import type { AnalysisContext, Analyzer } from '../analyzer.ts';
import { textAt, valueAt } from '../fields.ts';
import { says } from '../messages.ts';
import type { AnalysisObject, Objects } from '../object.ts';
import { fullName, specOf } from '../object.ts';
import { proxyImageOf } from '../pods.ts';
import { selects } from '../selector.ts';

const injectionLabel = 'istio-injection';
const revisionLabel = 'istio.io/rev';
const modeLabel = 'istio.io/dataplane-mode';

export const injection: Analyzer = {
  name: 'injection.Analyzer',
  description: 'Namespaces say clearly whether pods get sidecars, and pods have what they say',
  needs: ['Namespace'],
  run: ({ objects, report }) => {
    const injected = new Set<string>();
    for (const object of objects.list('Namespace')) {
      if (object.name === 'istio-system') continue;
      const { labels } = object;
      const asked = labels[injectionLabel];
      const said = [
        ...(asked === undefined ? [] : [`${injectionLabel}=${asked}`]),
        ...[revisionLabel, modeLabel]
          .filter((name) => labels[name] !== undefined && (asked === undefined || asked === 'enabled'))
          .map((name) => `${name}=${labels[name] ?? ''}`),
      ];
      if (said.length > 1) report(says.namespaceMultipleInjectionLabels(said), object, 'metadata', 'labels');
      if (labels[modeLabel] === 'ambient') continue;
      if ((asked ?? '') === '' && labels[revisionLabel] === undefined) {
        const saying = isEnabledByDefault(objects)
          ? says.namespaceInjectionEnabledByDefault()
          : says.namespaceNotInjected(object.name);
        report(saying, object, 'metadata', 'name');
      } else if (asked === 'enabled') injected.add(object.name);
    }
    for (const object of objects.list('Pod')) {
      const spec = specOf<PodSpec>(object);
      const word =
        object.labels['sidecar.istio.io/inject'] ?? object.annotations['sidecar.istio.io/inject'] ?? '';
      const wants =
        injected.has(object.namespace) && word.toLowerCase() !== 'false' && spec.hostNetwork !== true;
      if (wants && proxyImageOf(spec) === '')
        report(says.podMissingProxy(fullName(object)), object, 'spec', 'containers');
    }
  },
};

export const proxyImages: Analyzer = {
  name: 'injection.ImageAnalyzer',
  description: 'Sidecars run the image that injection gives now',
  needs: ['Pod'],
  run: (context) => {
    const { objects, report } = context;
    const images = new Map(
      objects
        .list('ConfigMap')
        .filter(({ name }) => name.startsWith('istio-sidecar-injector'))
        .map((object) => [object.name, injectedImage(object)]),
    );
    for (const namespace of objects.list('Namespace')) {
      const revision = namespace.labels[revisionLabel];
      if (namespace.labels[injectionLabel] !== 'enabled' && revision === undefined) continue;
      const image = images.get(injectorName(revision ?? ''));
      if (image === undefined) continue;
      const outdated = objects
        .list('Pod')
        .filter((pod) => pod.namespace === namespace.name && !runs(pod, image, context))
        .map(({ name }) => name);
      if (outdated.length > 0)
        report(says.podsIstioProxyImageMismatchInNamespace(outdated.sort()), namespace, 'metadata', 'name');
    }
  },
};

function injectorName(revision: string): string {
  return revision === '' || revision === 'default'
    ? 'istio-sidecar-injector'
    : `istio-sidecar-injector-${revision}`;
}

function isEnabledByDefault(objects: Objects): boolean {
  const object = objects.list('ConfigMap').find(({ name }) => name === injectorName(''));
  const values = object === undefined ? undefined : valuesOf(object);
  return valueAt(values, 'sidecarInjectorWebhook', 'enableNamespacesByDefault') === true;
}

/** Helm's values, as the injector keeps them. */
function valuesOf({ body }: AnalysisObject): unknown {
  const text = (body as ConfigMap).data?.['values'] ?? '';
  return parseDocument(text).value;
}

function injectedImage(object: AnalysisObject): string {
  const values = valuesOf(object);
  const image = textAt(values, 'global', 'proxy', 'image');
  return image.includes('/')
    ? image
    : `${textAt(values, 'global', 'hub')}/${image}:${textAt(values, 'global', 'tag')}`;
}

/** Whether the pod's sidecar, if it has one and does not choose its image itself, runs the image or its variant. */
function runs(pod: AnalysisObject, image: string, context: AnalysisContext): boolean {
  const own = proxyImageOf(specOf<PodSpec>(pod));
  if (own === '' || (pod.annotations['sidecar.istio.io/proxyImage'] ?? '') !== '') return true;
  return own === image || own === `${image}-${imageType(pod, context)}`;
}

/** The variant of the image (`distroless`), by mesh, namespace, workload and pod: the nearest that says one. */
function imageType(pod: AnalysisObject, { objects, mesh }: AnalysisContext): string {
  let type = mesh.imageType;
  const take = (next: string | undefined): void => {
    if (next !== undefined && next !== '') type = next;
  };
  const all = objects
    .list('ProxyConfig')
    .map((object) => ({ ...object, spec: specOf<ProxyConfigSpec>(object) }));
  const named = all.filter(
    ({ namespace }) => namespace === pod.namespace && namespace !== mesh.rootNamespace,
  );
  for (const { spec } of all.filter(({ namespace }) => namespace === mesh.rootNamespace))
    take(spec.image?.imageType);
  for (const { spec } of named) if (spec.selector === undefined) take(spec.image?.imageType);
  for (const { spec } of named)
    if (spec.selector !== undefined && selects(spec.selector.matchLabels, pod.labels))
      take(spec.image?.imageType);
  take(textAt(parseDocument(pod.annotations['proxy.istio.io/config'] ?? '').value, 'image', 'imageType'));
  return type === 'default' ? '' : type;
}
