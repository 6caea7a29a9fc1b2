import { expect, test } from 'vitest';
import type { TheirObject } from '../../../test/support/istio-objects.ts';
import { configOf } from '../../../test/support/istio-objects.ts';
import { reportFamily } from '../../../test/support/istio-testdata.ts';
import type { UnitCheck } from '../../../test/support/istio-units.ts';
import { unitCases, unitsFolder } from '../../../test/support/istio-units.ts';
import { configsOfYaml, proxyNode, worldOf, worldOfYaml } from '../../../test/support/world.ts';
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { formatFieldPath } from '../../model/origin.ts';
import { routes } from '../routes.ts';
import { proxyScope } from '../scope.ts';
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { matchesConflict, mergeMatches } from '../../config/delegate-match.ts';
import { withDelegates } from '../../config/delegates.ts';
import { findDanglingReferences } from '../../config/references.ts';

type HttpRule = NonNullable<VirtualServiceSpec['http']>[number];
type HttpMatch = NonNullable<HttpRule['match']>[number];

const root = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: root, namespace: shop }
spec:
  hosts: [shop.example.com]
  http:
    - name: reviews
      match: [{ uri: { prefix: /reviews } }]
      timeout: 3s
      delegate: { name: reviews, namespace: team }
    - route: [{ destination: { host: front } }]
---`;
const delegate = (http: string, more = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: team }
spec: { ${more} http: ${http} }
---`;
const v2 = `[
  { match: [{ uri: { prefix: /reviews/v2 } }], name: two, route: [{ destination: { host: reviews, subset: v2 } }] },
  { match: [{ uri: { prefix: /other } }], route: [{ destination: { host: nowhere } }] },
  { route: [{ destination: { host: reviews } }, { destination: { host: reviews, subset: v3 }, weight: 1 }], timeout: 1s }]`;

function rulesOf(yaml: string): readonly HttpRule[] {
  const configs = worldOfYaml(yaml).virtualServicesFor('mesh', 'shop');
  return configs.find(({ name }) => name === 'root')?.spec.http ?? [];
}

test('withDelegates: the delegate’s rules take the root rule’s place, with what it says where they do not (C4.09)', () => {
  expect(rulesOf(root + delegate(v2))).toEqual([
    {
      name: 'reviews-two',
      match: [{ uri: { prefix: '/reviews/v2' } }],
      route: [{ destination: { host: 'reviews.team.svc.cluster.local', subset: 'v2' } }],
      timeout: '3s',
    },
    {
      name: 'reviews',
      match: [{ uri: { prefix: '/reviews' } }],
      route: [
        { destination: { host: 'reviews.team.svc.cluster.local' } },
        { destination: { host: 'reviews.team.svc.cluster.local', subset: 'v3' }, weight: 1 },
      ],
      timeout: '1s',
    },
    { route: [{ destination: { host: 'front' } }] },
  ]);
});

test.each([
  ['is missing', ''],
  ['has hosts', delegate(v2, 'hosts: [a.example.com],')],
  ['is exported to others', delegate(v2, 'exportTo: [bank],')],
  ['is exported to its own namespace alone', delegate(v2, "exportTo: ['.'],")],
])('withDelegates: a rule whose delegate %s is left out, the others stay (C4.09)', (_why, yaml) => {
  expect(rulesOf(root + yaml)).toEqual([{ route: [{ destination: { host: 'front' } }] }]);
  const [warning] = findDanglingReferences(configsOfYaml(root + yaml)).filter(({ message }) =>
    message.endsWith('the rule is left out'),
  );
  expect(warning?.fieldPath).toEqual(['spec', 'http', 0, 'delegate']);
});

test('originOf: parts of a merged VirtualService point into the object that they were written in (C4.09)', () => {
  const [merged] = worldOfYaml(root + delegate(v2)).virtualServicesFor('mesh', 'shop');
  const at = (...path: readonly (string | number)[]): string => {
    const { name, fieldPath } = originOf(merged as VirtualServiceConfig, ...path);
    return `${name} ${formatFieldPath(fieldPath)}`;
  };
  expect(at('spec', 'hosts', 0)).toBe('root spec.hosts[0]');
  expect(at('spec', 'http', 0)).toBe('reviews spec.http[0]');
  expect(at('spec', 'http', 0, 'match', 0)).toBe('reviews spec.http[0].match[0]');
  expect(at('spec', 'http', 1)).toBe('reviews spec.http[2]');
  expect(at('spec', 'http', 1, 'match', 0)).toBe('root spec.http[0].match[0]');
  expect(at('spec', 'http', 2)).toBe('root spec.http[1]');
  expect(at()).toBe('root ');
});

test('routes: those of a delegate blame its own lines, down to the destination (C4.09)', () => {
  const world = worldOfYaml(root + delegate(v2));
  const input = routes.input(world, proxyScope(world, proxyNode({ namespace: 'shop' })), '80');
  if (input === undefined) throw new Error('no routes');
  const places = routes
    .build(input)
    .provenance.filter(({ at }) => at.startsWith('virtualHosts[0].routes'))
    .map(({ at, origin }) => `${at.slice(16)} ${origin.name} ${formatFieldPath(origin.fieldPath)}`);
  expect(places).toEqual([
    'routes[0] reviews spec.http[0].match[0]',
    'routes[1] reviews spec.http[2]',
    'routes[1].match root spec.http[0].match[0]',
    'routes[1].route.weightedClusters.clusters[0] reviews spec.http[2].route[1]',
    'routes[2] root spec.http[1]',
  ]);
});

test('virtualServicesFor: follows edits of the delegate, and of no other (C4.09)', () => {
  const world = worldOf(configsOfYaml(root + delegate(v2)));
  const before = world.virtualServicesFor('mesh', 'shop');
  expect(world.virtualServicesFor('mesh', 'shop')).toBe(before);
  expect(world.virtualServicesFor('mesh', 'team')).toEqual(before);
});

const checks: Readonly<Record<string, UnitCheck>> = {
  'pilot/pkg/model.HasConflict': (
    given: { root: HttpMatch; leaf: HttpMatch },
    { expected: conflict }: { expected: boolean },
  ) => [matchesConflict(given.root, given.leaf), conflict],
  'pilot/pkg/model.MergeHTTPMatchRequests': (
    given: { root: readonly HttpMatch[] | null; delegate: readonly HttpMatch[] | null },
    { expected: merged }: { expected: readonly HttpMatch[] | null },
  ) => [mergeMatches(given.root ?? [], given.delegate ?? [])?.map(({ match }) => match) ?? [], merged ?? []],
  'pilot/pkg/model.MergeHttpRoutes': (
    given: { root: HttpRule; delegate: readonly HttpRule[] },
    { expected: merged }: { expected: readonly HttpRule[] },
  ) => {
    const config = (http: readonly HttpRule[]): VirtualServiceConfig =>
      configOf({ kind: 'VirtualService', metadata: {}, spec: { http } }) as VirtualServiceConfig;
    const rule = { ...given.root, delegate: { name: 'x' } };
    return [withDelegates(config([rule]), () => config(given.delegate), '').spec.http, merged];
  },
  'pilot/pkg/model.ControllerMergeVirtualServices': (
    given: { virtualServices: readonly TheirObject[]; defaultExportTo: readonly string[] },
    { expectedVirtualServices }: { expectedVirtualServices: readonly TheirObject[] },
  ) => {
    const world = worldOf(given.virtualServices.map(configOf), {
      defaultVirtualServiceExportTo: given.defaultExportTo,
    });
    const gateways = ['mesh', 'istio-system/gateway', 'default/gateway'];
    const ours = gateways.flatMap((gateway) => world.virtualServicesFor(gateway, 'istio-system'));
    return [ours.map(({ spec }) => spec), expectedVirtualServices.map(({ spec }) => spec)];
  },
};

test.skipIf(unitsFolder === undefined)('delegates: Istio cases (C4.09)', (context) => {
  const open = unitCases().filter(
    (each) => checks[each.group] !== undefined && each.expected !== undefined && !isWithoutSpec(each.in),
  );
  const failures: Record<string, unknown> = {};
  for (const each of open) {
    const [ours, theirs] = checks[each.group]?.(each.in, each.expected as never) ?? [];
    try {
      expect(ours).toEqual(theirs);
    } catch {
      failures[each.name] = { ours, theirs };
    }
  }
  expect(failures).toEqual({});
  reportFamily(context, { family: 'units', passed: open.length, total: open.length });
});

/** Some objects were written down without what they hold. */
function isWithoutSpec({ virtualServices = [] }: { virtualServices?: readonly TheirObject[] }): boolean {
  return virtualServices.some(({ spec }) => spec === undefined);
}
