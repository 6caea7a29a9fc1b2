// Random meshes that are valid, and random requests that have a fair chance of meeting their rules: both draw
// from the same few paths, headers and hosts.
import { stringify } from 'yaml';
import { Draw } from './random.ts';

export interface FuzzRequest {
  /** Whose routes decide: those of a sidecar's port 80, or the ingress gateway's. */
  readonly at: 'sidecar' | 'gateway';
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

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
const requestHosts = [
  'a',
  'a.default',
  'A.default.svc.cluster.local',
  'b.default.svc',
  'b:80',
  'c',
  externalHost,
  'deep.shop.example.com',
  'shop.example.com',
  'shop.example.com:80',
  'nobody.test',
];
const segments = ['', '/', '/a', '/a/', '/a/b', '/ab', '/A', '/a-b.c', '/v1/users/42', '/v1/users', '/x%20y'];
const words = ['jason', 'Jason', 'ja', 'jason,mary', '', 'v1', '42', 'a b'];
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
const headerNames = ['x-user', 'end-user', 'X-Env', 'cookie'];
const methods = ['GET', 'POST', 'PUT', 'OPTIONS'];
const addedHeaders = ['x-user', 'x-added', 'x-other', 'Content-Language', 'x-proto'];
const addedValues = ['one', '%PROTOCOL%', 'a,b', '100%%', '%REQ(X-USER)%'];

/** The mesh and the requests of one seed. */
export function randomCase(seed: number): FuzzCase {
  const draw = new Draw(seed);
  const objects = [
    ...services.map(kubeService),
    serviceEntry(),
    gateway(),
    ...services.flatMap((name) => (draw.chance(0.6) ? [destinationRule(name)] : [])),
    ...draw.list(1, 4, () => draw).map((_, index) => virtualService(draw, `vs-${index}`)),
  ];
  return {
    name: `seed ${seed}`,
    config: objects.map((object) => stringify(object)).join('---\n'),
    requests: draw.list(30, 30, () => request(draw)),
  };
}

function request(draw: Draw): FuzzRequest {
  const path = draw.one(segments.slice(1)) + (draw.chance(0.3) ? `?user=${draw.one(words)}&q=1` : '');
  return {
    at: draw.chance(0.5) ? 'sidecar' : 'gateway',
    method: draw.one(methods),
    host: draw.one(requestHosts),
    path: path.replaceAll(' ', '+'),
    headers: Object.fromEntries([
      ...draw.list(0, 2, () => [draw.one(headerNames).toLowerCase(), draw.one(words)] as const),
      ...(draw.chance(0.2)
        ? [
            ['origin', draw.one(['http://good.example', 'http://bad.example'])] as const,
            ['access-control-request-method', 'GET'] as const,
          ]
        : []),
    ]),
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
      http: draw.list(1, 5, () => httpRoute(draw)),
    },
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
  return draw
    .list(2, 3, () => ({
      destination: destination(),
      weight: draw.one([0, 1, 30, 70]),
    }))
    .concat([{ destination: destination(), weight: 50 }]);
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
    fields['uriRegexRewrite'] = { match: '/v1/(\\w+)/(\\d+)', rewrite: '/\\2/\\1' };
  }
  return Object.keys(fields).length === 0 ? { uri: '/' } : fields;
}

function redirect(draw: Draw): Fields {
  const where = draw.some(0.5, {
    uri: () => '/moved',
    authority: () => 'elsewhere.example',
    scheme: () => draw.one(['http', 'https']),
    port: () => draw.one([80, 443, 8443]),
  });
  if (Object.keys(where).length === 0) where['uri'] = '/moved';
  return { ...where, ...(draw.chance(0.5) && { redirectCode: draw.one([301, 302, 303, 307, 308]) }) };
}

function directResponse(draw: Draw): Fields {
  return {
    // Not 204: with a body Envoy frames it in a way that no client can read.
    status: draw.one([200, 404, 503]),
    ...(draw.chance(0.6) && { body: { string: draw.one(['hello', '{"a": "%PROTOCOL%"}']) } }),
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
