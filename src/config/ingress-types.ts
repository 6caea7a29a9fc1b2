// Kubernetes' Ingress and IngressClass (networking.k8s.io/v1).
import type { Config } from './config.ts';
import type { ObjectSchema, Schema } from './schema.ts';

export interface IngressBackend {
  readonly service?: {
    readonly name: string;
    readonly port?: { readonly number?: number; readonly name?: string };
  };
  readonly resource?: { readonly apiGroup?: string; readonly kind: string; readonly name: string };
}

export interface IngressRule {
  /** Absent: any. */
  readonly host?: string;
  readonly http?: {
    readonly paths: readonly {
      readonly path?: string;
      readonly pathType?: 'Exact' | 'Prefix' | 'ImplementationSpecific';
      readonly backend: IngressBackend;
    }[];
  };
}

export interface IngressSpec {
  readonly ingressClassName?: string;
  readonly defaultBackend?: IngressBackend;
  readonly tls?: readonly { readonly hosts?: readonly string[]; readonly secretName?: string }[];
  readonly rules?: readonly IngressRule[];
}

export interface IngressClassSpec {
  readonly controller?: string;
  readonly parameters?: unknown;
}

export type IngressConfig = Config<IngressSpec>;
export type IngressClassConfig = Config<IngressClassSpec>;

const text: Schema = { type: 'string' };
const listOf = (items: Schema): Schema => ({ type: 'array', items });
const shape = (properties: Readonly<Record<string, Schema>>, ...required: string[]): ObjectSchema => ({
  type: 'object',
  properties,
  required,
});

const backend = shape({
  service: shape(
    { name: text, port: shape({ number: { type: 'integer', min: 1, max: 65_535 }, name: text }) },
    'name',
  ),
  resource: shape({ apiGroup: text, kind: text, name: text }, 'kind', 'name'),
});

/** By kind: the schema of the object without apiVersion, kind and metadata. No other field is accepted. */
export const ingressSchemas: Readonly<Record<string, ObjectSchema>> = {
  Ingress: shape(
    {
      spec: shape({
        ingressClassName: text,
        defaultBackend: backend,
        tls: listOf(shape({ hosts: listOf(text), secretName: text })),
        rules: listOf(
          shape({
            host: text,
            http: shape(
              {
                paths: listOf(
                  shape(
                    {
                      path: text,
                      pathType: { type: 'string', enum: ['Exact', 'Prefix', 'ImplementationSpecific'] },
                      backend,
                    },
                    'backend',
                  ),
                ),
              },
              'paths',
            ),
          }),
        ),
      }),
      status: { type: 'any' },
    },
    'spec',
  ),
  IngressClass: shape({ spec: shape({ controller: text, parameters: { type: 'any' } }) }),
};
