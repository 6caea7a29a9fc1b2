// Istio's function-level cases (family `units` of its test data) about services, scopes, policies and names.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { test } from 'vitest';
import type { Labels, TheirObject, TheirService } from '../../test/support/istio-objects.ts';
import {
  configOf,
  ourService,
  theirProtocol,
  theirResolutions,
  uniqueByHost,
} from '../../test/support/istio-objects.ts';
import type { UnitCase, UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { proxyNode, worldOf } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import { ClusterLoadAssignmentSchema } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Config, DestinationRuleConfig } from '../config/config.ts';
import type { KubeServiceSpec, PodSpec } from '../config/kube-types.ts';
import { formatClusterName, parseClusterName } from '../model/cluster-name.ts';
import { compareSpecificity, hostnameCovers, hostnamesOverlap, resolveHost } from '../model/hostname.ts';
import { parseProtocol, protocolOfPort } from '../model/protocol.ts';
import type { Endpoint, Service } from '../model/service.ts';
import { labelsMatch } from '../model/labels.ts';
import { serviceOfKubeService } from '../registry/kube-service.ts';
import { bestOfEach, isVisible, mergeServices } from '../registry/service-conflicts.ts';
import { servicesOfEntry } from '../registry/service-entry.ts';
import { workloadOfPod } from '../registry/workload.ts';
import { addressFamilyOf } from './cluster/cluster-input.ts';
import type { EffectiveDestinationRule, TrafficPolicy } from './destination-rule.ts';
import { destinationRuleFor } from './destination-rule.ts';
import { layerPolicy } from './layered-policy.ts';
import { loadAssignment, workloadMetadata } from './endpoint/load-assignment.ts';
import { listenerServices } from './egress-listeners.ts';
import { aliasesOf, proxyScope, visibleServices } from './scope.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Returns what we say and what Istio says. */
type Check<Given = Fields, Expected = Fields> = (
  given: Given,
  expected: Expected,
) => readonly [ours: unknown, theirs: unknown];

/** The cases are JSON of many shapes; each group's check says which it reads. */
function check<Given, Expected>(run: Check<Given, Expected>): UnitCheck {
  return run;
}

/** What we do otherwise, or not yet. A case that passes nevertheless is a failure. */
const visibility = 'MeshConfig.serviceEntryVisibility is not built';
const scopes = 'model.CreateSidecarScope: ';
const known: Readonly<Record<string, string>> = {
  [`${scopes}no-sidecar-config-not-merge-service-in-diff-namespaces`]:
    'two Kubernetes Services never have one hostname',
  'model.IsServiceVisible: applyToSidecars: NONE service is not visible even in its own namespace':
    visibility,
  'model.IsServiceVisible: applyToSidecars: exportTo=[*,~] in bar is clamped, not visible cross-namespace in foo':
    visibility,
  'model.IsServiceVisible: applyToSidecars: exportTo=[foo] in baz - NAMESPACE strips the explicit foo grant':
    visibility,
  'model.ResolveShortnameToFQDN: foo #3': 'the domain suffix is never empty',
};

const origin = { kind: 'X', namespace: '', name: '', fieldPath: [] };

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/config/host.NameSubsetOf': check<{ a: string; b: string }, { out: boolean }>(({ a, b }, { out }) => [
    hostnameCovers(b, a),
    out,
  ]),
  'pkg/config/host.NameMatches': check<{ a: string; b: string }, { out: boolean }>(({ a, b }, { out }) => [
    hostnamesOverlap(a, b),
    out,
  ]),
  'pkg/config/host.NamesSortOrder': check<{ in: string[] }, { want: string[] }>(({ in: names }, { want }) => [
    [...names].sort(compareSpecificity),
    want,
  ]),
  'pkg/config/protocol.Parse': check<{ name: string }, { out: string }>(({ name }, { out }) => [
    theirProtocol(parseProtocol(name)),
    out,
  ]),
  'pilot/pkg/serviceregistry/kube.ConvertProtocol': check<
    { name: string; port: number; proto: string; appProtocol: string | null },
    { out: string }
  >(({ name, port, proto, appProtocol }, { out }) => [
    theirProtocol(
      protocolOfPort({ name, number: port, transport: proto, appProtocol: appProtocol ?? undefined }),
    ),
    out,
  ]),
  'pkg/config/labels.Instance': check<
    { left: Labels | null; right: Labels | null },
    { expected: { subsetOf: boolean } }
  >(({ left, right }, { expected }) => [labelsMatch(left ?? {}, right ?? {}), expected.subsetOf]),
  'pilot/pkg/model.SubsetKey': check<{ hostname: string; subset: string; port: number }, { want: string }>(
    ({ hostname, subset, port }, { want }) => [
      formatClusterName({ direction: 'outbound', servicePort: port, subset, hostname }),
      want,
    ],
  ),
  'pilot/pkg/model.IsValidSubsetKey': check<{ subsetkey: string }, { expectErr: boolean }>(
    ({ subsetkey }, { expectErr }) => [parseClusterName(subsetkey) === undefined, expectErr],
  ),
  'pilot/pkg/model.ResolveShortnameToFQDN': check<
    { name: string; meta: { namespace?: string; domain?: string } },
    { out: string }
  >(({ name, meta: { namespace = '', domain = '' } }, { out }) => [
    resolveHost(name, namespace, domain),
    out,
  ]),
  'pilot/pkg/model.MostSpecificHostMatch': check<{ in: string[]; needle: string }, { want: string }>(
    ({ in: hosts, needle }, { want }) => [
      hosts.filter((host) => hostnameCovers(host, needle)).sort(compareSpecificity)[0] ?? '',
      want,
    ],
  ),
  'pilot/pkg/model.IsServiceVisible': check<
    { service: TheirService; pushContext: { exportToDefaults?: { service?: string[] } } },
    { expect: boolean }
  >(({ service, pushContext: { exportToDefaults } }, { expect: visible }) => [
    isVisible(ourService(service, exportToDefaults?.service), 'foo'),
    visible,
  ]),
  'pilot/pkg/networking/util.SelectDNSLookupFamily': check<{ ips: string[] | null }, { want: string }>(
    ({ ips }, { want }) => [addressFamilyOf(ips ?? []) === 'v6' ? 'V6_ONLY' : 'V4_ONLY', want],
  ),
  'pilot/pkg/networking/util.MergeSubsetTrafficPolicy': check<
    { original: TrafficPolicy | null; subset: TrafficPolicy | null; port: { port?: number } | null },
    { expected: TrafficPolicy | null }
  >(({ original, subset, port }, { expected }) => [
    mergedPolicy(original, subset, port?.port ?? 0),
    expected ?? {},
  ]),
  'pilot/pkg/networking/util.BuildAddress': check<{ addr: string; port: number }, { expected: unknown }>(
    ({ addr, port }, { expected }) => [builtAddress(addr, port), expected],
  ),
  'pilot/pkg/serviceregistry/kube.ServiceConversionWithExportToAnnotation': check<
    { annotation: string },
    { want: string[] | object }
  >(({ annotation }, { want }) => {
    const annotations = { 'networking.istio.io/exportTo': annotation };
    const config = configOf({ kind: 'Service', metadata: { name: 'a', annotations } });
    const service = serviceOfKubeService(config as Config<KubeServiceSpec>, {
      domainSuffix: 'x',
      defaultExportTo: [],
    });
    return [sortedText(service.exportTo), Array.isArray(want) ? sortedText(want) : []];
  }),
  'pilot/pkg/serviceregistry/serviceentry.ConvertService': check<
    { externalSvc: TheirObject },
    { services: TheirService[] | null }
  >(({ externalSvc }, { services }) => [
    servicesOfEntry(configOf(externalSvc), []).map(
      ({ hostname, ports, resolution, meshExternal, selector }) => ({
        hostname,
        // Not the protocol: these cases contradict those of protocol.Parse.
        ports: ports.map(({ name, servicePort }) => [name, servicePort]),
        resolution: theirResolutions[resolution],
        meshExternal,
        selector: selector ?? {},
      }),
    ),
    uniqueByHost(services ?? []).map((service) => ({
      hostname: service.hostname,
      ports: (service.ports ?? []).map(({ name, port }) => [name, port]),
      resolution: service.resolution ?? 'ClientSideLB',
      meshExternal: service.meshExternal ?? false,
      selector: service.attributes?.labelSelectors ?? {},
    })),
  ]),
  'pkg/kube.DeployMeta': check<{ pod: Partial<TheirObject> }, { wantName: { name?: string } }>(
    ({ pod }, { wantName }) => [workloadNameOf(pod), wantName.name],
  ),
  'pkg/kube/labels.CanonicalService': check<
    { labels: Labels | null; workloadName: string },
    { expectedName: string; expectedRevision: string }
  >(({ labels, workloadName }, { expectedName, expectedRevision }) => {
    const text = workloadMetadata({ ...endpoint, labels: labels ?? {}, workloadName });
    const [, , name, revision] = text.split(';');
    return [
      [name, revision === '' ? 'latest' : revision],
      [expectedName, expectedRevision],
    ];
  }),
  'pkg/model.SanitizeLocalityLabel': check<{ label: string }, { expected: string }>(
    ({ label }, { expected }) => {
      const config = configOf({
        kind: 'Pod',
        metadata: { name: 'a', labels: { 'istio-locality': label } },
        status: { podIP: '1.1.1.1' },
      });
      const locality = workloadOfPod(config as Config<PodSpec>, {
        clusterId: '',
        networkOf: (label) => label,
      })?.locality;
      const { region = '', zone = '', subzone = '' } = locality ?? {};
      return [[region, zone, subzone].filter((part) => part !== '').join('/'), expected];
    },
  ),
  'pilot/pkg/model.IstioEgressListenerWrapper': check<
    {
      listenerHosts: Readonly<Record<string, { allHosts?: string[]; excludedHosts?: string[] }>>;
      services: readonly TheirService[];
      namespace: string;
    },
    { expected: readonly TheirService[] | null }
  >(({ listenerHosts, services, namespace }, { expected }) => [
    importedNames(listenerHosts, services, namespace),
    // Istio keeps services of one name apart that differ in ports alone.
    sortedText([...new Set((expected ?? []).map(serviceText))]),
  ]),
  'pilot/pkg/model.ResolveServiceAliases': check<
    { input: readonly { name: string; externalName?: string }[] },
    { output: readonly { name: string; aliases?: string[] }[] }
  >(({ input }, { output }) => {
    const services = input.map(({ name, externalName }) => ({
      ...ourService({ hostname: name }),
      ...(externalName === undefined ? {} : { resolution: 'alias' as const, aliasOf: externalName }),
    }));
    const world = worldOf([]);
    world.servicesVisibleTo = () => services;
    const scope = proxyScope(world, proxyNode());
    return [
      input.map(({ name }) => aliasesOf(world, scope, name)),
      output.map(({ aliases = [] }) => sortedText(aliases)),
    ];
  }),
  'pilot/pkg/model.CreateSidecarScope': check<SidecarCase, SidecarAnswer>((given, expected) =>
    sidecarScope(given, expected),
  ),
};

test.skipIf(unitsFolder === undefined)(
  'services, scopes, policies: Istio cases (C2.02, C2.03, C2.06, partly C2.09, C3.14, C4.01, C9.02, C9.04, C10.01)',
  (context) => {
    runUnits(context, checks, known);
  },
);

interface Family {
  readonly groups: Readonly<Record<string, { given?: { destinationRules: readonly TheirObject[] } }>>;
  readonly cases: readonly UnitCase[];
}

function readFamily(): Family {
  return JSON.parse(readFileSync(join(unitsFolder ?? '', 'cases.json'), 'utf8')) as Family;
}

/** `namespace/hostname` of what an egress listener with these hosts imports. */
function importedNames(
  listenerHosts: Readonly<Record<string, { allHosts?: string[]; excludedHosts?: string[] }>>,
  services: readonly TheirService[],
  namespace: string,
): readonly string[] {
  const hosts = Object.entries(listenerHosts).flatMap(([owner, { allHosts = [], excludedHosts = [] }]) => [
    ...allHosts.map((host) => ({ namespace: owner, host, excluded: false })),
    ...excludedHosts.map((host) => ({ namespace: owner, host, excluded: true })),
  ]);
  const world = worldOf([]);
  world.servicesExportedTo = () => services.map((each) => ourService(each));
  const listener = { key: '', namespace, bind: '', captureMode: 'DEFAULT' as const, hosts };
  return sortedText(
    listenerServices(world, listener).map(({ hostname, namespace: owner }) => `${owner}/${hostname}`),
  );
}

function serviceText({ hostname, attributes }: TheirService): string {
  return `${attributes?.namespace ?? ''}/${hostname}`;
}

interface SidecarCase {
  readonly sidecarConfig: TheirObject | null;
  readonly services: readonly TheirService[] | null;
  readonly virtualServices: readonly TheirObject[] | null;
}

interface SidecarAnswer {
  readonly expectedServices: readonly TheirService[] | null;
  readonly expectedDr: DestinationRuleConfig | null;
}

function workloadNameOf(pod: Partial<TheirObject>): string | undefined {
  const config = configOf({ kind: 'Pod', metadata: {}, ...pod, status: { podIP: '1.1.1.1' } });
  return workloadOfPod(config as Config<PodSpec>, { clusterId: '', networkOf: (label) => label })
    ?.workloadName;
}

function mergedPolicy(
  original: TrafficPolicy | null,
  subset: TrafficPolicy | null,
  servicePort: number,
): unknown {
  const sourced = (policy: TrafficPolicy | null) =>
    policy === null ? {} : { trafficPolicy: { policy, origin } };
  const rule: EffectiveDestinationRule = {
    namespace: '',
    name: '',
    version: '',
    host: '',
    subsets: [],
    duplicateSubsets: [],
    isForChosenWorkloads: false,
    origins: [],
    ...sourced(original),
  };
  return layerPolicy(rule, servicePort, { name: 's', labels: {}, origin, ...sourced(subset) }).policy;
}

const endpoint: Endpoint = {
  address: '1.1.1.1',
  endpointPort: 80,
  servicePortName: '',
  servicePort: 80,
  labels: {},
  namespace: '',
  workloadName: '',
  serviceAccount: '',
  network: '',
  clusterId: '',
  locality: { region: '', zone: '', subzone: '' },
  nodeName: '',
  tlsMode: 'disabled',
  health: 'HEALTHY',
  weight: 1,
};

function builtAddress(address: string, endpointPort: number): unknown {
  const message = loadAssignment({ name: 'x', endpoints: [{ ...endpoint, address, endpointPort }] });
  const json = messageToJson(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, message));
  return (json as { endpoints: [{ lbEndpoints: [{ endpoint: { address: unknown } }] }] }).endpoints[0]
    .lbEndpoints[0].endpoint.address;
}

/** Services by hostname with namespace and ports; and the DestinationRule of httpbin.org where Istio names one. */
function sidecarScope(
  { sidecarConfig, services, virtualServices }: SidecarCase,
  { expectedServices, expectedDr }: SidecarAnswer,
): readonly [unknown, unknown] {
  const rules = readFamily().groups['pilot/pkg/model.CreateSidecarScope']?.given?.destinationRules ?? [];
  const metadata = { name: 's', namespace: 'mynamespace' };
  const objects: TheirObject[] = [
    // Two of them have one name.
    ...rules.map((rule, index) => ({
      ...rule,
      kind: 'DestinationRule',
      metadata: { ...rule.metadata, name: `${rule.metadata.name ?? ''}-${index}` },
    })),
    ...(virtualServices ?? []).map(inNoDomain),
    ...(sidecarConfig === null ? [] : [{ ...sidecarConfig, kind: 'Sidecar', metadata }]),
  ];
  const byKey = new Map<string, Service[]>();
  for (const [index, given] of (services ?? []).entries()) {
    const ours = ourService(given);
    // Istio takes them in this order.
    const service = given.creationTime === undefined ? { ...ours, creationTimeMs: index } : ours;
    const key = `${service.namespace}/${service.hostname}`;
    byKey.set(key, [...(byKey.get(key) ?? []), service]);
  }
  const merged = [...byKey.values()].flatMap((each) => mergeServices(each) ?? []);
  const seen = bestOfEach(merged, 'mynamespace');
  const world = worldOf(objects.map(configOf));
  world.servicesVisibleTo = () => seen;
  world.servicesExportedTo = () => merged;
  world.service = (hostname) => seen.find((service) => service.hostname === hostname);
  // The proxy's labels are not among the facts: those that the expected rule selects.
  const labels = expectedDr?.spec.workloadSelector?.matchLabels ?? {};
  const scope = proxyScope(world, proxyNode({ namespace: 'mynamespace', labels }));
  const ours = visibleServices(world, scope).map(({ hostname, namespace, ports }) =>
    shortText(
      hostname,
      namespace,
      ports.map(({ servicePort }) => servicePort),
    ),
  );
  const theirs = (expectedServices ?? []).map(({ hostname, attributes, ports = [] }) =>
    shortText(
      hostname,
      attributes?.namespace ?? '',
      ports.map(({ port }) => port),
    ),
  );
  const rule = expectedDr === null ? undefined : destinationRuleFor(world, scope, 'httpbin.org');
  return [
    { services: sortedText(ours), subsets: rule?.subsets.map(({ name }) => name) ?? [] },
    { services: sortedText(theirs), subsets: expectedDr?.spec.subsets?.map(({ name }) => name) ?? [] },
  ];
}

/** These VirtualServices have no domain: their short hosts are completed by the namespace alone. */
function inNoDomain(virtualService: TheirObject): TheirObject {
  const { metadata } = virtualService;
  const spec = virtualService.spec as { readonly hosts?: readonly string[] };
  const hosts = (spec.hosts ?? []).map((host) =>
    host.includes('.') ? host : `${host}.${metadata.namespace ?? ''}`,
  );
  return { ...virtualService, kind: 'VirtualService', spec: { ...spec, hosts } };
}

function shortText(hostname: string, namespace: string, ports: readonly number[]): string {
  return `${namespace}/${hostname} ${[...ports].sort((a, b) => a - b).join(' ')}`;
}

function sortedText(texts: readonly string[]): readonly string[] {
  return [...texts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
