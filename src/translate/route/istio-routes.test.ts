// Istio's own route cases (family `routes` of its test data): VirtualService in, facts about Envoy routes out.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import { RouteSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { Config, VirtualServiceConfig } from '../../config/config.ts';
import { readMeshConfig } from '../../config/mesh-config-reader.ts';
import { resolveGatewayName } from '../../model/gateway-name.ts';
import { istioTestdata, reportFamily } from '../../../test/support/istio-testdata.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import { routeHeaders } from '../proxy-headers.ts';
import { proxyScope, visibleService } from '../scope.ts';
import { buildVirtualHost } from './route-configuration.ts';
import { ruleRoutes } from './rules.ts';

interface Assertion {
  readonly path: string;
  readonly check: 'equals' | 'length' | 'contains' | 'unordered' | 'present' | 'absent' | 'hasKey';
  readonly value?: JsonValue;
}

interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: unknown;
}

interface RouteCase {
  readonly name: string;
  readonly virtualService: RawObject;
  readonly port: number;
  readonly gateways: readonly string[];
  readonly proxy: {
    readonly ipAddresses: readonly string[];
    readonly dnsDomain: string;
    readonly namespace: string;
  };
  readonly otherConfig?: readonly RawObject[];
  readonly meshConfig?: object;
  readonly services?: readonly { readonly hostname: string; readonly namespace: string }[];
  readonly expected?: { readonly assertions: readonly Assertion[] };
}

/** What we do otherwise, or not yet. A case that passes nevertheless is a failure. */
const known: Readonly<Record<string, string>> = {
  'virtual service with HTTP/3 discovery enabled': 'HTTP/3 is not built',
  'invalid redirect code': 'refused by validation; Envoy would refuse a route without an action',
};

const folder = istioTestdata('routes');

describe.skipIf(folder === undefined)('istio-testdata: routes', () => {
  test('ruleRoutes: Istio cases (C5.01-C5.04, partly C5.05, C5.06-C5.17, C3.09)', (context) => {
    const text = readFileSync(join(folder ?? '', 'cases.json'), 'utf8');
    const { cases } = JSON.parse(text) as { cases: readonly RouteCase[] };
    const open = cases.filter(({ expected }) => expected !== undefined);
    const failures = new Map<string, string>();
    for (const each of open) {
      const failure = failureOf(each);
      if (failure !== undefined) failures.set(each.name, failure);
    }
    const unexpected = [...failures].filter(([name]) => known[name] === undefined);
    expect(Object.fromEntries(unexpected)).toEqual({});
    expect(Object.keys(known).filter((name) => !failures.has(name))).toEqual([]);
    reportFamily(context, { family: 'routes', passed: open.length - failures.size, total: open.length });
  });
});

/** What is wrong; undefined where all assertions hold. */
function failureOf(each: RouteCase): string | undefined {
  const routes = routesOf(each);
  const root: JsonObject = routes.length === 0 ? { error: 'no routes' } : { routes };
  for (const assertion of each.expected?.assertions ?? []) {
    const actual = valueAt(root, assertion.path);
    if (!holds(assertion, actual))
      return `${assertion.path} ${assertion.check} ${JSON.stringify(assertion.value)}: ${JSON.stringify(actual)}`;
  }
  return undefined;
}

function routesOf(each: RouteCase): JsonValue[] {
  const virtualService = configOf(each.virtualService) as VirtualServiceConfig;
  const owners = each.services?.map(({ namespace }) => namespace) ?? ['default'];
  const world = worldOf(
    [
      virtualService,
      ...(each.otherConfig ?? []).map(configOf),
      ...owners.map((namespace) =>
        configOf({
          apiVersion: 'networking.istio.io/v1',
          kind: 'ServiceEntry',
          metadata: { name: 'example', namespace },
          spec: {
            hosts: ['*.example.org'],
            addresses: ['1.1.1.1'],
            ports: [{ number: 8080, name: 'default', protocol: 'HTTP' }],
            resolution: 'STATIC',
          },
        }),
      ),
    ],
    readMeshConfig(JSON.stringify(each.meshConfig ?? {})).meshConfig,
  );
  const scope = proxyScope(world, proxyNode(each.proxy));
  const inputs = ruleRoutes(world, scope, virtualService, {
    gateway: resolveGatewayName(each.gateways[0] ?? 'mesh', virtualService.namespace),
    listenPort: each.port,
    tls: false,
    serviceOf: (hostname) => visibleService(world, scope, hostname),
  });
  const host = { name: '', domains: [], routes: inputs, requireTls: false };
  const { routes } = buildVirtualHost(host, routeHeaders(world, scope).headers);
  return routes.map((route) => messageToJson(RouteSchema, route));
}

function configOf({ apiVersion, kind, metadata, spec }: RawObject): Config {
  const [group = '', version = ''] = apiVersion.split('/');
  return {
    group,
    version,
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    labels: {},
    annotations: metadata.annotations ?? {},
    creationTimeMs: 0,
    spec,
    locate: () => ({ file: 'cases.json', line: 1, column: 1 }),
  };
}

/** `routes[0].route.hashPolicy`, `a["b"]` */
function valueAt(root: JsonObject, path: string): JsonValue | undefined {
  let value: JsonValue | undefined = root;
  for (const [part] of path.matchAll(/[^.[\]"]+/g)) {
    if (Array.isArray(value)) value = value[Number(part)];
    else value = typeof value === 'object' && value !== null ? value[part] : undefined;
  }
  return value;
}

function holds({ check, value = null }: Assertion, actual: JsonValue | undefined): boolean {
  switch (check) {
    case 'equals':
      return same(actual ?? defaultLike(value), value);
    case 'length':
      return (Array.isArray(actual) ? actual.length : 0) === value;
    case 'contains':
      return contains(actual, value);
    case 'unordered':
      return same(sortedList(actual), sortedList(value));
    case 'present':
      return actual !== undefined;
    case 'absent':
      return actual === undefined;
    case 'hasKey':
      return (
        typeof actual === 'object' && actual !== null && JSON.stringify(value).replaceAll('"', '') in actual
      );
    default:
      return check satisfies never;
  }
}

/** Protobuf's JSON leaves defaults out. */
function defaultLike(value: JsonValue): JsonValue {
  return typeof value === 'number'
    ? 0
    : typeof value === 'boolean'
      ? false
      : typeof value === 'string'
        ? ''
        : null;
}

function contains(actual: JsonValue | undefined, value: JsonValue): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return same(actual ?? null, value);
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return false;
  return Object.entries(value).every(([key, part]) => contains(actual[key], part));
}

function sortedList(value: JsonValue | undefined): JsonValue {
  return Array.isArray(value) ? value.map((part) => JSON.stringify(ordered(part))).sort() : (value ?? null);
}

function same(a: JsonValue, b: JsonValue): boolean {
  return JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));
}

function ordered(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, part]) => [key, ordered(part)]));
}
