// Which kinds there are: those that we read, and what is said of the others.
import { gatewayApiGroup, kindKey, kindName } from './config.ts';
import { gatewayApiDefaults } from './gateway-api-defaults.ts';
import { gatewayApiKinds, unreadGatewayKinds } from './gateway-api-schemas.ts';
import { ingressSchemas } from './ingress-types.ts';
import { istioKinds } from './istio-schemas.ts';
import { kubeSchemas } from './kube-schemas.ts';
import type { Report, Schema } from './schema.ts';
import { hintFor } from './schema.ts';
import { validators } from './semantic/validators.ts';
import { warnOfNoEffect } from './no-effect.ts';
import type { ObjectMeta, Validator } from './semantic/validator.ts';

/** A kind that we read. */
export interface Kind {
  readonly group: string;
  /** As `kindKey` gives it. */
  readonly kind: string;
  readonly versions: readonly string[];
  readonly isNamespaced: boolean;
  /** `spec`: Config.spec is the object's spec. `whole`: it is the object without apiVersion, kind, metadata. */
  readonly specIs: 'spec' | 'whole';
  /** Of the object without apiVersion, kind and metadata. */
  readonly schema: () => Schema;
  /** What the structure cannot say; called only with a structure that is right. */
  readonly validate: Validator | undefined;
  /** The object with what an API server would write into it; absent: it writes nothing that we read. */
  readonly withDefaults?: (object: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
}

/** What is to be done with a document. */
export type KindAnswer =
  | { readonly known: true; readonly kind: Kind }
  | {
      readonly known: false;
      readonly severity: 'error' | 'warning';
      readonly code: string;
      readonly message: string;
    };

/** Answers for any apiVersion and kind. */
export function lookUpKind(apiVersion: string, writtenKind: string): KindAnswer {
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const kind = kinds.get(`${group}/${writtenKind}`);
  if (kind !== undefined) {
    if (kind.versions.includes(version)) return { known: true, kind };
    const accepted = kind.versions.map((known) => (group === '' ? known : `${group}/${known}`));
    return refused(
      'error',
      'unknown-version',
      `${writtenKind} has no version ${apiVersion}; accepted: ${accepted.join(', ')}`,
    );
  }
  const unread = unreadGatewayKinds[`${group}/${writtenKind}`];
  if (unread !== undefined) return refused('error', 'not-supported', unread);
  if (unbuiltKinds.has(`${group}/${writtenKind}`))
    return refused('error', 'not-supported', `kind ${writtenKind} (${group}) is not supported yet`);
  if (isTrafficGroup(group)) {
    const names = kindNames(group);
    return refused(
      'error',
      'unknown-kind',
      `${group} has no kind ${writtenKind}${names.length === 0 ? '' : hintFor(writtenKind, names)}`,
    );
  }
  const elsewhere = [...kinds.values()].find((known) => known.kind === writtenKind);
  // A group with a dot may well have a kind of the same name (Knative's Service).
  if (elsewhere !== undefined && !group.includes('.'))
    return refused(
      'error',
      'unknown-version',
      `${writtenKind} is no kind of ${apiVersion}; accepted: ${elsewhere.versions.map((known) => (elsewhere.group === '' ? known : `${elsewhere.group}/${known}`)).join(', ')}`,
    );
  if (kubernetesGroups.has(group) || group.endsWith('.k8s.io')) {
    const names = [...kinds.values()].filter((known) => known.group === group).map((known) => known.kind);
    if (unreadKinds.has(writtenKind))
      return refused('warning', 'not-read', `kind ${writtenKind} (${apiVersion}) is not read`);
    return refused(
      'warning',
      'unknown-kind',
      `kind ${writtenKind} (${apiVersion}) is not read${names.length === 0 ? '' : hintFor(writtenKind, names)}`,
    );
  }
  return refused('warning', 'unknown-kind', `kind ${writtenKind} (${apiVersion}) is not read`);
}

/** Checks what is particular to a kind's fields, after their structure was found right. */
export function validateKind(
  kind: Kind,
  object: Readonly<Record<string, unknown>>,
  meta: ObjectMeta,
  report: Report,
): void {
  if (isTrafficGroup(kind.group)) refuseInternalAnnotations(meta, report);
  kind.validate?.(object, meta, report);
  warnOfNoEffect(kind.kind, object, meta, report);
}

/** With these an object would pass for one that was made of another, and reach its certificates. */
function refuseInternalAnnotations({ annotations }: ObjectMeta, report: Report): void {
  for (const name of ['internal.istio.io/parents', 'internal.istio.io/parent-namespace'])
    if (name in annotations)
      report({
        severity: 'error',
        code: 'wrong-value',
        message: 'may not be set by users',
        fieldPath: ['metadata', 'annotations', name],
      });
}

/** Kinds of Kubernetes that have no `spec`. */
const wholeKinds = new Set([
  'Namespace',
  'Node',
  'Endpoints',
  'EndpointSlice',
  'Secret',
  'ConfigMap',
  'ServiceAccount',
]);

/** The kinds that we read, by `group/Kind`. */
export const kinds: ReadonlyMap<string, Kind> = new Map(
  [
    ...['Namespace', 'Node', 'Service', 'Pod', 'Endpoints', 'Secret', 'ConfigMap', 'ServiceAccount'].map(
      (kind) => kubeKind('', kind, 'v1'),
    ),
    kubeKind('discovery.k8s.io', 'EndpointSlice', 'v1'),
    kubeKind('apps', 'Deployment', 'v1'),
    kubeKind('apps', 'StatefulSet', 'v1'),
    ...[
      'DestinationRule',
      'EnvoyFilter',
      'Gateway',
      'ProxyConfig',
      'ServiceEntry',
      'Sidecar',
      'VirtualService',
      'WorkloadEntry',
      'WorkloadGroup',
    ].map((kind) => istioKind('networking.istio.io', kind)),
    istioKind('security.istio.io', 'PeerAuthentication'),
    kubeKind('networking.k8s.io', 'Ingress', 'v1'),
    kubeKind('networking.k8s.io', 'IngressClass', 'v1'),
    ...Object.keys(gatewayApiKinds).map(gatewayApiKind),
  ].map((kind) => [`${kind.group}/${kindName(kind.kind)}`, kind]),
);

/** Kinds whose objects have no namespace. */
export const clusterKinds: ReadonlySet<string> = new Set(
  [...kinds.values()].filter(({ isNamespaced }) => !isNamespaced).map(({ kind }) => kind),
);

function kubeKind(group: string, kind: string, version: string): Kind {
  return {
    group,
    kind,
    versions: [version],
    isNamespaced: kind !== 'Namespace' && kind !== 'Node' && kind !== 'IngressClass',
    specIs: wholeKinds.has(kind) ? 'whole' : 'spec',
    schema: () => kubeSchemas[kind] ?? ingressSchemas[kind] ?? { type: 'any' },
    validate: validators[kind],
  };
}

function istioKind(group: string, kind: string): Kind {
  const generated = istioKinds.get(`${group}/${kind}`);
  if (generated === undefined) throw new Error(`no schema of ${group}/${kind}: run npm run build`);
  let schema: Schema | undefined;
  return {
    group,
    kind,
    versions: generated.versions,
    isNamespaced: true,
    specIs: 'spec',
    schema: () =>
      (schema ??= {
        type: 'object',
        properties: { spec: generated.spec, status: { type: 'any' } },
        required: ['spec'],
      }),
    validate: validators[kind],
  };
}

function gatewayApiKind(name: string): Kind {
  const known = gatewayApiKinds[name];
  if (known === undefined) throw new Error(`no schema of ${name}`);
  const kind = kindKey(gatewayApiGroup, name);
  const withDefaults = gatewayApiDefaults[name];
  return {
    group: gatewayApiGroup,
    kind,
    versions: known.versions,
    isNamespaced: known.isNamespaced,
    specIs: 'spec',
    schema: () => ({
      type: 'object',
      properties: { spec: known.spec, status: { type: 'any' } },
      required: ['spec'],
    }),
    validate: validators[kind],
    ...(withDefaults === undefined ? {} : { withDefaults }),
  };
}

/** Kinds that would change traffic or security, which we do not read yet: leaving them out is an error. */
const unbuiltKinds: ReadonlySet<string> = new Set([...istioKinds.keys(), 'install.istio.io/IstioOperator']);

function isTrafficGroup(group: string): boolean {
  return group.endsWith('.istio.io') || group.startsWith('gateway.networking.');
}

function kindNames(group: string): string[] {
  return [...new Set([...kinds.keys(), ...unbuiltKinds])]
    .filter((key) => key.startsWith(`${group}/`))
    .map((key) => key.slice(group.length + 1));
}

const kubernetesGroups: ReadonlySet<string> = new Set([
  '',
  'apps',
  'batch',
  'autoscaling',
  'policy',
  'extensions',
]);

/** Kubernetes kinds that do not concern us. */
const unreadKinds: ReadonlySet<string> = new Set([
  'ClusterRole',
  'ClusterRoleBinding',
  'ControllerRevision',
  'CronJob',
  'CustomResourceDefinition',
  'DaemonSet',
  'Event',
  'HorizontalPodAutoscaler',
  'Job',
  'Lease',
  'LimitRange',
  'MutatingWebhookConfiguration',
  'NetworkPolicy',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'PodDisruptionBudget',
  'PriorityClass',
  'ReplicaSet',
  'ReplicationController',
  'ResourceQuota',
  'Role',
  'RoleBinding',
  'StorageClass',
  'ValidatingWebhookConfiguration',
]);

function refused(severity: 'error' | 'warning', code: string, message: string): KindAnswer {
  return { known: false, severity, code, message };
}
