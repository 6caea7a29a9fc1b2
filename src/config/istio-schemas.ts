// The structural schemas of Istio's kinds: generated from the CRDs, refined by what the generator loses.
import generated from '../api/gen/istio-schemas.json' with { type: 'json' };
import type { Schema } from './schema.ts';
import { zoneAwareLbSchema } from './semantic/zone-aware-lb.ts';

export interface IstioKind {
  readonly group: string;
  readonly kind: string;
  readonly versions: readonly string[];
  /** Of the object's `spec`. */
  readonly spec: Schema;
}

type GeneratedSchema =
  | { type: 'object'; properties: Record<string, GeneratedSchema>; required: string[] }
  | { type: 'map'; values: GeneratedSchema }
  | { type: 'array'; items: GeneratedSchema }
  | { type: 'string' | 'number' | 'boolean' | 'int-or-string' | 'any'; enum?: string[] };

/** Every kind that the CRDs have, by `group/Kind`. */
export const istioKinds: ReadonlyMap<string, IstioKind> = new Map(
  (generated as unknown as { group: string; kind: string; versions: string[]; spec: GeneratedSchema }[]).map(
    ({ group, kind, versions, spec }) => {
      let refined: Schema | undefined;
      const entry: IstioKind = {
        group,
        kind,
        versions,
        get spec() {
          refined ??= refine(spec, '', '');
          return refined;
        },
      };
      return [`${group}/${kind}`, entry] as const;
    },
  ),
);

/** Fields of type string that hold a duration. */
const durationFields = new Set([
  'backoff',
  'baseEjectionTime',
  'connectTimeout',
  'duration',
  'exponentialDelay',
  'fixedDelay',
  'idleTimeout',
  'interval',
  'maxAge',
  'maxConnectionDuration',
  'perTryTimeout',
  'time',
  'timeout',
  'ttl',
  'warmupDurationSecs',
]);

/** Numbers that may have a fraction, as `field` or `parent.field`; all others are integers. */
const fractionFields = new Set(['value', 'aggression', 'minimumPercent', 'retryBudget.percent']);

/** Numbers that may be negative. */
const signedFields = new Set(['priority']);

/** Values of Istio 1.32 that the published CRD package does not have yet, by the name of the field. */
const newerValues: Readonly<Record<string, { readonly beside: string; readonly values: readonly string[] }>> =
  {
    operation: { beside: 'INSERT_FIRST', values: ['MERGE_AND_REPLACE_LIST'] },
  };

/**
 * Fields of Istio 1.32 that the published CRD package does not have yet, by the name of the object that
 * they stand in and one of the fields beside them.
 */
const newerFields: readonly {
  readonly parent: string;
  readonly beside: string;
  readonly fields: Readonly<Record<string, Schema>>;
}[] = [
  {
    parent: 'http',
    beside: 'http2MaxRequests',
    fields: {
      http2KeepAlive: {
        type: 'object',
        properties: { interval: { type: 'duration' }, timeout: { type: 'duration' } },
        required: ['interval', 'timeout'],
      },
    },
  },
  {
    // Of servers: Gateways and Sidecar.ingress.
    parent: 'tls',
    beside: 'serverCertificate',
    fields: {
      insecureSkipVerify: { type: 'boolean' },
      ecdhCurves: { type: 'array', items: { type: 'string' } },
    },
  },
  {
    parent: 'loadBalancer',
    beside: 'localityLbSetting',
    fields: { zoneAwareLbSetting: zoneAwareLbSchema },
  },
  { parent: 'redirect', beside: 'redirectCode', fields: { prefixRewrite: { type: 'string' } } },
];

function refine(schema: GeneratedSchema, name: string, parent: string): Schema {
  const { type } = schema;
  switch (type) {
    case 'object':
      return refineObject(schema, name);
    case 'map':
      return { type: 'map', values: refine(schema.values, name, parent) };
    case 'array':
      return { type: 'array', items: refine(schema.items, name, parent) };
    case 'number':
      if (fractionFields.has(name) || fractionFields.has(`${parent}.${name}`)) return { type: 'number' };
      if (signedFields.has(name)) return { type: 'integer', min: -2_147_483_648, max: 2_147_483_647 };
      return { type: 'integer', min: 0, max: 4_294_967_295 };
    case 'string':
      if (schema.enum !== undefined) return { type: 'string', enum: withNewer(schema.enum, name) };
      return { type: durationFields.has(name) ? 'duration' : 'string' };
    case 'boolean':
    case 'int-or-string':
    case 'any':
      break;
  }
  return { type };
}

function withNewer(values: string[], name: string): readonly string[] {
  const newer = newerValues[name];
  return newer !== undefined && values.includes(newer.beside) ? [...values, ...newer.values] : values;
}

function refineObject(schema: GeneratedSchema & { type: 'object' }, name: string): Schema {
  // What the CRD leaves open: the value of an EnvoyFilter's patch.
  if (Object.keys(schema.properties).length === 0 && name === 'value')
    return { type: 'object', properties: {}, required: [], open: true };
  const properties = Object.entries(schema.properties).map(
    ([field, value]) => [field, refine(value, field, name)] as const,
  );
  const newer = newerFields.find(
    ({ parent, beside }) => parent === name && Object.hasOwn(schema.properties, beside),
  );
  return {
    type: 'object',
    properties: { ...Object.fromEntries(properties), ...newer?.fields },
    required: schema.required,
  };
}
