// Istio's small worlds (families `xds` and `simulation` of its test data): clusters, endpoints and listeners.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { TheirObject, TheirService } from '../../test/support/istio-objects.ts';
import { configOf, ourService } from '../../test/support/istio-objects.ts';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import type { ListenerFacts } from '../../test/support/listener-facts.ts';
import { listenerFactsOf } from '../../test/support/listener-facts.ts';
import { proxyNode, worldOf } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import type { Config } from '../config/config.ts';
import { readMeshConfig } from '../config/mesh-config-reader.ts';
import { readMeshNetworks } from '../config/mesh-networks.ts';
import { readText } from '../config/reader.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Service } from '../model/service.ts';
import { clusters, endpoints, listeners } from './index.ts';
import type { ProxyScope } from './resource.ts';
import { proxyScope } from './scope.ts';
import type { World } from './world.ts';

interface TheirProxy {
  readonly type?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ipAddresses?: readonly string[];
  readonly network?: string;
  readonly cluster?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

interface XdsCase {
  readonly name: string;
  readonly group: string;
  readonly config?: string;
  readonly configFile?: string;
  readonly configFiles?: readonly string[];
  readonly proxy: TheirProxy;
  readonly meshConfig?: object;
  /** The cluster that the configuration is in; absent: `Kubernetes`. */
  readonly configCluster?: string;
  readonly kubeObjectFilesByCluster?: Readonly<Record<string, string>>;
  readonly meshNetworks?: object;
  readonly expected?: XdsFacts;
}

type ByCluster = Readonly<Record<string, readonly string[]>>;

interface XdsFacts extends ListenerFacts {
  /** EDS: cluster -> address:port. */
  readonly endpoints?: ByCluster;
  /** Inside the cluster. */
  readonly clusterEndpoints?: ByCluster;
  readonly edsClusters?: readonly string[];
  readonly listeners?: readonly string[];
  readonly cluster?: string;
  readonly localityWeights?: Readonly<Record<string, number>>;
  readonly endpointWeights?: Readonly<Record<string, number>>;
  /** Whether every EDS cluster that `endpoints` or `weightedEndpoints` does not name is without endpoints. */
  readonly othersEmpty?: boolean;
  readonly weightedEndpoints?: Readonly<
    Record<
      string,
      readonly { readonly weight: number; readonly endpoints: Readonly<Record<string, number>> }[]
    >
  >;
}

interface InboundCase {
  readonly name: string;
  readonly kind: string;
  readonly proxy: TheirProxy;
  readonly config?: string;
  readonly meshConfig?: object;
  readonly services?: readonly TheirService[];
  readonly proxyServiceTargets?: readonly {
    readonly service: string;
    readonly servicePort: number;
    readonly targetPort: number;
  }[];
  readonly expected?: { readonly clusters: ByCluster; readonly clusterServices: ByCluster };
}

/** What we do otherwise, or not yet. A case that passes nevertheless is a failure. */
const known: Readonly<Record<string, string>> = {};

const xdsFolder = istioTestdata('xds');
const simulationFolder = istioTestdata('simulation');

describe.skipIf(xdsFolder === undefined || simulationFolder === undefined)('istio-testdata: worlds', () => {
  test('clusters, endpoints: Istio’s small worlds (partly C2.09, partly C3.01, C3.03, C3.16, partly C3.18, partly C9.02, partly C11.10)', (context) => {
    const folder = xdsFolder ?? '';
    const { cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as {
      cases: readonly XdsCase[];
    };
    const open = cases.filter((each) =>
      Object.entries(each.expected ?? {}).some(
        ([fact, value]) => comparedFacts.has(fact) || (fact === 'listener' && typeof value === 'object'),
      ),
    );
    const failures = failuresOf(open, (each) => xdsFailure(folder, each));
    reportFamily(context, { family: 'xds', passed: open.length - failures, total: open.length });
  });

  test('clusters: Istio’s inbound clusters (C2.11, C2.12, partly C3.13)', (context) => {
    const text = readFileSync(join(simulationFolder ?? '', 'cases.yaml'), 'utf8');
    const { scenarios } = parse(text) as { scenarios: readonly InboundCase[] };
    const open = scenarios.filter(
      ({ kind, expected }) => kind === 'inbound-clusters' && expected !== undefined,
    );
    const failures = failuresOf(open, inboundFailure);
    reportFamily(context, { family: 'simulation', passed: open.length - failures, total: open.length });
  });
});

/** Expects that the known ones fail and no others; returns how many. */
function failuresOf<Case extends { readonly name: string }>(
  cases: readonly Case[],
  failureOf: (each: Case) => string | undefined,
): number {
  const failures = new Map<string, string>();
  for (const each of cases) {
    const failure = failureOf(each);
    if (failure !== undefined) failures.set(each.name, failure);
  }
  expect(Object.fromEntries([...failures].filter(([name]) => known[name] === undefined))).toEqual({});
  const names = new Set(cases.map(({ name }) => name));
  expect(Object.keys(known).filter((name) => names.has(name) && !failures.has(name))).toEqual([]);
  return failures.size;
}

const comparedFacts = new Set([
  'endpoints',
  'clusterEndpoints',
  'edsClusters',
  'listeners',
  'endpointWeights',
  'weightedEndpoints',
  'listenerCount',
  'httpListeners',
]);

function xdsFailure(folder: string, each: XdsCase): string | undefined {
  const files = [...(each.configFiles ?? []), ...(each.configFile === undefined ? [] : [each.configFile])];
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8'));
  // Kubernetes objects among them are not read by Istio's tests: those stand in files of their own.
  const istioConfigs = readLeniently([...texts, each.config ?? ''].join('\n---\n')).filter(
    ({ kind }) => kind !== 'Service',
  );
  const configs = istioConfigs.map((config) =>
    each.configCluster === undefined ? config : { ...config, clusterId: each.configCluster },
  );
  const objects = Object.entries(each.kubeObjectFilesByCluster ?? {}).flatMap(([clusterId, file]) =>
    kubeObjects(readFileSync(join(folder, file), 'utf8'), clusterId),
  );
  const { meshConfig, findings } = readMeshConfig(JSON.stringify(each.meshConfig ?? {}));
  const { networks } = readMeshNetworks(JSON.stringify(each.meshNetworks ?? {}));
  if (meshConfig === undefined) return `MeshConfig: ${JSON.stringify(findings)}`;
  const world = worldOf([...configs, ...objects], { ...meshConfig, networks: networks ?? {} });
  const scope = proxyScope(world, ourProxy(each.proxy));
  const facts = each.expected ?? {};
  const ours: XdsFacts = {
    ...(facts.endpoints === undefined
      ? {}
      : { endpoints: mapNames(facts.endpoints, (name) => edsAddresses(world, scope, name)) }),
    ...(facts.othersEmpty === true ? { othersEmpty: othersOf(world, scope, facts).length === 0 } : {}),
    ...(facts.weightedEndpoints === undefined
      ? {}
      : {
          weightedEndpoints: Object.fromEntries(
            Object.keys(facts.weightedEndpoints).map((name) => [name, weightedGroups(world, scope, name)]),
          ),
        }),
    ...(facts.clusterEndpoints === undefined
      ? {}
      : {
          clusterEndpoints: mapNames(facts.clusterEndpoints, (name) => inlineAddresses(world, scope, name)),
        }),
    ...(facts.edsClusters === undefined ? {} : { edsClusters: endpoints.names(world, scope) }),
    ...(facts.listeners === undefined ? {} : { listeners: listeners.names(world, scope) }),
    ...(facts.endpointWeights === undefined ? {} : weightsOf(world, scope, facts.cluster ?? '')),
    ...listenerFactsOf(world, scope, facts),
  };
  const theirs: XdsFacts = {
    ...(facts.endpoints === undefined ? {} : { endpoints: sorted(facts.endpoints) }),
    ...(facts.othersEmpty === true ? { othersEmpty: true } : {}),
    ...(facts.weightedEndpoints === undefined ? {} : { weightedEndpoints: facts.weightedEndpoints }),
    ...(facts.clusterEndpoints === undefined ? {} : { clusterEndpoints: sorted(facts.clusterEndpoints) }),
    ...(facts.edsClusters === undefined ? {} : { edsClusters: sortedText(facts.edsClusters) }),
    ...(facts.listeners === undefined ? {} : { listeners: sortedText(facts.listeners) }),
    ...(facts.endpointWeights === undefined
      ? {}
      : { localityWeights: facts.localityWeights ?? {}, endpointWeights: facts.endpointWeights }),
    ...pickListenerFacts(facts),
  };
  return difference(ours, theirs);
}

function pickListenerFacts({ listener, listenerCount, filterChains, httpListenerCount }: XdsFacts): XdsFacts {
  return {
    ...(typeof listener === 'object' ? { listener } : {}),
    ...(listenerCount === undefined ? {} : { listenerCount }),
    ...(filterChains === undefined ? {} : { filterChains }),
    ...(httpListenerCount === undefined ? {} : { httpListenerCount }),
  };
}

function inboundFailure(each: InboundCase): string | undefined {
  const { meshConfig } = readMeshConfig(JSON.stringify(each.meshConfig ?? {}));
  const world = worldOf(readLeniently(each.config ?? ''), meshConfig ?? {});
  const targets = each.proxyServiceTargets ?? [];
  const services = (each.services ?? []).flatMap((service) => backingServices(ourService(service), targets));
  world.servicesOfWorkload = () => services;
  const scope = proxyScope(world, ourProxy(each.proxy));
  const names = clusters.names(world, scope).filter((name) => name.startsWith('inbound|'));
  const ours = {
    clusters: Object.fromEntries(names.map((name) => [name, inlineAddresses(world, scope, name)])),
    clusterServices: Object.fromEntries(
      names
        .map((name) => [name, sortedText(servicesOf(clusterJson(world, scope, name)))] as const)
        .filter(([, services]) => services.length > 0),
    ),
  };
  const { expected } = each;
  return difference(ours, {
    clusters: sorted(expected?.clusters ?? {}),
    clusterServices: sorted(expected?.clusterServices ?? {}),
  });
}

/** The service with the ports that the workload backs, if any. */
function backingServices(
  service: Service,
  targets: NonNullable<InboundCase['proxyServiceTargets']>,
): readonly Service[] {
  const ports = service.ports.flatMap((port) => {
    const target = targets.find(
      (each) => each.service === service.hostname && each.servicePort === port.servicePort,
    );
    return target === undefined ? [] : [{ ...port, targetPort: target.targetPort }];
  });
  return ports.length === 0 ? [] : [{ ...service, ports, selector: {} }];
}

/** EDS clusters with endpoints that the case does not name. */
function othersOf(world: World, scope: ProxyScope, facts: XdsFacts): readonly string[] {
  const named = new Set(
    Object.keys(facts.endpoints ?? facts.weightedEndpoints ?? {}).map((name) => name.toLowerCase()),
  );
  return endpoints
    .names(world, scope)
    .filter((name) => !named.has(name) && edsAddresses(world, scope, name).length > 0);
}

function weightedGroups(world: World, scope: ProxyScope, name: string) {
  const { endpoints: localities = [] } = edsJson(world, scope, name);
  return localities.map(({ loadBalancingWeight = 0, lbEndpoints = [] }) => ({
    weight: loadBalancingWeight,
    endpoints: Object.fromEntries(
      lbEndpoints.map(({ endpoint, loadBalancingWeight: weight = 0 }) => [
        endpoint.address.socketAddress?.address ?? '',
        weight,
      ]),
    ),
  }));
}

/** What a Kubernetes client holds of a cluster: their objects lack what an API server would add. */
function kubeObjects(text: string, clusterId: string): readonly Config[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as (TheirObject & Record<string, unknown>) | null)
    .flatMap((object) => {
      if (object === null) return [];
      const { apiVersion: _version, kind, metadata: _metadata, ...rest } = object;
      const whole = ['EndpointSlice', 'Node', 'Namespace'].includes(kind);
      const config = configOf(object);
      return [{ ...config, spec: whole ? rest : (object.spec ?? {}), clusterId }];
    });
}

function ourProxy({
  namespace = 'default',
  labels = {},
  ipAddresses = ['1.1.1.1'],
  network = '',
  cluster = 'Kubernetes',
  type,
  metadata = {},
}: TheirProxy): ProxyNode {
  return proxyNode({
    namespace,
    labels,
    ipAddresses,
    network,
    clusterId: cluster,
    type: type === 'gateway' ? 'router' : 'sidecar',
    interceptionMode: metadata['INTERCEPTION_MODE'] === 'NONE' ? 'NONE' : 'REDIRECT',
    http10: metadata['HTTP10'] === '1',
  });
}

/** Refused objects are left out, as they are where the program runs; names with capitals, which no API server takes, are made right. */
function readLeniently(text: string): readonly Config[] {
  const named = text.replace(
    /^( {2}name: )(\S+)$/gm,
    (_line, key: string, name: string) => key + name.toLowerCase(),
  );
  return readText('istio.yaml', named).configs;
}

function mapNames(names: ByCluster, look: (name: string) => readonly string[]): ByCluster {
  return Object.fromEntries(Object.keys(names).map((name) => [name, look(name)]));
}

interface LoadAssignmentJson {
  readonly endpoints?: readonly {
    readonly locality?: { readonly region?: string };
    readonly loadBalancingWeight?: number;
    readonly lbEndpoints?: readonly {
      readonly loadBalancingWeight?: number;
      readonly endpoint: {
        readonly address: {
          readonly socketAddress?: { readonly address: string; readonly portValue: number };
          readonly pipe?: { readonly path: string };
        };
      };
    }[];
  }[];
}

/** Hosts are lower case with us, as DNS does not tell. */
function edsJson(world: World, scope: ProxyScope, name: string): LoadAssignmentJson {
  const input = endpoints.input(world, scope, name.toLowerCase());
  return input === undefined
    ? {}
    : (messageToJson(endpoints.schema, endpoints.build(input).message) as LoadAssignmentJson);
}

function edsAddresses(world: World, scope: ProxyScope, name: string): readonly string[] {
  return addressesIn(edsJson(world, scope, name));
}

function clusterJson(world: World, scope: ProxyScope, name: string): JsonObject {
  const input = clusters.input(world, scope, name);
  return input === undefined
    ? {}
    : (messageToJson(clusters.schema, clusters.build(input).message) as JsonObject);
}

function inlineAddresses(world: World, scope: ProxyScope, name: string): readonly string[] {
  return addressesIn((clusterJson(world, scope, name)['loadAssignment'] ?? {}) as LoadAssignmentJson);
}

/** Each address once: two ServiceEntries may name the same one. */
function addressesIn({ endpoints: localities = [] }: LoadAssignmentJson): readonly string[] {
  const addresses = localities
    .flatMap(({ lbEndpoints = [] }) => lbEndpoints)
    .map(({ endpoint: { address } }) =>
      address.socketAddress === undefined
        ? (address.pipe?.path ?? '')
        : `${address.socketAddress.address}:${address.socketAddress.portValue}`,
    );
  return sortedText(addresses);
}

function weightsOf(world: World, scope: ProxyScope, name: string): XdsFacts {
  const { endpoints: localities = [] } = edsJson(world, scope, name);
  return {
    localityWeights: Object.fromEntries(
      localities.map(({ locality, loadBalancingWeight = 0 }) => [
        locality?.region ?? '',
        loadBalancingWeight,
      ]),
    ),
    endpointWeights: Object.fromEntries(
      localities
        .flatMap(({ lbEndpoints = [] }) => lbEndpoints)
        .map(({ endpoint, loadBalancingWeight = 0 }) => [
          endpoint.address.socketAddress?.address ?? '',
          loadBalancingWeight,
        ]),
    ),
  };
}

function servicesOf(cluster: JsonObject): readonly string[] {
  const { metadata } = cluster as {
    metadata?: { filterMetadata?: { istio?: { services?: readonly { host: string }[] } } };
  };
  return (metadata?.filterMetadata?.istio?.services ?? []).map(({ host }) => host);
}

function difference(ours: unknown, theirs: unknown): string | undefined {
  return isDeepStrictEqual(ours, theirs)
    ? undefined
    : `ours ${JSON.stringify(ours)}, Istio's ${JSON.stringify(theirs)}`;
}

function sorted(lists: ByCluster): ByCluster {
  return Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, sortedText(list)]));
}

function sortedText(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
