// A user's object, whatever store it came from.
import type { FieldPath, Origin } from '../model/origin.ts';
import { formatFieldPath } from '../model/origin.ts';
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
  WorkloadGroupSpec,
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
  /** Finds a field's place in the user's text; the nearest parent that stands in the text if it is absent. */
  readonly locate: (path: FieldPath) => Position;
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
export type WorkloadGroupConfig = Config<WorkloadGroupSpec>;

/** `Kind/namespace/name`: one object of one store. Groups never share a kind among those that we read. */
export function configKey(config: Pick<Config, 'kind' | 'namespace' | 'name'>): string {
  return `${config.kind}/${config.namespace}/${config.name}`;
}

export function originOf(config: Config, ...fieldPath: readonly (string | number)[]): Origin {
  return { kind: config.kind, namespace: config.namespace, name: config.name, fieldPath };
}

/** Older first; the same age by name, then namespace (Istio: `sortConfigByCreationTime`). */
export function compareAge(a: Config, b: Config): number {
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
