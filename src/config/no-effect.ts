// What Istio does with an object and this program does not do yet, where refusing the whole object would
// cost more than it saves: the field is named in a warning and the object is served without it. Fields
// that must not be left out are refused instead (`Checker.unsupported`). Who builds a feature takes its line away.
import type { FieldPath } from '../model/origin.ts';
import type { ObjectMeta } from './semantic/validator.ts';
import type { Report } from './schema.ts';
import { isRecord } from './schema.ts';

interface Idle {
  readonly path: FieldPath;
  /** The values that ask for nothing. */
  readonly unless?: readonly unknown[];
  /** Absent: the field has no effect yet. */
  readonly message?: string;
}

const notCaptured = 'has no effect yet: connections are not captured transparently';

/** Labels of ambient mode, which has no sidecars. */
const ambientLabelsAt = (...holder: FieldPath): readonly Idle[] =>
  ['istio.io/dataplane-mode', 'istio.io/use-waypoint'].map((name) => ({
    path: [...holder, 'labels', name],
    unless: ['none'],
  }));

/** Annotations of pods that decide what a sidecar captures, and how it is started. */
const podAnnotations: readonly Idle[] = [
  ...[
    'traffic.sidecar.istio.io/includeInboundPorts',
    'traffic.sidecar.istio.io/excludeInboundPorts',
    'traffic.sidecar.istio.io/includeOutboundPorts',
    'traffic.sidecar.istio.io/excludeOutboundPorts',
    'traffic.sidecar.istio.io/includeOutboundIPRanges',
    'traffic.sidecar.istio.io/excludeOutboundIPRanges',
    'traffic.sidecar.istio.io/excludeInterfaces',
    'traffic.sidecar.istio.io/kubevirtInterfaces',
    'sidecar.istio.io/interceptionMode',
  ].map((name) => ({ path: [name], message: notCaptured })),
  ...['proxy.istio.io/overrides', 'sidecar.istio.io/bootstrapOverride'].map((name) => ({ path: [name] })),
];
const podFieldsAt = (...holder: FieldPath): readonly Idle[] => [
  ...podAnnotations.map((idle) => ({ ...idle, path: [...holder, 'annotations', ...idle.path] })),
  ...ambientLabelsAt(...holder),
];

const idleFields: Readonly<Record<string, readonly Idle[]>> = {
  Namespace: ambientLabelsAt('metadata'),
  Service: [
    {
      path: ['spec', 'sessionAffinity'],
      unless: ['None'],
      message: 'has no effect, as in Istio: the proxy balances each request',
    },
    ...ambientLabelsAt('metadata'),
  ],
  ServiceEntry: ambientLabelsAt('metadata'),
  Pod: podFieldsAt('metadata'),
  Deployment: [
    ...podFieldsAt('spec', 'template', 'metadata'),
    { path: ['spec', 'minReadySeconds'], unless: [0] },
    { path: ['spec', 'paused'], unless: [false] },
  ],
  StatefulSet: podFieldsAt('spec', 'template', 'metadata'),
};

/** Warns of every field of the object that asks for something and has no effect. `object` is without metadata. */
export function warnOfNoEffect(
  kind: string,
  object: Readonly<Record<string, unknown>>,
  { labels, annotations }: ObjectMeta,
  report: Report,
): void {
  const whole = { ...object, metadata: { labels, annotations } };
  for (const { path, unless, message = 'has no effect yet' } of idleFields[kind] ?? []) {
    const value = valueAt(whole, path);
    if (value === undefined || value === null || unless?.includes(value) === true) continue;
    report({ severity: 'warning', code: 'no-effect', message, fieldPath: path });
  }
}

function valueAt(value: unknown, path: FieldPath): unknown {
  let at = value;
  for (const field of path) {
    if (!isRecord(at) || !Object.hasOwn(at, field)) return undefined;
    at = at[field];
  }
  return at;
}
