// Istio's own tables (family `units` of its test data) about clusters, endpoints and where services are.
import { test } from 'vitest';
import type { UnitCheck } from '../../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../../test/support/istio-units.ts';
import { readMeshConfig } from '../../config/mesh-config-reader.ts';
import { parseClusterName, parseDnsSrvClusterName } from '../../model/cluster-name.ts';
import type { Endpoint, Service } from '../../model/service.ts';
import { allocateAddresses } from '../../registry/allocated-addresses.ts';
import { trafficDistributionOf } from '../../registry/kube-service.ts';
import type { LoadBalancer, TrafficPolicy } from '../destination-rule.ts';
import { isClusterLocalHost } from '../endpoint/cluster-endpoints.ts';
import { groupsOf, localityLbOf } from '../endpoint/locality-lb.ts';
import { spiffeName, underAliases } from '../tls/san-matchers.ts';

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

test.skipIf(unitsFolder === undefined)(
  'clusters, endpoints: Istio cases (partly C3.11, C10.03, C10.04)',
  (context) => {
    runUnits(context, checks, known);
  },
);
