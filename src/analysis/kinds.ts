// The kinds that analyzers ask for.

export interface AnalyzedKind {
  readonly group: string;
  readonly kind: string;
  /** There is one of a name in the whole cluster. */
  readonly isClusterWide?: true;
  /** Lives in a cluster rather than in files, for istioctl: left out of files unless a whole mesh is analyzed. */
  readonly isLive?: true;
}

const kubeKinds: readonly AnalyzedKind[] = [
  { group: '', kind: 'Namespace', isClusterWide: true, isLive: true },
  { group: '', kind: 'Node', isClusterWide: true, isLive: true },
  { group: '', kind: 'Service', isLive: true },
  { group: '', kind: 'Pod', isLive: true },
  { group: '', kind: 'Secret', isLive: true },
  { group: '', kind: 'ConfigMap' },
  { group: 'apps', kind: 'Deployment' },
  { group: 'apps', kind: 'StatefulSet' },
  { group: 'admissionregistration.k8s.io', kind: 'MutatingWebhookConfiguration', isClusterWide: true },
  { group: 'admissionregistration.k8s.io', kind: 'ValidatingWebhookConfiguration', isClusterWide: true },
  { group: 'apiextensions.k8s.io', kind: 'CustomResourceDefinition', isClusterWide: true },
];

const istioKindNames: readonly (readonly [group: string, kinds: readonly string[]])[] = [
  [
    'networking.istio.io',
    [
      'DestinationRule',
      'EnvoyFilter',
      'Gateway',
      'ProxyConfig',
      'ServiceEntry',
      'Sidecar',
      'VirtualService',
      'WorkloadEntry',
      'WorkloadGroup',
    ],
  ],
  ['security.istio.io', ['AuthorizationPolicy', 'PeerAuthentication', 'RequestAuthentication']],
  ['telemetry.istio.io', ['Telemetry']],
  ['extensions.istio.io', ['WasmPlugin']],
  ['gateway.networking.k8s.io', ['Gateway', 'HTTPRoute', 'GRPCRoute']],
];

export const analyzedKinds: readonly AnalyzedKind[] = [
  ...kubeKinds,
  ...istioKindNames.flatMap(([group, kinds]) => kinds.map((kind) => ({ group, kind }))),
];

/** The kind of an apiVersion and kind, whatever its version; undefined for what no analyzer looks at. */
export function analyzedKind(apiVersion: string, kindName: string): AnalyzedKind | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  return analyzedKinds.find((one) => one.group === group && one.kind === kindName);
}
