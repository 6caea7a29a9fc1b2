// Webhooks of injection and validation: they reach a control plane, and no pod is injected twice.
import { isIP } from 'node:net';
import type { Analyzer } from '../analyzer.ts';
import { labelsAt, listAt, textAt, textsAt, valueAt } from '../fields.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { writtenSelectorMatches } from '../selector.ts';

type Labels = Readonly<Record<string, string>>;

const revisionLabel = 'istio.io/rev';

interface Webhook {
  readonly object: AnalysisObject;
  readonly index: number;
  readonly value: unknown;
  readonly name: string;
}

export const injectionWebhooks: Analyzer = {
  name: 'webhook.Analyzer',
  description: 'Injection webhooks reach a control plane and do not overlap',
  needs: ['Service'],
  run: ({ objects, report }) => {
    const configurations = objects
      .list('MutatingWebhookConfiguration')
      .filter(
        (object) =>
          revisionsOf(object).length > 0 ||
          listAt(object.body, 'webhooks').some((webhook) => textAt(webhook, 'name').endsWith('istio.io')),
      );
    const webhooks: Webhook[] = configurations.flatMap((object) =>
      listAt(object.body, 'webhooks').map((value, index) => ({
        object,
        index,
        value,
        name: `${object.name}/${textAt(value, 'name')}`,
      })),
    );
    for (const [webhook, others] of overlaps(webhooks, [...new Set(configurations.flatMap(revisionsOf))]))
      report(
        says.invalidWebhook(`takes the same pods as ${others}: they may be injected twice`),
        webhook.object,
        'webhooks',
        webhook.index,
      );
    for (const { object, index, value } of webhooks) {
      if (valueAt(value, 'clientConfig', 'service') === undefined) continue;
      const namespace = textAt(value, 'clientConfig', 'service', 'namespace');
      const name = textAt(value, 'clientConfig', 'service', 'name');
      if (objects.find('Service', namespace, name) === undefined)
        report(
          says.invalidWebhook(`calls a control plane service that does not exist: ${namespace}/${name}`),
          object,
          'webhooks',
          index,
          'clientConfig',
          'service',
        );
    }
  },
};

/** Every webhook that takes the same pods as others, with each set of others. Pods of all usual labels are tried. */
function overlaps(
  webhooks: readonly Webhook[],
  revisions: readonly string[],
): readonly (readonly [Webhook, string])[] {
  const variants = (bases: readonly Labels[]): readonly Labels[] => [
    ...bases,
    ...revisions.flatMap((revision) => bases.map((base) => ({ ...base, [revisionLabel]: revision }))),
  ];
  const namespaces = variants([{}, { 'istio-injection': 'enabled' }, { 'istio-injection': 'disabled' }]);
  const pods = variants([{}, { 'sidecar.istio.io/inject': 'true' }, { 'sidecar.istio.io/inject': 'false' }]);
  const found = new Map<string, readonly [Webhook, string]>();
  for (const namespace of namespaces)
    for (const pod of pods) {
      const taking = webhooks.filter(
        ({ value }) =>
          writtenSelectorMatches(valueAt(value, 'namespaceSelector'), namespace) &&
          writtenSelectorMatches(valueAt(value, 'objectSelector'), pod),
      );
      for (const webhook of taking.length > 1 ? taking : []) {
        const others = taking
          .filter((other) => other !== webhook)
          .map(({ name }) => name)
          .sort()
          .join(', ');
        found.set(`${webhook.name} ${webhook.index} ${others}`, [webhook, others]);
      }
    }
  return [...found.values()];
}

function revisionsOf(object: AnalysisObject): readonly string[] {
  const own = object.labels[revisionLabel];
  const selected = listAt(object.body, 'webhooks').flatMap((webhook) =>
    ['namespaceSelector', 'objectSelector'].flatMap((field) => {
      const exact = labelsAt(webhook, field, 'matchLabels')[revisionLabel];
      const listed = listAt(webhook, field, 'matchExpressions')
        .filter((expression) => textAt(expression, 'key') === revisionLabel)
        .flatMap((expression) => textsAt(expression, 'values'));
      return exact === undefined ? listed : [exact, ...listed];
    }),
  );
  return own === undefined ? selected : [own, ...selected];
}

export const externalControlPlane: Analyzer = {
  name: 'externalcontrolplane.ExternalControlPlaneAnalyzer',
  description: 'Webhooks of a cluster without a control plane of its own name one outside',
  run: ({ objects, report }) => {
    const configurations = [
      ...objects
        .list('ValidatingWebhookConfiguration')
        .filter(({ name }) => name === 'istiod-default-validator' || name.startsWith('istio-validator')),
      ...objects
        .list('MutatingWebhookConfiguration')
        .filter(({ name }) => name.startsWith('istio-sidecar-injector')),
    ];
    for (const object of configurations)
      for (const [index, webhook] of listAt(object.body, 'webhooks').entries()) {
        const url = valueAt(webhook, 'clientConfig', 'url');
        const name = textAt(webhook, 'name');
        const path = ['webhooks', index, 'clientConfig'];
        if (typeof url !== 'string') {
          if (valueAt(webhook, 'clientConfig', 'service') === undefined)
            report(says.invalidExternalControlPlaneConfig('', name, 'is blank'), object, ...path);
        } else if (!URL.canParse(url))
          report(says.invalidExternalControlPlaneConfig(url, name, 'is no URL'), object, ...path, 'url');
        else if (isIP(new URL(url).hostname.replaceAll(/^\[|\]$/g, '')) !== 0)
          report(says.externalControlPlaneAddressIsNotAHostname(url, name), object, ...path, 'url');
      }
  },
};
