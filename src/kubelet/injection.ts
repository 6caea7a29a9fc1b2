// Whether a pod gets a sidecar: Istio's decision, without a webhook.
//
// The rules are those of the selectors of the webhook `istio-sidecar-injector` (which pods reach it)
// and of `injectRequired` behind it (istio/istio pkg/kube/inject), for one control plane whose
// revision is `default` and whose policy is `enabled`.

export interface InjectionSubject {
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly podLabels: Readonly<Record<string, string>>;
  readonly podAnnotations: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
}

/** What runs beside (or instead of) the app. `gateway`: the pod is a router of its own. */
export type Injection =
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'sidecar' }
  | { readonly kind: 'gateway' };

const injectKey = 'sidecar.istio.io/inject';
const templatesKey = 'inject.istio.io/templates';
const namespaceKey = 'istio-injection';
const revisionKey = 'istio.io/rev';

/** Kubernetes' own namespaces are never injected (Istio: `IgnoredNamespaces`). */
const ignoredNamespaces = new Set(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage']);

export function decideInjection(subject: InjectionSubject): Injection {
  const reason = reasonAgainst(subject);
  if (reason !== undefined) return { kind: 'none', reason };
  return wantsGateway(subject.podAnnotations) ? { kind: 'gateway' } : { kind: 'sidecar' };
}

/** Whether a pod template asks to be a gateway: `inject.istio.io/templates: gateway`. */
export function wantsGateway(podAnnotations: Readonly<Record<string, string>>): boolean {
  return (podAnnotations[templatesKey] ?? '')
    .split(',')
    .map((name) => name.trim())
    .includes('gateway');
}

function reasonAgainst(subject: InjectionSubject): string | undefined {
  const { namespace, podLabels, podAnnotations } = subject;
  if (ignoredNamespaces.has(namespace)) return `namespace ${namespace} is never injected`;
  if (subject.hostNetwork) return 'hostNetwork: true';
  const notSelected = reasonNotSelected(subject);
  if (notSelected !== undefined) return notSelected;
  // Behind the webhook the label counts before the annotation.
  const wish = podLabels[injectKey] ?? podAnnotations[injectKey] ?? '';
  if (wish === '' || isYes(wish)) return undefined;
  const where = podLabels[injectKey] !== undefined ? 'label' : 'annotation';
  return `pod ${where} ${injectKey}: ${wish}`;
}

/** Why the webhook would not be asked at all. */
function reasonNotSelected({ namespace, namespaceLabels, podLabels }: InjectionSubject): string | undefined {
  const ofNamespace = namespaceLabels[namespaceKey];
  if (podLabels[injectKey] === 'false') return `pod label ${injectKey}: false`;
  if (ofNamespace === 'enabled') return undefined;
  if (ofNamespace !== undefined) return `namespace ${namespace} has ${namespaceKey}: ${ofNamespace}`;
  const revision = namespaceLabels[revisionKey];
  if (revision !== undefined)
    return revision === 'default' ? undefined : `namespace ${namespace} belongs to revision ${revision}`;
  if (podLabels[injectKey] === 'true' || podLabels[revisionKey] === 'default') return undefined;
  return `namespace ${namespace} has no label ${namespaceKey}: enabled`;
}

/** The words that Istio takes for yes. */
function isYes(value: string): boolean {
  return ['y', 'yes', 'true', 'on'].includes(value.toLowerCase());
}
