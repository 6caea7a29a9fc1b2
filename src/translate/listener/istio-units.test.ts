// Istio's table tests (family `units`) about PeerAuthentication, outbound policies and inbound routes.
import { test } from 'vitest';
import { configOf, ourService } from '../../../test/support/istio-objects.ts';
import type { TheirObject, TheirService } from '../../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../../test/support/istio-units.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { mutualTlsSettings } from '../mtls/mutual-tls-mode.ts';
import type { Service } from '../../model/service.ts';
import { listenerServices } from '../egress-listeners.ts';
import { egressListeners, outboundTrafficPolicyOf, proxyScope } from '../scope.ts';
import { statName, unregistered } from '../stat-name.ts';
import { instanceBinds } from './binds.ts';
import { addressesFor } from './outbound-places.ts';

type Policy = MeshConfig['outboundTrafficPolicy'];
/** By number in the API; 0 is absent. */
const policies: readonly Policy[] = ['REGISTRY_ONLY', 'ALLOW_ANY', 'REGISTRY_ONLY', 'ALLOW_ANY_DYNAMIC_DNS'];

const checks: Readonly<Record<string, UnitCheck>> = {
  'pilot/pkg/model.SidecarOutboundTrafficPolicyAllowAnyDynamicDNS': (
    { meshConfig }: { meshConfig: { outboundTrafficPolicy: { mode?: Policy } } },
    { expectedMode }: { expectedMode: Policy | number },
  ) => [
    policyUnder(meshConfig.outboundTrafficPolicy.mode ?? 'ALLOW_ANY'),
    typeof expectedMode === 'number' ? policies[expectedMode] : expectedMode,
  ],
  'pilot/pkg/security/authn.ComposePeerAuthentication': (
    { configs }: { configs: readonly TheirObject[] },
    { want }: { want: { mode: string; perPort?: Record<string, string> } },
  ) => [peerModes(configs), { mode: want.mode, perPort: want.perPort ?? {} }],
  'pilot/pkg/networking/util.IsAllowAnyOutbound': (
    { node }: { node: { sidecarScope: { outboundTrafficPolicy?: object } } },
    { result }: { result: boolean },
  ) => {
    const sidecar = configOf({
      apiVersion: 'networking.istio.io/v1',
      kind: 'Sidecar',
      metadata: { name: 's', namespace: 'default' },
      spec: node.sidecarScope,
    });
    const world = worldOf([sidecar], { outboundTrafficPolicy: 'REGISTRY_ONLY' });
    return [outboundTrafficPolicyOf(world, proxyScope(world, proxyNode())) === 'ALLOW_ANY', result];
  },
  'pilot/pkg/networking/telemetry.BuildStatPrefix': (
    { statPattern, host, subsetName, targetPort, port, attributes }: StatNameCase,
    { want }: { want: string },
  ) => {
    const service = ourService({ hostname: host, attributes });
    const parts = { service, subset: subsetName, port: port.port, portName: port.name, targetPort };
    return [statName(statPattern, parts), want];
  },
  'pilot/pkg/networking/telemetry.BuildInboundStatPrefix': (
    { statPattern, tm, subset, port, portName }: InboundStatNameCase,
    { want }: { want: string },
  ) => {
    const name = tm.kubernetesServiceName;
    const service =
      name === undefined
        ? unregistered(tm.instanceHostname)
        : {
            hostname: tm.instanceHostname,
            name,
            namespace: tm.kubernetesServiceNamespace ?? '',
            registry: 'Kubernetes' as const,
          };
    return [statName(statPattern, { service, subset, port, portName }), want];
  },
  'pilot/pkg/model.GlobalUnicastIP': (
    { in: ipAddresses }: { in: readonly string[] },
    { expect: address }: { expect: string },
  ) => {
    const node = proxyNode({ ipAddresses });
    return [instanceBinds({ key: '', node })[0], address];
  },
  'pilot/pkg/model.GetAllAddresses': (
    { service, ipMode }: { service: AddressedService; ipMode: IpMode },
    { expectedAddresses }: { expectedAddresses: readonly string[] | null },
  ) => [addressesOfService(service, ipMode), expectedAddresses ?? []],
  'pilot/pkg/model.GetAddressForProxy': (
    { service, proxy }: { service: AddressedService; proxy: { ipMode: IpMode } },
    { expectedAddress }: { expectedAddress: string },
  ) => [addressesOfService(service, proxy.ipMode)[0], expectedAddress],
};

interface StatNameCase {
  readonly statPattern: string;
  readonly host: string;
  readonly subsetName: string;
  readonly targetPort: number;
  readonly port: { readonly name: string; readonly port: number };
  readonly attributes: NonNullable<TheirService['attributes']>;
}

interface InboundStatNameCase {
  readonly statPattern: string;
  readonly tm: {
    readonly instanceHostname: string;
    readonly kubernetesServiceName?: string;
    readonly kubernetesServiceNamespace?: string;
  };
  readonly subset: string;
  readonly port: number;
  readonly portName: string;
}

type IpMode = 'IPv4' | 'IPv6' | 'Dual';
const addressesOfMode: Readonly<Record<IpMode, readonly string[]>> = {
  IPv4: ['1.1.1.1'],
  IPv6: ['2001::1'],
  Dual: ['1.1.1.1', '2001::1'],
};

interface AddressedService {
  readonly defaultAddress?: string;
  readonly clusterVIPs?: { readonly addresses: Readonly<Record<string, readonly string[]>> };
  readonly autoAllocatedIPv4Address?: string;
  readonly autoAllocatedIPv6Address?: string;
}

/** As it is imported by a proxy whose agent answers DNS. */
function addressesOfService(given: AddressedService, ipMode: IpMode): readonly string[] {
  const {
    defaultAddress = '',
    clusterVIPs,
    autoAllocatedIPv4Address: v4,
    autoAllocatedIPv6Address: v6,
  } = given;
  const written = Object.values(clusterVIPs?.addresses ?? {}).flat();
  const service: Service = {
    ...ourService({ hostname: 'a' }),
    registry: clusterVIPs === undefined ? 'External' : 'Kubernetes',
    addresses: written.length > 0 ? written : defaultAddress === '0.0.0.0' ? [] : [defaultAddress],
    ...(v4 === undefined && v6 === undefined
      ? {}
      : {
          allocatedAddresses: { ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) },
        }),
  };
  const world = worldOf([]);
  world.servicesVisibleTo = () => [service];
  const ipAddresses = addressesOfMode[ipMode];
  const scope = { key: '', node: proxyNode({ ipAddresses, dnsCapture: true }) };
  const services = egressListeners(world, scope).flatMap((listener) => listenerServices(world, listener));
  return services.flatMap((each) => addressesFor(scope, each));
}

const known = {
  'model.GetAllAddresses: dual mode, ISTIO_DUAL_STACK disabled, IPv4 and IPv6 addresses, expected to return only IPv4 addresses':
    'dual stack is always on',
  'model.GetAllAddresses: IPv6 mode, no ClusterVIPs for local cluster, IPv4 DefaultAddress, expected no addresses':
    'a listener stands at the first address all the same, as in Istio (GetAddressForProxy)',
};

test.skipIf(unitsFolder === undefined)('istio-testdata: units of listeners (C12.01)', (context) => {
  runUnits(context, checks, known);
});

function policyUnder(outboundTrafficPolicy: Policy): Policy {
  const world = worldOf([], { outboundTrafficPolicy });
  return outboundTrafficPolicyOf(world, proxyScope(world, proxyNode()));
}

/** Of a workload that all of their selectors choose. */
function peerModes(configs: readonly TheirObject[]): unknown {
  const world = worldOf(
    configs.map((config) =>
      configOf(aged({ ...config, apiVersion: 'security.istio.io/v1', kind: 'PeerAuthentication' })),
    ),
    { rootNamespace: 'root-namespace' },
  );
  const { mode, ports } = mutualTlsSettings(world, 'my-ns', { app: 'foo', stage: 'prod' });
  const theirs = (written: string): string => `MTLS${written.slice(0, 1)}${written.slice(1).toLowerCase()}`;
  return {
    mode: theirs(mode),
    perPort: Object.fromEntries([...ports].map(([port, setting]) => [port, theirs(setting.mode)])),
  };
}

/** Their times are `now` and `now-1s`. */
function aged(config: TheirObject): TheirObject {
  const { creationTimestamp = 'now' } = config.metadata as { creationTimestamp?: string };
  const secondsAgo = Number(/^now-(\d+)s$/.exec(creationTimestamp)?.[1] ?? 0);
  const time = new Date(Date.UTC(2026, 0, 1) - secondsAgo * 1000).toISOString();
  return { ...config, metadata: { ...config.metadata, creationTimestamp: time } };
}
