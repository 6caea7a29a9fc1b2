// `image: auto` is for injection to fill in: it must be going to.
import type { PodSpec } from '../../config/kube-types.ts';
import type { Analyzer } from '../analyzer.ts';
import { labelsAt, listAt, textAt, valueAt } from '../fields.ts';
import { says } from '../messages.ts';
import { specOf } from '../object.ts';
import { writtenSelectorMatches } from '../selector.ts';

export const imageAuto: Analyzer = {
  name: 'injection.ImageAutoAnalyzer',
  description: 'What has `image: auto` is going to be injected',
  needs: ['Namespace', 'Pod'],
  run: ({ objects, report }) => {
    const webhooks = objects
      .list('MutatingWebhookConfiguration')
      .flatMap(({ body }) => listAt(body, 'webhooks'))
      .filter((webhook) => textAt(webhook, 'name').endsWith('istio.io'));
    for (const object of objects.list('Pod'))
      if (hasAutoImage(specOf<PodSpec>(object)))
        report(says.imageAutoWithoutInjectionError('Pod', object.name), object, 'spec', 'containers');
    for (const object of objects.list('Deployment')) {
      const template = valueAt(object.body, 'spec', 'template');
      const spec = (valueAt(template, 'spec') ?? {}) as PodSpec;
      if (!hasAutoImage(spec)) continue;
      const namespaceLabels = objects.find('Namespace', '', object.namespace || 'default')?.labels ?? {};
      const isInjected = webhooks.some(
        (webhook) =>
          writtenSelectorMatches(valueAt(webhook, 'namespaceSelector'), namespaceLabels) &&
          writtenSelectorMatches(
            valueAt(webhook, 'objectSelector'),
            labelsAt(template, 'metadata', 'labels'),
          ),
      );
      if (!isInjected)
        report(
          says.imageAutoWithoutInjectionWarning('Deployment', object.name),
          object,
          'spec',
          'template',
          'spec',
          'containers',
        );
    }
  },
};

function hasAutoImage({ containers = [] }: Pick<PodSpec, 'containers'>): boolean {
  return containers.some(({ name, image }) => name === 'istio-proxy' && image === 'auto');
}
