// Istio's table tests (family `units`) about PeerAuthentication, outbound policies and inbound routes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { istioTestdata, reportFamily } from '../../../test/support/istio-testdata.ts';
import { configOf } from '../../../test/support/istio-objects.ts';
import type { TheirObject } from '../../../test/support/istio-objects.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { mutualTlsSettings } from '../mtls/mutual-tls-mode.ts';
import { outboundTrafficPolicyOf, proxyScope } from '../scope.ts';

interface UnitCase {
  readonly name: string;
  readonly group: string;
  readonly in: never;
  readonly expected?: never;
}

/** Returns what we say and what Istio says. */
type Check = (given: never, expected: never) => readonly [ours: unknown, theirs: unknown];

type Policy = MeshConfig['outboundTrafficPolicy'];
/** By number in the API; 0 is absent. */
const policies: readonly Policy[] = ['REGISTRY_ONLY', 'ALLOW_ANY', 'REGISTRY_ONLY', 'ALLOW_ANY_DYNAMIC_DNS'];

const checks: Readonly<Record<string, Check>> = {
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
};

const folder = istioTestdata('units');

test.skipIf(folder === undefined)('istio-testdata: units of listeners (C12.01)', (context) => {
  const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as {
    cases: readonly UnitCase[];
  };
  const open = cases.filter(({ group, expected }) => expected !== undefined && checks[group] !== undefined);
  const failures = open.flatMap(({ name, group, in: given, expected }) => {
    const [ours, theirs] = checks[group]?.(given, expected as never) ?? [];
    return isDeepStrictEqual(ours, theirs) ? [] : [{ name, ours, theirs }];
  });
  expect(failures).toEqual([]);
  reportFamily(context, { family: 'units', passed: open.length - failures.length, total: open.length });
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
