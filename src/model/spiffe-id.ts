// Names of workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.

export interface SpiffeId {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Kubernetes allows 63 characters of a namespace and 253 of a service account; SPIFFE 2048 bytes of a name. */
const lengthMax = 2048;

/** Undefined for everything that is no workload's name in Istio's form. Source: Istio `spiffe.ParseIdentity`. */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > lengthMax) return undefined;
  const [, trustDomain, namespace, serviceAccount] = pattern.exec(text) ?? [];
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined) return undefined;
  return { trustDomain, namespace, serviceAccount };
}

/** Nothing that has a meaning in a URI, a log line or a pattern: what Kubernetes and SPIFFE allow in these names. */
const pattern =
  /^spiffe:\/\/([A-Za-z0-9._:-]+)\/ns\/([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)\/sa\/([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)$/;

/** `spiffe://cluster.local/ns/default/sa/reviews` */
export function formatSpiffeId({ trustDomain, namespace, serviceAccount }: SpiffeId): string {
  // A domain that is an account's address (`id@project`) is written with dots.
  return `spiffe://${trustDomain.replaceAll('@', '.')}/ns/${namespace}/sa/${serviceAccount}`;
}
