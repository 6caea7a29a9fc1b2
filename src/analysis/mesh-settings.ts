// The mesh-wide settings that analyzers ask for. Read leniently: what is wrong in them is for `validate` to say.
import { withoutNulls } from '../config/schema.ts';
import { parseDocument } from '../config/yaml-document.ts';
import { listAt, labelsAt, textAt, valueAt } from './fields.ts';

export interface MeshSettings {
  readonly rootNamespace: string;
  readonly ingressControllerMode: string;
  /** The name of the default ingress gateway's Service. */
  readonly ingressService: string;
  /** defaultConfig.proxyMetadata */
  readonly proxyMetadata: Readonly<Record<string, string>>;
  /** defaultConfig.image.imageType */
  readonly imageType: string;
  /** Names of extension providers that are of the type `lightstep`. */
  readonly lightstepProviders: ReadonlySet<string>;
  readonly hasDefaultAccessLogging: boolean;
  /** MeshNetworks as written; undefined if there are none. */
  readonly networks: unknown;
}

/** `meshConfig` and `meshNetworks` are texts in YAML; what they do not say has Istio's default. */
export function readMeshSettings(meshConfig = '', meshNetworks = ''): MeshSettings {
  const mesh = withoutNulls(parseDocument(meshConfig).value);
  return {
    rootNamespace: textAt(mesh, 'rootNamespace') || 'istio-system',
    ingressControllerMode: textAt(mesh, 'ingressControllerMode') || 'STRICT',
    ingressService: textAt(mesh, 'ingressService') || 'istio-ingressgateway',
    proxyMetadata: labelsAt(mesh, 'defaultConfig', 'proxyMetadata'),
    imageType: textAt(mesh, 'defaultConfig', 'image', 'imageType'),
    lightstepProviders: new Set(
      listAt(mesh, 'extensionProviders')
        .filter((provider) => valueAt(provider, 'lightstep') !== undefined)
        .map((provider) => textAt(provider, 'name')),
    ),
    hasDefaultAccessLogging: listAt(mesh, 'defaultProviders', 'accessLogging').length > 0,
    networks: withoutNulls(parseDocument(meshNetworks).value),
  };
}
