// Istio's own tables (family `units` of its test data) about where services and workloads come from.
import { describe, test } from 'vitest';
import type { TheirService } from '../../test/support/istio-objects.ts';
import { configOf } from '../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../test/support/istio-units.ts';
import { worldOf } from '../../test/support/world.ts';
import type { Config } from '../config/config.ts';
import type { PodSpec } from '../config/kube-types.ts';
import { workloadOfInlineEntry, workloadOfPod } from './workload.ts';

interface GivenService extends TheirService {
  readonly defaultAddress?: string;
  readonly autoAllocatedIPv4Address?: string;
  readonly autoAllocatedIPv6Address?: string;
}

const options = { clusterId: '', networkOf: (label: string) => label };
const entryResolutions: Readonly<Record<string, string>> = {
  ClientSideLB: 'STATIC',
  DNSLB: 'DNS',
  DNSRoundRobinLB: 'DNS_ROUND_ROBIN',
  Passthrough: 'NONE',
};

const checks: Readonly<Record<string, UnitCheck>> = {
  'pilot/pkg/networking/util.ConvertLocality': (
    { locality }: { locality: string },
    { want }: { want: { region?: string; zone?: string; subZone?: string } },
  ) => {
    const { region = '', zone = '', subZone: subzone = '' } = want;
    const workload = workloadOfInlineEntry({ address: '1.1.1.1', locality }, 'a', 'a', options);
    return [workload?.locality, { region, zone, subzone }];
  },
  'pkg/kube.CronJobMetadata': (
    { jobName }: { jobName: string },
    { wantName }: { wantName: { name: string } },
  ) => {
    const ownerReferences = [{ kind: 'Job', name: jobName, controller: true }];
    const pod = configOf({ kind: 'Pod', metadata: { name: 'p', ownerReferences }, spec: {} });
    return [workloadOfPod(pod as Config<PodSpec>, options)?.workloadName, wantName.name];
  },
  'pilot/pkg/serviceregistry/serviceentry.legacyAutoAllocateIP_conditions': (
    { inServices }: { inServices: readonly GivenService[] },
    { wantServices }: { wantServices: readonly GivenService[] },
  ) => [
    allocatedOf(inServices),
    wantServices.map(({ autoAllocatedIPv4Address: v4, autoAllocatedIPv6Address: v6 }) =>
      v4 === undefined ? undefined : { v4, v6 },
    ),
  ],
};

function allocatedOf(services: readonly GivenService[]): readonly unknown[] {
  const world = worldOf(
    services.map(({ hostname, resolution = '', defaultAddress = '0.0.0.0', attributes }, index) =>
      configOf({
        apiVersion: 'networking.istio.io/v1',
        kind: 'ServiceEntry',
        metadata: { name: `s${index}`, namespace: attributes?.namespace ?? '' },
        spec: {
          hosts: [hostname],
          resolution: entryResolutions[resolution],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          addresses: defaultAddress === '0.0.0.0' ? [] : [defaultAddress],
        },
      }),
    ),
  );
  return services.map(
    ({ hostname, attributes }) => world.service(hostname, attributes?.namespace ?? '')?.allocatedAddresses,
  );
}

describe.skipIf(unitsFolder === undefined)('istio-testdata: units', () => {
  test('localities, owners of pods, allocated addresses (partly C2.09, C10.01)', (context) => {
    runUnits(context, checks);
  });
});
