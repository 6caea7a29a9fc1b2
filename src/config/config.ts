// A user's object, whatever store it came from.
import type { FieldPath, Origin } from '../model/origin.ts';
import { formatFieldPath, originAt } from '../model/origin.ts';
import type {
  DestinationRuleSpec,
  EnvoyFilterSpec,
  GatewaySpec,
  PeerAuthenticationSpec,
  ProxyConfigSpec,
  ServiceEntrySpec,
  SidecarSpec,
  VirtualServiceSpec,
  WorkloadEntrySpec,
} from '../api/gen/istio-types.js';

/** A place in a text; line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Config<Spec = unknown> {
  readonly group: string;
  /** The version that the user wrote; the spec means the same in all of them. */
  readonly version: string;
  /** As `kindKey` gives it. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch; 0 where the object has none (files usually have none). */
  readonly creationTimeMs: number;
  /** metadata.deletionTimestamp, as milliseconds since the epoch: present on what is going away (Pods that drain). */
  readonly deletionTimeMs?: number;
  /** metadata.ownerReferences that are controllers: a Pod's ReplicaSet or StatefulSet. */
  readonly controller?: { readonly kind: string; readonly name: string };
  /**
   * The object's `spec`. Kinds without one (Endpoints, EndpointSlice, ConfigMap, Secret...) have the
   * whole object here, without apiVersion, kind and metadata.
   */
  readonly spec: Spec;
  /** The object's `status`, for kinds in which we read it (Pod). */
  readonly status?: unknown;
  /** The Kubernetes cluster that it was read from; absent: the mesh's own, where its configuration is. */
  readonly clusterId?: string;
  /** Which version of the spec the API server gave this: metadata.generation. Absent: 0 (files have none). */
  readonly generation?: number;
  /** Of an object that we made of users' objects: where it and its parts come from. */
  readonly madeOf?: MadeOf;
  /** Finds a field's place in the user's text; the nearest parent that stands in the text if it is absent. */
  readonly locate: (path: FieldPath) => Position;
}

/** Users' objects behind a made one. */
export interface MadeOf {
  readonly whole: Origin;
  /** By the path of a part of the made object, joined by `/`: `spec/http/0`. */
  readonly parts: Readonly<Record<string, Origin>>;
  /** Whether a part's fields are those of the object that it comes from (merged VirtualServices). */
  readonly sameFields?: boolean;
}

export type VirtualServiceConfig = Config<VirtualServiceSpec>;
export type DestinationRuleConfig = Config<DestinationRuleSpec>;
export type GatewayConfig = Config<GatewaySpec>;
export type ServiceEntryConfig = Config<ServiceEntrySpec>;
export type WorkloadEntryConfig = Config<WorkloadEntrySpec>;
export type SidecarConfig = Config<SidecarSpec>;
export type EnvoyFilterConfig = Config<EnvoyFilterSpec>;
export type PeerAuthenticationConfig = Config<PeerAuthenticationSpec>;
export type ProxyConfigConfig = Config<ProxyConfigSpec>;

/**
 * The name by which we know a kind: Kubernetes' own. Two groups have a Gateway: that of the Gateway API is
 * `Gateway.gateway.networking.k8s.io`, as kubectl writes it where it must be told apart.
 */
export function kindKey(group: string, kind: string): string {
  return kind === 'Gateway' && group === gatewayApiGroup ? kubeGatewayKind : kind;
}

/** The kind as it stands in YAML. */
export function kindName(kind: string): string {
  return kind === kubeGatewayKind ? 'Gateway' : kind;
}

export const gatewayApiGroup = 'gateway.networking.k8s.io';
/** The kind of a Gateway of the Gateway API; `Gateway` alone is Istio's. */
export const kubeGatewayKind = `Gateway.${gatewayApiGroup}`;

/** `Kind/namespace/name`: one object of one store; the kind is one of `kindKey`. Of another cluster, with that at its end. */
export function configKey(config: Pick<Config, 'kind' | 'namespace' | 'name' | 'clusterId'>): string {
  const key = `${config.kind}/${config.namespace}/${config.name}`;
  return config.clusterId === undefined ? key : `${key}@${config.clusterId}`;
}

/** The field of the user's object; of a made object what it was made of. */
export function originOf(config: Config, ...fieldPath: readonly (string | number)[]): Origin {
  if (config.madeOf !== undefined) return originOfPart(config.madeOf, fieldPath);
  return { kind: config.kind, namespace: config.namespace, name: config.name, fieldPath };
}

/** An object of networking.istio.io/v1 that we make of users' objects. Equal arguments give equal objects. */
export function madeConfig<Spec>(part: {
  readonly kind: 'DestinationRule' | 'Gateway' | 'VirtualService';
  readonly namespace: string;
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly creationTimeMs: number;
  readonly spec: Spec;
  readonly madeOf: MadeOf;
}): Config<Spec> {
  return { group: 'networking.istio.io', version: 'v1', labels: {}, ...part, locate: madeAt };
}

/** One function for all, so that equal objects are equal. Places are found through `originOf`. */
function madeAt(): Position {
  return { file: '<made>', line: 1, column: 1 };
}

function originOfPart({ whole, parts, sameFields = false }: MadeOf, fieldPath: FieldPath): Origin {
  for (let length = fieldPath.length; length > 0; length--) {
    const part = parts[fieldPath.slice(0, length).join('/')];
    if (part !== undefined)
      return originAt(sameFields ? part : { parts: {}, ...part }, ...fieldPath.slice(length));
  }
  return { parts: {}, ...whole };
}

/** Older first; the same age by name, then namespace (Istio: `sortConfigByCreationTime`). */
export function compareAge(
  a: Pick<Config, 'creationTimeMs' | 'name' | 'namespace'>,
  b: Pick<Config, 'creationTimeMs' | 'name' | 'namespace'>,
): number {
  if (a.creationTimeMs !== b.creationTimeMs) return a.creationTimeMs - b.creationTimeMs;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  return 0;
}

export type Severity = 'error' | 'warning';

/** What is wrong with what a user wrote. */
export interface Diagnostic {
  readonly severity: Severity;
  /** A stable code, such as `unknown-field`, `not-supported`, `syntax`. */
  readonly code: string;
  /** What is wrong and what would be accepted; no position, no object name. */
  readonly message: string;
  readonly position: Position;
  /** Absent where the document could not be read that far. */
  readonly object?: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly fieldPath: FieldPath;
}

/** `file:line:col: Kind ns/name: field.path: what is wrong, what is accepted` */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { position, object, fieldPath, message } = diagnostic;
  const parts = [`${position.file}:${position.line}:${position.column}`];
  if (object !== undefined) {
    const { kind, namespace, name } = object;
    parts.push(namespace === '' ? `${kind} ${name}` : `${kind} ${namespace}/${name}`);
  }
  if (fieldPath.length > 0) parts.push(formatFieldPath(fieldPath));
  parts.push(message);
  // One complaint is one line, whatever stands in the user's text.
  // oxlint-disable-next-line no-control-regex -- control characters are what is replaced
  return parts.join(': ').replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
