// Structural schemas of the Gateway API's kinds, after its CRDs (experimental channel, release 1.6): every field
// that there is, and no other. What can be said of values alone is in semantic/gateway-api.ts.
import type { ObjectSchema, Schema } from './schema.ts';

/** A kind of the group, with the versions that its CRD serves or served (the spec is the same in all). */
export interface GatewayApiKind {
  readonly versions: readonly string[];
  readonly isNamespaced: boolean;
  readonly spec: ObjectSchema;
}

const text: Schema = { type: 'string' };
const texts: Schema = { type: 'array', items: text };
const textMap: Schema = { type: 'map', values: text };
const port: Schema = { type: 'integer', min: 1, max: 65_535 };
const duration: Schema = { type: 'duration' };
const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values });
const listOf = (items: Schema): Schema => ({ type: 'array', items });

/** Fields whose names end in `!` are required. */
function shape(fields: Readonly<Record<string, Schema>>): ObjectSchema {
  const entries = Object.entries(fields);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace('!', ''), schema])),
    required: entries.flatMap(([name]) => (name.endsWith('!') ? [name.slice(0, -1)] : [])),
  };
}

const labelSelector = shape({
  matchLabels: textMap,
  matchExpressions: listOf(shape({ 'key!': text, 'operator!': text, values: texts })),
});
const secretReference = shape({ group: text, kind: text, 'name!': text, namespace: text });
const objectReference = shape({ 'group!': text, 'kind!': text, 'name!': text, namespace: text });
const localReference = shape({ 'group!': text, 'kind!': text, 'name!': text });

const listener = shape({
  'name!': text,
  hostname: text,
  'port!': port,
  'protocol!': text,
  tls: shape({
    mode: oneOf('Terminate', 'Passthrough'),
    certificateRefs: listOf(secretReference),
    options: textMap,
  }),
  allowedRoutes: shape({
    namespaces: shape({ from: oneOf('All', 'Selector', 'Same'), selector: labelSelector }),
    kinds: listOf(shape({ group: text, 'kind!': text })),
  }),
});
const frontendTls = shape({
  validation: shape({
    'caCertificateRefs!': listOf(objectReference),
    mode: oneOf('AllowValidOnly', 'AllowInsecureFallback'),
  }),
});
const parentScope = oneOf('All', 'None');

const gateway = shape({
  'gatewayClassName!': text,
  'listeners!': listOf(listener),
  addresses: listOf(shape({ type: text, value: text })),
  infrastructure: shape({ labels: textMap, annotations: textMap, parametersRef: localReference }),
  allowedListeners: shape({
    namespaces: shape({ from: oneOf('All', 'Selector', 'Same', 'None'), selector: labelSelector }),
  }),
  tls: shape({
    backend: shape({ clientCertificateRef: secretReference }),
    frontend: shape({
      'default!': frontendTls,
      perPort: listOf(shape({ 'port!': port, 'tls!': frontendTls })),
    }),
  }),
  defaultScope: parentScope,
});

const parentRefs = listOf(
  shape({ group: text, kind: text, namespace: text, 'name!': text, sectionName: text, port }),
);
const backendObject = { group: text, kind: text, 'name!': text, namespace: text, port };
const weighted = { ...backendObject, weight: { type: 'integer', min: 0, max: 1_000_000 } } as const;

const headers = listOf(shape({ 'name!': text, 'value!': text }));
const headerModifier = shape({ set: headers, add: headers, remove: texts });
const pathModifier = shape({
  'type!': oneOf('ReplaceFullPath', 'ReplacePrefixMatch'),
  replaceFullPath: text,
  replacePrefixMatch: text,
});
const natural: Schema = { type: 'integer', min: 0, max: 2_147_483_647 };
const positive: Schema = { type: 'integer', min: 1, max: 2_147_483_647 };

const headerFilters = {
  requestHeaderModifier: headerModifier,
  responseHeaderModifier: headerModifier,
  requestMirror: shape({
    'backendRef!': shape(backendObject),
    percent: { type: 'integer', min: 0, max: 100 },
    fraction: shape({ 'numerator!': natural, denominator: positive }),
  }),
  extensionRef: localReference,
} as const;
const httpFilters = listOf(
  shape({
    'type!': oneOf(
      'RequestHeaderModifier',
      'ResponseHeaderModifier',
      'RequestMirror',
      'RequestRedirect',
      'URLRewrite',
      'CORS',
      'ExternalAuth',
      'ExtensionRef',
    ),
    ...headerFilters,
    requestRedirect: shape({
      scheme: oneOf('http', 'https'),
      hostname: text,
      path: pathModifier,
      port,
      statusCode: { type: 'integer', min: 301, max: 308 },
    }),
    urlRewrite: shape({ hostname: text, path: pathModifier }),
    cors: shape({
      allowOrigins: texts,
      allowCredentials: { type: 'boolean' },
      allowMethods: listOf(
        oneOf('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', '*'),
      ),
      allowHeaders: texts,
      exposeHeaders: texts,
      maxAge: positive,
    }),
    externalAuth: { type: 'any' },
  }),
);
const grpcFilters = listOf(
  shape({
    'type!': oneOf('RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestMirror', 'ExtensionRef'),
    ...headerFilters,
  }),
);
const named = listOf(shape({ type: oneOf('Exact', 'RegularExpression'), 'name!': text, 'value!': text }));
const sessionPersistence: Schema = { type: 'any' };

const httpRoute = shape({
  parentRefs,
  useDefaultGateways: parentScope,
  hostnames: texts,
  rules: listOf(
    shape({
      name: text,
      matches: listOf(
        shape({
          path: shape({ type: oneOf('Exact', 'PathPrefix', 'RegularExpression'), value: text }),
          headers: named,
          queryParams: named,
          method: oneOf('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'),
        }),
      ),
      filters: httpFilters,
      backendRefs: listOf(shape({ ...weighted, filters: httpFilters })),
      timeouts: shape({ request: duration, backendRequest: duration }),
      retry: shape({
        codes: listOf({ type: 'integer', min: 400, max: 599 }),
        attempts: natural,
        backoff: duration,
      }),
      sessionPersistence,
    }),
  ),
});

const grpcRoute = shape({
  parentRefs,
  useDefaultGateways: parentScope,
  hostnames: texts,
  rules: listOf(
    shape({
      name: text,
      matches: listOf(
        shape({
          method: shape({ type: oneOf('Exact', 'RegularExpression'), service: text, method: text }),
          headers: named,
        }),
      ),
      filters: grpcFilters,
      backendRefs: listOf(shape({ ...weighted, filters: grpcFilters })),
      sessionPersistence,
    }),
  ),
});

const streamRules = listOf(shape({ name: text, 'backendRefs!': listOf(shape(weighted)) }));

/** By kind. */
export const gatewayApiKinds: Readonly<Record<string, GatewayApiKind>> = {
  GatewayClass: {
    versions: ['v1', 'v1beta1'],
    isNamespaced: false,
    spec: shape({
      'controllerName!': text,
      description: text,
      parametersRef: shape({ 'group!': text, 'kind!': text, 'name!': text, namespace: text }),
    }),
  },
  Gateway: { versions: ['v1', 'v1beta1'], isNamespaced: true, spec: gateway },
  ListenerSet: {
    versions: ['v1'],
    isNamespaced: true,
    spec: shape({ 'parentRef!': secretReference, 'listeners!': listOf(listener) }),
  },
  HTTPRoute: { versions: ['v1', 'v1beta1'], isNamespaced: true, spec: httpRoute },
  GRPCRoute: { versions: ['v1', 'v1alpha2'], isNamespaced: true, spec: grpcRoute },
  TLSRoute: {
    versions: ['v1', 'v1alpha3', 'v1alpha2'],
    isNamespaced: true,
    spec: shape({
      parentRefs,
      useDefaultGateways: parentScope,
      hostnames: texts,
      'rules!': streamRules,
    }),
  },
  TCPRoute: {
    versions: ['v1', 'v1alpha2'],
    isNamespaced: true,
    spec: shape({ parentRefs, useDefaultGateways: parentScope, 'rules!': streamRules }),
  },
  ReferenceGrant: {
    versions: ['v1', 'v1beta1', 'v1alpha2'],
    isNamespaced: true,
    spec: shape({
      'from!': listOf(shape({ 'group!': text, 'kind!': text, 'namespace!': text })),
      'to!': listOf(shape({ 'group!': text, 'kind!': text, name: text })),
    }),
  },
  BackendTLSPolicy: {
    versions: ['v1', 'v1alpha3'],
    isNamespaced: true,
    spec: shape({
      'targetRefs!': listOf(shape({ 'group!': text, 'kind!': text, 'name!': text, sectionName: text })),
      'validation!': shape({
        caCertificateRefs: listOf(localReference),
        wellKnownCACertificates: text,
        'hostname!': text,
        subjectAltNames: listOf(shape({ 'type!': oneOf('Hostname', 'URI'), hostname: text, uri: text })),
      }),
      options: textMap,
    }),
  },
};

/** Kinds of the Gateway API that are not read, and what to do instead. */
export const unreadGatewayKinds: Readonly<Record<string, string>> = {
  'gateway.networking.k8s.io/UDPRoute': 'UDPRoute is not supported, as in Istio: proxies carry no UDP',
  'gateway.networking.x-k8s.io/XListenerSet':
    'XListenerSet is not read any more: write a ListenerSet (gateway.networking.k8s.io/v1), whose spec is the same',
  'gateway.networking.x-k8s.io/XBackendTrafficPolicy':
    'XBackendTrafficPolicy is experimental and not supported; write a DestinationRule',
  'gateway.networking.x-k8s.io/XBackend':
    'XBackend is experimental and not supported; write a ServiceEntry and refer to it by kind Hostname',
  'gateway.networking.x-k8s.io/XMesh': 'XMesh is experimental and not supported',
};
