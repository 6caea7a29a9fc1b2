// Random meshes that are valid, and random requests to them: both draw from the same few paths, headers and hosts.
import { stringify } from 'yaml';
import type { FuzzRequest } from './generate-request.ts';
import { headerNames, methods, request, segments, words } from './generate-request.ts';
import { Draw } from './random.ts';

export interface FuzzCase {
  readonly name: string;
  /** Kubernetes and Istio YAML. */
  readonly config: string;
  readonly requests: readonly FuzzRequest[];
}

type Fields = Record<string, unknown>;

const services = ['a', 'b', 'c'];
const subsets = ['v1', 'v2'];
const externalHost = 'api.example.com';
/** What a VirtualService may be for, and a request may ask for. */
const hosts = [
  'a',
  'a.default.svc.cluster.local',
  'b',
  'c.default.svc.cluster.local',
  externalHost,
  '*.example.com',
  'shop.example.com',
];
const regexes = [
  '.*',
  'ja.*',
  '[a-z]+',
  '(?i)JASON',
  '/v[0-9]+/users(/.*)?',
  '/a.*',
  '\\d+',
  '^jason$',
  'ja|mary',
];
const addedHeaders = ['x-user', 'x-added', 'x-other', 'Content-Language', 'x-proto'];
const addedValues = [
  'one',
  '%PROTOCOL%',
  'a,b',
  '100%%',
  '%REQ(X-USER)%',
  '%REQ(X-NONE?X-USER)%',
  '%REQ(:PATH)%',
  '%REQ(:AUTHORITY)%',
  '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  '%UPSTREAM_CLUSTER%',
];
const delegateNames = ['delegate-0', 'delegate-1'];

/** The mesh and the requests of one seed. */
export function randomCase(seed: number): FuzzCase {
  const draw = new Draw(seed);
  const objects = [
    ...services.map(kubeService),
    serviceEntry(),
    gateway(),
    ...services.flatMap((name) => (draw.chance(0.6) ? [destinationRule(name)] : [])),
    ...draw.list(1, 4, () => draw).map((_, index) => virtualService(draw, `vs-${index}`)),
    ...delegateNames.map((name) => delegate(draw, name)),
    ...(draw.chance(0.25) ? [envoyFilter(draw)] : []),
    ...(draw.chance(0.2) ? [ingress(draw)] : []),
    ...(draw.chance(0.2) ? [meshHttpRoute(draw)] : []),
  ];
  return {
    name: `seed ${seed}`,
    config: objects.map((object) => stringify(object)).join('---\n'),
    requests: draw.list(30, 30, () => request(draw)),
  };
}

const meta = (name: string): Fields => ({ name, namespace: 'default' });

function kubeService(name: string): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta(name),
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80 }] },
  };
}

function serviceEntry(): Fields {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: meta('external'),
    spec: {
      hosts: [externalHost],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      endpoints: [{ address: '192.0.2.1' }],
    },
  };
}

function gateway(): Fields {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: meta('gateway'),
    spec: {
      selector: { istio: 'ingressgateway' },
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
    },
  };
}

function destinationRule(name: string): Fields {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: meta(name),
    spec: { host: name, subsets: subsets.map((subset) => ({ name: subset, labels: { version: subset } })) },
  };
}

function virtualService(draw: Draw, name: string): Fields {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: meta(name),
    spec: {
      hosts: hostsOf(draw),
      gateways: draw.one([['mesh'], ['gateway'], ['gateway', 'mesh']]),
      http: draw.list(1, 5, () =>
        draw.chance(0.1)
          ? {
              match: [{ uri: { prefix: draw.one(['/', '/a']) } }],
              delegate: { name: draw.one(delegateNames) },
            }
          : httpRoute(draw),
      ),
    },
  };
}

/** Another's rules, for VirtualServices that name it. */
function delegate(draw: Draw, name: string): Fields {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: meta(name),
    spec: {
      http: draw.list(1, 3, () => ({
        ...(draw.chance(0.7) && { match: [{ uri: { prefix: draw.one(['/a', '/a/b', '/v1']) } }] }),
        route: destinations(draw),
      })),
    },
  };
}

/** Header changes on routes or virtual hosts that no VirtualService made. */
function envoyFilter(draw: Draw): Fields {
  const mutation = (): Fields =>
    draw.some(0.6, {
      request_headers_to_add: () => [
        {
          header: { key: draw.one(addedHeaders), value: draw.one(addedValues) },
          append_action: draw.one([
            'APPEND_IF_EXISTS_OR_ADD',
            'ADD_IF_ABSENT',
            'OVERWRITE_IF_EXISTS_OR_ADD',
            'OVERWRITE_IF_EXISTS',
          ]),
        },
      ],
      response_headers_to_add: () => [
        {
          header: { key: draw.one(addedHeaders), value: draw.one(addedValues) },
          append_action: draw.one(['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS']),
        },
      ],
      request_headers_to_remove: () => [draw.one(['x-user', 'x-env'])],
      response_headers_to_remove: () => [draw.one(['x-added', 'x-from-nobody'])],
    });
  return {
    apiVersion: 'networking.istio.io/v1alpha3',
    kind: 'EnvoyFilter',
    metadata: meta('headers'),
    spec: {
      configPatches: draw.list(1, 2, () => ({
        applyTo: draw.one(['HTTP_ROUTE', 'VIRTUAL_HOST', 'ROUTE_CONFIGURATION']),
        match: { context: draw.one(['ANY', 'SIDECAR_OUTBOUND', 'GATEWAY']) },
        patch: { operation: 'MERGE', value: mutation() },
      })),
    },
  };
}

function ingress(draw: Draw): Fields {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { ...meta('ingress'), annotations: { 'kubernetes.io/ingress.class': 'istio' } },
    spec: {
      rules: draw.list(1, 2, () => ({
        ...(draw.chance(0.7) && { host: draw.one(['shop.example.com', '*.example.com', 'a']) }),
        http: {
          paths: draw.list(1, 3, () => ({
            path: draw.one(['/', '/a', '/a/', '/v1/users']),
            pathType: draw.one(['Exact', 'Prefix', 'ImplementationSpecific']),
            backend: { service: { name: draw.one(services), port: { number: 80 } } },
          })),
        },
      })),
    },
  };
}

/** Rules of the Gateway API for what the mesh sends to a Service. */
function meshHttpRoute(draw: Draw): Fields {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: meta('mesh-route'),
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: draw.one(services), port: 80 }],
      rules: draw.list(1, 3, () => meshRule(draw)),
    },
  };
}

function meshRule(draw: Draw): Fields {
  const modifier = { set: [{ name: 'x-user', value: 'set' }], remove: ['x-added'] };
  const prefix = { type: 'ReplacePrefixMatch', replacePrefixMatch: '/n' };
  const whole = { type: 'ReplaceFullPath', replaceFullPath: '/full' };
  const filter = draw.one<Fields>([
    {},
    {},
    { type: 'RequestHeaderModifier', requestHeaderModifier: modifier },
    { type: 'ResponseHeaderModifier', responseHeaderModifier: modifier },
    { type: 'URLRewrite', urlRewrite: { path: whole } },
    { type: 'URLRewrite', urlRewrite: { path: prefix, hostname: 'new.example' } },
    { type: 'RequestRedirect', requestRedirect: { path: whole, statusCode: 301, port: 8080 } },
    { type: 'RequestRedirect', requestRedirect: { path: prefix, scheme: 'https' } },
  ]);
  const isRedirect = filter['type'] === 'RequestRedirect';
  // A prefix is replaced where a prefix is matched, by that match alone.
  const isPrefix = JSON.stringify(filter).includes('ReplacePrefixMatch');
  const paths = [
    { type: 'PathPrefix', value: '/' },
    { type: 'PathPrefix', value: '/a' },
    ...(isPrefix
      ? []
      : [
          { type: 'Exact', value: '/a/b' },
          { type: 'RegularExpression', value: '/v[0-9]/.*' },
        ]),
  ];
  return {
    matches: draw.list(1, isPrefix ? 1 : 2, () => ({
      path: draw.one(paths),
      ...draw.some(0.25, {
        method: () => draw.one(['GET', 'POST']),
        headers: () => [{ name: draw.one(headerNames), value: 'jason' }],
        queryParams: () => [{ name: 'user', value: 'jason' }],
      }),
    })),
    ...('type' in filter && { filters: [filter] }),
    ...(!isRedirect && {
      backendRefs: draw.list(1, 2, () => ({
        name: draw.one(services),
        port: 80,
        weight: draw.integer(1, 3),
      })),
    }),
  };
}

/** One or two hosts that do not cover one another, which a VirtualService may not have. */
function hostsOf(draw: Draw): readonly string[] {
  const first = draw.one(hosts);
  const second = draw.one(hosts);
  const kin = (host: string): string =>
    host.endsWith('example.com') ? 'example.com' : (host.split('.')[0] ?? '');
  return draw.chance(0.5) || kin(first) === kin(second) ? [first] : [first, second];
}

/** One rule of a VirtualService. */
export function httpRoute(draw: Draw): Fields {
  const action = draw.fraction();
  const common = {
    ...(draw.chance(0.8) && { match: draw.list(1, 2, () => match(draw)) }),
  };
  if (action < 0.12) return { ...common, redirect: redirect(draw) };
  if (action < 0.24) return { ...common, directResponse: directResponse(draw) };
  return {
    ...common,
    route: destinations(draw),
    ...draw.some(0.25, {
      rewrite: () => rewrite(draw),
      timeout: () => draw.one(['5s', '2500ms']),
      headers: () => headerOperations(draw),
      fault: () => ({ abort: { httpStatus: draw.one([400, 503]), percentage: { value: 100 } } }),
      corsPolicy: () => corsPolicy(draw),
      retries: () => ({ attempts: draw.integer(1, 3), retryOn: draw.one(['5xx', 'gateway-error,503']) }),
      mirrors: () => [
        { destination: { host: draw.one(services) }, percentage: { value: draw.one([0, 50, 100]) } },
      ],
    }),
  };
}

function destinations(draw: Draw): Fields[] {
  const destination = (): Fields => ({
    host: draw.one([...services, externalHost]),
    ...(draw.chance(0.3) && { subset: draw.one(subsets) }),
  });
  if (draw.chance(0.75))
    return [{ destination: destination(), ...(draw.chance(0.2) && { headers: headerOperations(draw) }) }];
  const all = draw
    .list(2, 3, () => ({
      destination: destination(),
      weight: draw.one([0, 1, 30, 70]),
      ...(draw.chance(0.3) && { headers: headerOperations(draw) }),
    }))
    .concat([{ destination: destination(), weight: 50 }]);
  // Each destination once: the answers must tell which was chosen.
  return [...new Map(all.map((each) => [JSON.stringify(each.destination), each])).values()];
}

function stringMatch(draw: Draw, texts: readonly string[]): Fields {
  const text = draw.one(texts.filter((each) => each !== ''));
  return draw.one([{ exact: text }, { prefix: text }, { regex: draw.one(regexes) }]);
}

function match(draw: Draw): Fields {
  return {
    ...(draw.chance(0.75) && {
      uri: stringMatch(draw, segments),
      ...(draw.chance(0.2) && { ignoreUriCase: true }),
    }),
    ...draw.some(0.2, {
      headers: () => ({
        [draw.one(headerNames)]: draw.chance(0.2) ? {} : stringMatch(draw, words),
      }),
      withoutHeaders: () => ({
        [draw.one(headerNames)]: draw.chance(0.3) ? {} : stringMatch(draw, words),
      }),
      method: () => draw.one([{ exact: draw.one(methods) }, { regex: 'GET|POST' }, { prefix: 'P' }]),
      queryParams: () => ({
        [draw.one(['user', 'q', 'none'])]: draw.chance(0.2) ? {} : stringMatch(draw, words),
      }),
      authority: () => draw.one([{ prefix: 'a' }, { exact: 'a' }, { regex: '.*example.*' }]),
    }),
    ...draw.some(0.05, {
      scheme: () => ({ exact: draw.one(['http', 'https']) }),
      port: () => draw.one([80, 81]),
      gateways: () => [draw.one(['mesh', 'gateway'])],
      sourceLabels: () => draw.one([{ app: 'client' }, { app: 'other' }, { app: 'client', version: 'v1' }]),
      sourceNamespace: () => draw.one(['default', 'other']),
    }),
  };
}

function rewrite(draw: Draw): Fields {
  const fields = draw.some(0.6, {
    uri: () => draw.one(['/', '/new', '/new/']),
    authority: () => draw.one(['new.example', 'b']),
  });
  if (draw.chance(0.2)) {
    delete fields['uri'];
    fields['uriRegexRewrite'] = draw.one([
      { match: '/v1/(\\w+)/(\\d+)', rewrite: '/\\2/\\1' },
      { match: '^/a(.*)$', rewrite: '/z\\1\\0' },
      { match: '[aeiou]', rewrite: '_' },
      { match: '(?i)/A', rewrite: '/Z' },
    ]);
  }
  return Object.keys(fields).length === 0 ? { uri: '/' } : fields;
}

function redirect(draw: Draw): Fields {
  const where = draw.some(0.5, {
    uri: () => draw.one(['/moved', '/moved/', '/100%', '/m?x=y', '%PREFIX()%', 'moved']),
    authority: () => 'elsewhere.example',
    scheme: () => draw.one(['http', 'https']),
    port: () => draw.one([80, 443, 8443]),
  });
  if (where['port'] === undefined && draw.chance(0.3))
    where['derivePort'] = draw.one(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']);
  if (Object.keys(where).length === 0) where['uri'] = '/moved';
  return { ...where, ...(draw.chance(0.5) && { redirectCode: draw.one([301, 302, 303, 307, 308]) }) };
}

function directResponse(draw: Draw): Fields {
  return {
    // Not 204: with a body Envoy frames it in a way that no client can read.
    status: draw.one([200, 404, 503]),
    ...(draw.chance(0.6) && {
      body: { string: draw.one(['hello', '{"a": "%PROTOCOL%"}', '%REQ(X-USER)% 100%%', 'é\n']) },
    }),
  };
}

function headerOperations(draw: Draw): Fields {
  const operations = (): Fields =>
    draw.some(0.5, {
      set: () => ({ [draw.one(addedHeaders)]: draw.one(addedValues) }),
      add: () => ({ [draw.one(addedHeaders)]: draw.one(addedValues) }),
      remove: () => [draw.one([...addedHeaders, 'x-env'])],
    });
  return { request: operations(), response: operations() };
}

function corsPolicy(draw: Draw): Fields {
  return {
    allowOrigins: [
      draw.one([{ exact: 'http://good.example' }, { regex: 'http://.*' }, { prefix: 'http://g' }]),
    ],
    ...draw.some(0.5, {
      allowMethods: () => ['GET', 'POST'],
      allowHeaders: () => ['x-user'],
      exposeHeaders: () => ['x-added'],
      maxAge: () => '24h',
      allowCredentials: () => draw.chance(0.5),
      unmatchedPreflights: () => draw.one(['FORWARD', 'IGNORE']),
    }),
  };
}
