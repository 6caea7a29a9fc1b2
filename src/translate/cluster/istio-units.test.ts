// Istio's own tables (family `units` of its test data) about clusters, endpoints and where services are.
import { test } from 'vitest';
import { configOf } from '../../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../../test/support/istio-units.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import type { SidecarSpec } from '../../api/gen/istio-types.js';
import type { Config } from '../../config/config.ts';
import { readMeshConfig } from '../../config/mesh-config-reader.ts';
import { parseClusterName, parseDnsSrvClusterName } from '../../model/cluster-name.ts';
import type { Endpoint, Service } from '../../model/service.ts';
import { allocateAddresses } from '../../registry/allocated-addresses.ts';
import { trafficDistributionOf } from '../../registry/kube-service.ts';
import type { LoadBalancer, TrafficPolicy } from '../destination-rule.ts';
import { isClusterLocalHost, isShown } from '../endpoint/cluster-endpoints.ts';
import { groupsOf, localityLbOf } from '../endpoint/locality-lb.ts';
import { proxyScope } from '../scope.ts';
import { spiffeName, underAliases } from '../tls/san-matchers.ts';
import { credentialSecret } from '../tls/sds.ts';
import { clusters } from './clusters.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Returns what we say and what Istio says; undefined where a case asks for what we do not have. */
type Check<Given = Fields, Expected = Fields> = (
  given: Given,
  expected: Expected,
) => readonly [ours: unknown, theirs: unknown];

function check<Given, Expected>(run: Check<Given, Expected>): UnitCheck {
  return run;
}

type Setting = NonNullable<LoadBalancer['localityLbSetting']>;
type Annotations = Readonly<Record<string, string>> | null;

interface EffectiveCase {
  readonly meshLocality?: Setting;
  readonly meshZoneAware?: object;
  readonly dr?: LoadBalancer;
  readonly svc?: {
    readonly attributes: { readonly k8sAttributes: { readonly trafficDistribution?: string } };
  };
}

interface EffectiveAnswer {
  readonly expectedLocality: Setting | null;
  readonly expectedZoneAware: Setting | null;
  readonly expectedForce: boolean;
  readonly expectedRoutingEnabled: boolean;
}

/** A setting without its switch, which we have read by then. */
function essence(setting: Setting | null | undefined): unknown {
  if (setting === null || setting === undefined) return null;
  const { enabled: _enabled, ...rest } = setting;
  return rest;
}

/** What we do otherwise. A case that passes nevertheless is a failure. */
const known: Readonly<Record<string, string>> = {
  'model.ParseSubsetKey: case 4': 'no inbound cluster has a server name',
};

const place = { region: '', zone: '', subzone: '' };
const endpoint: Endpoint = {
  address: '',
  endpointPort: 0,
  servicePortName: '',
  servicePort: 0,
  labels: {},
  namespace: '',
  workloadName: '',
  serviceAccount: '',
  network: '',
  clusterId: '',
  locality: place,
  nodeName: '',
  tlsMode: 'disabled',
  health: 'HEALTHY',
  weight: 1,
};

const checks: Readonly<Record<string, UnitCheck>> = {
  'pilot/pkg/networking/core/loadbalancer.GetEffectiveLbSetting': check<EffectiveCase, EffectiveAnswer>(
    ({ meshLocality, meshZoneAware, dr, svc }, expected) => {
      const distribution = svc?.attributes.k8sAttributes.trafficDistribution?.replace(
        'TrafficDistribution',
        '',
      );
      const service = (distribution === undefined ? {} : { trafficDistribution: distribution }) as Service;
      const effective = (policy: TrafficPolicy) =>
        localityLbOf(
          { locality: place, labels: {} },
          service,
          { policy, origins: {} },
          {
            localityLbSetting: meshLocality ?? { enabled: false },
            ...(meshZoneAware === undefined ? {} : { zoneAwareLbSetting: meshZoneAware }),
          },
        );
      const loadBalancer = dr ?? {};
      // With outlier detection the setting itself is what counts; without it, whether it needs any.
      const ours = effective({ loadBalancer, outlierDetection: {} });
      const forced = effective({ loadBalancer })?.failsOver === true;
      const setting = essence(ours?.setting);
      const isZoneAware = ours?.zoneAware !== undefined;
      return [
        [
          isZoneAware ? null : setting,
          isZoneAware ? setting : null,
          forced,
          ours?.zoneAware?.isEnabled ?? false,
        ],
        [
          essence(expected.expectedLocality),
          essence(expected.expectedZoneAware),
          expected.expectedForce,
          expected.expectedRoutingEnabled,
        ],
      ];
    },
  ),
  'pilot/pkg/networking/util.LocalityMatch': check<
    { readonly locality: { region?: string; zone?: string; subZone?: string }; readonly rule: string },
    { readonly match: boolean }
  >(({ locality: { region = '', zone = '', subZone = '' }, rule }, { match }) => {
    const locality = { region, zone, subzone: subZone };
    const lb = {
      locality,
      setting: { distribute: [{ from: rule, to: {} }] },
      failsOver: false,
      labels: {},
    };
    // A rule for the locality without any share leaves nothing.
    return [groupsOf([endpoint], lb).length === 0, match];
  }),
  'pilot/pkg/model.IsClusterLocal': check<
    { readonly m: object; readonly host: string },
    { readonly expected: boolean }
  >(({ m, host }, { expected }) => {
    const { meshConfig } = readMeshConfig(JSON.stringify(m));
    return [meshConfig === undefined ? 'refused' : isClusterLocalHost(meshConfig, host), expected];
  }),
  'pilot/pkg/model.ParseSubsetKey': check<
    { readonly input: string },
    {
      readonly direction: string;
      readonly subsetName: string;
      readonly hostname: string;
      readonly port: number;
    }
  >(({ input }, expected) => {
    const ours = parseClusterName(input) ?? parseDnsSrvClusterName(input);
    return [
      {
        direction: ours?.direction,
        subsetName: ours?.subset,
        hostname: ours?.hostname,
        port: ours?.servicePort,
      },
      expected,
    ];
  }),
  'pilot/pkg/model.GetTrafficDistribution': check<
    {
      readonly specValue: string | null;
      readonly svcAnnotation: Annotations;
      readonly nsAnnotation: Annotations;
    },
    { readonly want: string }
  >(({ specValue, svcAnnotation, nsAnnotation }, { want }) => [
    `TrafficDistribution${trafficDistributionOf(specValue ?? undefined, svcAnnotation ?? {}, nsAnnotation?.['networking.istio.io/traffic-distribution']) ?? 'Any'}`,
    want,
  ]),
  'pilot/pkg/serviceregistry/serviceentry.legacyAutoAllocateIP_deterministic': check<
    { readonly in: string },
    { readonly want: string }
  >(({ in: host }, { want }) => [allocateAddresses([`/${host}`]).get(`/${host}`)?.v4, want]),
  'pilot/pkg/model.ProxyView': check<
    { readonly networkView?: readonly string[]; readonly network: string },
    { readonly visible: boolean }
  >(({ networkView, network }, { visible }) => [
    isShown(networkView === undefined ? {} : { networkView }, { network }),
    visible,
  ]),
  'pilot/pkg/model.InboundConnectionPoolForPort': check<
    { readonly sidecar: SidecarSpec },
    { readonly want: Readonly<Record<string, unknown>> }
  >(({ sidecar }, { want }) => [
    Object.fromEntries(Object.keys(want).map((port) => [port, poolOfPort(sidecar, Number(port))])),
    want,
  ]),
  'pilot/pkg/networking/util.AddSubsetToMetadata': check<
    { readonly in: { filterMetadata?: object }; readonly subset: string },
    { readonly want: { filterMetadata?: { istio: object } } }
  >(({ in: given, subset }, { want }) => [
    given.filterMetadata === undefined
      ? metadataUnder(undefined, '')
      : metadataUnder({ name: 'svcA', spec: { subsets: [{ name: subset }] } }, subset),
    want.filterMetadata?.istio ?? {},
  ]),
  'pilot/pkg/networking/util.AddALPNOverrideToMetadata': check<
    { readonly tlsMode: string },
    { readonly want: { filterMetadata: { istio: { alpn_override?: string } } } | null }
  >(({ tlsMode }, { want }) => {
    const ours = metadataUnder({ name: 'r', spec: { trafficPolicy: { tls: { mode: tlsMode } } } }, '');
    return [(ours as { alpn_override?: string }).alpn_override, want?.filterMetadata.istio.alpn_override];
  }),
  'pilot/pkg/model/credentials.ToResourceName': check<{ readonly name: string }, { readonly want: string }>(
    ({ name }, { want }) => [credentialSecret(name).name, want],
  ),
  'pkg/spiffe.GenSpiffeURI': check<
    { readonly trustDomain: string; readonly namespace?: string; readonly serviceAccount?: string },
    { readonly expectedURI: string }
  >(({ trustDomain, namespace = '', serviceAccount = '' }, { expectedURI }) => [
    // Who has no service account has no name: the caller sees to that.
    namespace === '' || serviceAccount === '' ? '' : spiffeName(trustDomain, namespace, serviceAccount),
    expectedURI,
  ]),
  'pkg/spiffe.ExpandWithTrustDomains': check<
    { readonly spiffeURI?: readonly string[] | null; readonly trustDomains?: readonly string[] | null },
    { readonly want: Readonly<Record<string, object>> | null }
  >(({ spiffeURI, trustDomains }, { want }) => [
    [...underAliases(spiffeURI ?? [], trustDomains ?? [])].sort(),
    Object.keys(want ?? {}).sort(),
  ]),
};

const objects = (kind: string, name: string, spec: object): Config =>
  configOf({
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { name, namespace: 'default' },
    spec,
  });

/** What the metadata of a service's cluster says under a DestinationRule, without the services. */
function metadataUnder(rule: { name: string; spec: object } | undefined, subset: string): unknown {
  const entry = objects('ServiceEntry', 'a', {
    hosts: ['a.example'],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    location: 'MESH_INTERNAL',
  });
  const rules =
    rule === undefined ? [] : [objects('DestinationRule', rule.name, { host: 'a.example', ...rule.spec })];
  const world = worldOf([entry, ...rules]);
  const scope = proxyScope(world, proxyNode());
  const input = clusters.input(world, scope, `outbound|80|${subset}|a.example`);
  if (input === undefined) return 'no such cluster';
  const { services: _services, ...rest } =
    clusters.build(input).message.metadata?.filterMetadata['istio'] ?? {};
  return rest;
}

/** Of the inbound cluster of that port, which the Sidecar names or a Service does. */
function poolOfPort(sidecar: SidecarSpec, port: number): unknown {
  const ingress = (sidecar.ingress ?? []).filter((each) => each.port?.number === port);
  const service = configOf({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'a', namespace: 'default' },
    spec: { selector: { app: 'a' }, ports: [{ port, name: 'tcp' }] },
  });
  const world = worldOf([service, objects('Sidecar', 's', { ...sidecar, ingress })]);
  const scope = proxyScope(world, proxyNode({ labels: { app: 'a' } }));
  const input = clusters.input(world, scope, `inbound|${port}||`);
  return input?.kind === 'inbound' ? input.policy.policy.connectionPool : 'no such cluster';
}

test.skipIf(unitsFolder === undefined)(
  'clusters, endpoints: Istio cases (partly C3.11, C10.03, C10.04)',
  (context) => {
    runUnits(context, checks, known);
  },
);
