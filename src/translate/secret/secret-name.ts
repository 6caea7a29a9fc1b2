// Names of secrets that the control plane has: where each is to be found.

export interface SecretName {
  /**
   * kubernetes: a Secret of the proxy's namespace. kubernetes-gateway: one that a Gateway of the Gateway API refers to,
   * of any namespace that grants it. configmap: certificates of authorities, which are no secret.
   */
  readonly scheme: 'kubernetes' | 'kubernetes-gateway' | 'configmap';
  readonly namespace: string;
  /** Of the Secret or ConfigMap; with `-cacert` as written. */
  readonly name: string;
  /** Whether certificates of authorities are meant: the name ends with `-cacert`, or it is a ConfigMap. */
  readonly isCa: boolean;
}

/** Added to a credential's name where its CA is meant. Source: Istio `SdsCaSuffix`. */
export const caSuffix = '-cacert';

/**
 * `kubernetes://NAME`, `kubernetes://NAMESPACE/NAME`, `kubernetes-gateway://NAMESPACE/NAME`,
 * `configmap://NAMESPACE/NAME`. The text says why it is none of these. Source: Istio `ParseResourceName`.
 */
export function parseSecretName(resourceName: string, proxyNamespace: string): SecretName | string {
  const [, scheme = '', rest = ''] = /^([a-z-]+):\/\/(.*)$/s.exec(resourceName) ?? [];
  if (scheme === 'invalid')
    return 'what it stands for was refused where it was written, so that nothing can be served';
  if (scheme === 'builtin') return 'the workload’s own certificate is its agent’s to serve';
  if (scheme !== 'kubernetes' && scheme !== 'kubernetes-gateway' && scheme !== 'configmap')
    return 'accepted are kubernetes://, kubernetes-gateway:// and configmap://';
  const parts = rest.split('/');
  const [first = '', second] = parts;
  const accepted = scheme === 'kubernetes' ? '[NAMESPACE/]NAME' : 'NAMESPACE/NAME';
  const isWhole = second === undefined ? scheme === 'kubernetes' : parts.length === 2;
  if (!isWhole || parts.includes('')) return `accepted is ${scheme}://${accepted}`;
  const [namespace, name] = second === undefined ? [proxyNamespace, first] : [first, second];
  return { scheme, namespace, name, isCa: scheme === 'configmap' || name.endsWith(caSuffix) };
}
