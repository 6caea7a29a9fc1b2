// Istio's traffic simulations (family `simulation` of its test data): which listener, chain, route and cluster a
// request takes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { Config } from '../config/config.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { simulate } from '../../test/support/simulation.ts';
import type { SimulatedCall, SimulationResult } from '../../test/support/simulation.ts';
import { proxyNode, worldOf } from '../../test/support/world.ts';
import { listeners, routes } from './index.ts';
import { proxyScope } from './scope.ts';

interface Call {
  readonly name: string;
  readonly call: SimulatedCall;
  readonly expected?: SimulationResult & { readonly strict?: boolean };
}

interface Scenario {
  readonly name: string;
  readonly kind: string;
  readonly proxy: {
    readonly type?: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly ipAddresses?: readonly string[];
    readonly metadata?: { readonly DNSCapture?: boolean };
    readonly configNamespace?: string;
  };
  readonly config?: string;
  readonly kubeObjects?: string;
  readonly kubeAndIstioConfig?: string;
  readonly meshConfig?: {
    readonly outboundTrafficPolicy?: { readonly mode: MeshConfig['outboundTrafficPolicy'] };
  };
  readonly features?: unknown;
  readonly calls?: readonly Call[];
  readonly routeConfig?: string;
  readonly expected?: {
    readonly virtualHosts?: Record<string, readonly string[] | null>;
  } & Partial<ListenerShape>;
}

/** What a listener on port 8080 looks like. */
interface ListenerShape {
  readonly listenersOnPort8080: number;
  readonly listener: string;
  readonly filterChainMatcher: boolean;
  readonly filterChainsWithPrefixRange: number;
  readonly prefixLength: number;
  readonly defaultFilterChain: boolean;
}

const folder = istioTestdata('simulation');

describe.skipIf(folder === undefined)('istio-testdata: simulation', () => {
  test('listeners, routes: Istio cases (C11.01-C11.03, partly C11.04, C11.05, C4.04, C4.05, C7.01, C7.02, partly C7.03, T10, T15)', (context) => {
    const text = readFileSync(join(folder ?? '', 'cases.yaml'), 'utf8');
    const { scenarios } = parse(text) as { scenarios: readonly Scenario[] };
    const results = scenarios.flatMap(runScenario);
    const failures = results.filter(({ failure }) => failure !== undefined);
    const reasons = knownFailures();
    const unexpected = failures.filter(({ name }) => !reasons.has(name));
    const failing = new Set(failures.map(({ name }) => name));
    expect({
      unexpected: Object.fromEntries(unexpected.map(({ name, failure }) => [name, failure])),
      // What is listed and holds nevertheless leaves the list.
      healed: [...reasons.keys()].filter((name) => !failing.has(name)),
    }).toEqual({ unexpected: {}, healed: [] });
    const passed = results.filter(({ failure }) => failure === undefined).length;
    reportFamily(context, { family: 'simulation', passed, total: results.length });
  });
});

interface Result {
  readonly name: string;
  readonly failure: string | undefined;
}

/** Case -> why it does not hold. */
function knownFailures(): ReadonlyMap<string, string> {
  const file = join(import.meta.dirname, '../../test/support/istio-simulation-known.json');
  const byReason = JSON.parse(readFileSync(file, 'utf8')) as Record<string, readonly string[]>;
  return new Map(
    Object.entries(byReason).flatMap(([reason, names]) => names.map((name) => [name, reason] as const)),
  );
}

function runScenario(scenario: Scenario): readonly Result[] {
  const { name, kind } = scenario;
  if (kind === 'traffic') {
    const open = (scenario.calls ?? []).filter(({ expected }) => expected !== undefined);
    if (open.length === 0) return [];
    const proxy = proxyOf(scenario);
    return open.map((call) => ({
      name: `${name} :: ${call.name}`,
      failure: failureOf(call, simulate(proxy, call.call)),
    }));
  }
  if (kind === 'listener-shape' && scenario.expected !== undefined)
    return [{ name, failure: shapeFailure(scenario) }];
  if (kind !== 'sidecar-routes' || scenario.expected === undefined) return [];
  return [{ name, failure: routeFailure(scenario) }];
}

function failureOf({ expected = {} }: Call, actual: SimulationResult): string | undefined {
  const { strict = false, ...fields } = expected;
  const wrong = (
    ['listener', 'filterChain', 'routeConfig', 'virtualHost', 'route', 'cluster'] as const
  ).filter((field) => {
    const wanted = fields[field];
    const given = actual[field] ?? '';
    if (wanted === undefined) return strict && given !== '';
    // Istio's simulations run without a domain of the cluster.
    return given !== wanted && given.replace('.svc.cluster.local', '') !== wanted;
  });
  if (wrong.length === 0 && expected.error === actual.error) return undefined;
  return `${wrong.join(', ')}: wanted ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
}

function proxyOf(scenario: Scenario) {
  const { world, scope } = surroundings(scenario);
  return {
    listeners: listeners.names(world, scope).flatMap((name) => {
      const input = listeners.input(world, scope, name);
      return input === undefined ? [] : [listeners.build(input).message];
    }),
    routesOf: (name: string) => {
      const input = routes.input(world, scope, name);
      if (input === undefined) throw new Error(`no routes ${name}`);
      return routes.build(input).message;
    },
  };
}

function surroundings({ proxy, config, kubeObjects, kubeAndIstioConfig, meshConfig }: Scenario) {
  const yaml = [config, kubeObjects, kubeAndIstioConfig].filter((text) => text !== undefined).join('\n---\n');
  const policy = meshConfig?.outboundTrafficPolicy?.mode;
  const world = worldOf(configsOf(yaml), policy === undefined ? {} : { outboundTrafficPolicy: policy });
  // Gateways live where their Service is; Istio's simulations configure them from another namespace.
  const namespace = proxy.namespace ?? 'default';
  const node = proxyNode({
    type: proxy.type === 'gateway' ? 'router' : 'sidecar',
    namespace,
    labels: proxy.labels ?? {},
    ipAddresses: proxy.ipAddresses ?? ['1.1.1.1'],
    ...(proxy.metadata?.DNSCapture === true ? { dnsCapture: true } : {}),
  });
  return { world, scope: proxyScope(world, node) };
}

interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
    readonly creationTimestamp?: string;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
}

/** The objects as they are: Istio's simulations do not validate theirs. */
function configsOf(yaml: string): readonly Config[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    const object = document.toJS() as RawObject | null;
    if (object === null) return [];
    const { apiVersion, kind, metadata, status, ...rest } = object;
    const [version = '', group = ''] = apiVersion.split('/').reverse();
    const time = metadata.creationTimestamp;
    return [
      {
        group,
        version,
        kind,
        namespace: metadata.namespace ?? 'default',
        name: metadata.name,
        labels: metadata.labels ?? {},
        annotations: metadata.annotations ?? {},
        creationTimeMs: time === undefined ? 0 : Date.parse(time),
        spec: object.spec ?? rest,
        ...(status === undefined ? {} : { status }),
        locate: () => ({ file: 'cases.yaml', line: 1, column: 1 }),
      },
    ];
  });
}

/** Only the facts that are given are compared; those of one listener are of the one that is named. */
function shapeFailure(scenario: Scenario): string | undefined {
  const onPort = proxyOf(scenario).listeners.filter(({ address }) => {
    const socket = address?.address;
    return socket?.case === 'socketAddress' && socket.value.portSpecifier.value === 8080;
  });
  const { virtualHosts: _routes, ...wanted } = scenario.expected ?? {};
  const found = onPort.find(({ name }) => name === wanted.listener);
  const ranges = (found?.filterChains ?? []).flatMap(
    ({ filterChainMatch }) => filterChainMatch?.prefixRanges ?? [],
  );
  const shape: ListenerShape = {
    listenersOnPort8080: onPort.length,
    listener: found?.name ?? '',
    filterChainMatcher: found?.filterChainMatcher !== undefined,
    filterChainsWithPrefixRange: ranges.length,
    prefixLength: ranges[0]?.prefixLen ?? 0,
    defaultFilterChain: found?.defaultFilterChain !== undefined,
  };
  const facts = Object.keys(wanted) as (keyof ListenerShape)[];
  const wrong = facts.filter((fact) => shape[fact] !== wanted[fact]);
  return wrong.length === 0 ? undefined : `${wrong.join(', ')}: got ${JSON.stringify(shape)}`;
}

/** Virtual host -> its clusters; null: there must be none of that name. */
function routeFailure(scenario: Scenario): string | undefined {
  const name = scenario.routeConfig ?? '';
  const built = proxyOf(scenario).routesOf(name);
  for (const [host, wanted] of Object.entries(scenario.expected?.virtualHosts ?? {})) {
    const found = built.virtualHosts.find(
      (each) => each.name === host || each.name.replace(/:\d+$/, '') === host,
    );
    const clusters = found?.routes.flatMap(({ action }) =>
      action.case === 'route' && action.value.clusterSpecifier.case === 'cluster'
        ? [action.value.clusterSpecifier.value]
        : [],
    );
    if (JSON.stringify(clusters ?? null) !== JSON.stringify(wanted))
      return `${host}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(clusters)}`;
  }
  return undefined;
}
