import { expect, test } from 'vitest';
import { proxyNode, worldOfYaml } from '../../test/support/world.ts';
import { destinationRuleFor } from './destination-rule.ts';
import { layerPolicy } from './layered-policy.ts';
import { proxyScope } from './scope.ts';

const host = 'a.shop.svc.cluster.local';

interface RuleText {
  readonly name: string;
  readonly namespace: string;
  readonly host?: string;
  readonly more?: string;
  readonly created?: string;
}

const rule = ({
  name,
  namespace,
  host: ruleHost = host,
  more = '',
  created = '2026-01-01',
}: RuleText): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: '${created}T00:00:00Z' }
spec: { host: '${ruleHost}'${more === '' ? '' : `, ${more}`} }
`;

const service = `
apiVersion: v1
kind: Service
metadata: { name: a, namespace: shop }
spec: { ports: [{ name: http, port: 80 }] }
`;

function lookUp(rules: readonly RuleText[], namespace: string, labels: Record<string, string> = {}) {
  const world = worldOfYaml([service, ...rules.map(rule)].join('---'));
  const found = destinationRuleFor(world, proxyScope(world, proxyNode({ namespace, labels })), host);
  return found === undefined ? undefined : `${found.namespace}/${found.name}`;
}

test('destinationRuleFor: the proxy’s namespace, then the service’s, then the root (C10.01, T12)', () => {
  const all = ['client', 'shop', 'istio-system', 'other'].map((namespace) => ({ name: 'r', namespace }));
  expect(lookUp(all, 'client')).toBe('client/r');
  expect(lookUp(all.slice(1), 'client')).toBe('shop/r');
  expect(lookUp(all.slice(2), 'client')).toBe('istio-system/r');
  expect(lookUp(all.slice(3), 'client')).toBeUndefined();
});

test('destinationRuleFor: a wildcard of an earlier namespace wins over an exact host of a later one (C10.01)', () => {
  expect(
    lookUp(
      [
        { name: 'wide', namespace: 'client', host: '*.local' },
        { name: 'exact', namespace: 'shop' },
      ],
      'client',
    ),
  ).toBe('client/wide');
});

test('destinationRuleFor: within a namespace the most specific host, whatever its age (C10.01)', () => {
  const rules = [
    { name: 'wide', namespace: 'shop', host: '*.local', created: '2020-01-01' },
    { name: 'exact', namespace: 'shop', host: 'a' },
    { name: 'near', namespace: 'shop', host: '*.shop.svc.cluster.local', created: '2021-01-01' },
  ];
  expect(lookUp(rules, 'client')).toBe('shop/exact');
  expect(
    lookUp(
      [rules[0], rules[2]].flatMap((each) => each ?? []),
      'client',
    ),
  ).toBe('shop/near');
});

test('destinationRuleFor: a rule that is not exported is not seen elsewhere (C10.01)', () => {
  const own = { name: 'own', namespace: 'shop', more: "exportTo: ['.']" };
  expect(lookUp([own], 'client')).toBeUndefined();
  expect(lookUp([own], 'shop')).toBe('shop/own');
  // A rule exported to its own namespace by name must not hide what others see.
  expect(lookUp([own, { name: 'all', namespace: 'istio-system' }], 'client')).toBe('istio-system/all');
});

test('destinationRuleFor: gateways in the root namespace prefer the service’s rule to one for all (C10.01)', () => {
  const rules = [
    { name: 'all', namespace: 'istio-system', host: '*.local' },
    { name: 'own', namespace: 'shop' },
  ];
  expect(lookUp(rules, 'istio-system')).toBe('shop/own');
  const isPrivate = { name: 'private', namespace: 'istio-system', more: "exportTo: ['.']" };
  expect(lookUp([...rules, isPrivate], 'istio-system')).toBe('istio-system/private');
});

test('destinationRuleFor: a workloadSelector counts in its namespace for what it selects (C10.02)', () => {
  const rules = [
    { name: 'all', namespace: 'client' },
    { name: 'some', namespace: 'client', more: 'workloadSelector: { matchLabels: { app: x } }' },
  ];
  expect(lookUp(rules, 'client', { app: 'x' })).toBe('client/some');
  expect(lookUp(rules, 'client', { app: 'y' })).toBe('client/all');
  expect(lookUp(rules.slice(1), 'other', { app: 'x' })).toBeUndefined();
});

test('destinationRuleFor: rules for one host are merged, the oldest first (C10.01)', () => {
  const rules = [
    {
      name: 'young',
      namespace: 'shop',
      created: '2026-03-01',
      more: 'trafficPolicy: { loadBalancer: { simple: RANDOM } }, subsets: [{ name: v1, labels: { version: never } }, { name: v2, labels: { version: v2 } }]',
    },
    {
      name: 'old',
      namespace: 'shop',
      created: '2026-01-01',
      more: 'subsets: [{ name: v1, labels: { version: v1 } }]',
    },
  ];
  const world = worldOfYaml([service, ...rules.map(rule)].join('---'));
  const found = destinationRuleFor(world, proxyScope(world, proxyNode()), host);
  expect(found?.name).toBe('old');
  expect(found?.trafficPolicy?.policy.loadBalancer?.simple).toBe('RANDOM');
  expect(found?.trafficPolicy?.origin.name).toBe('young');
  expect(found?.subsets.map(({ name, labels }) => `${name}=${labels['version']}`)).toEqual([
    'v1=v1',
    'v2=v2',
  ]);
});

test('layerPolicy: blocks that a subset leaves out are the host’s, also the retry budget (C3.14, C3.06)', () => {
  const world = worldOfYaml(
    `${service}---${rule({
      name: 'r',
      namespace: 'shop',
      more: `trafficPolicy: { retryBudget: { percent: 30 }, outlierDetection: { interval: 1s }, portLevelSettings: [{ port: { number: 81 }, loadBalancer: { simple: RANDOM } }] },
        subsets: [{ name: s, labels: { v: s }, trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN }, portLevelSettings: [{ port: { number: 82 }, connectionPool: { tcp: { maxConnections: 1 } } }] } }]`,
    })}`,
  );
  const found = destinationRuleFor(world, proxyScope(world, proxyNode()), host);
  const subset = found?.subsets[0];
  expect(Object.keys(layerPolicy(found, 80, subset).policy).sort()).toEqual([
    'loadBalancer',
    'outlierDetection',
    'retryBudget',
  ]);
  // The host's port settings replace the host's policy, and then the subset's is laid over them.
  expect(layerPolicy(found, 81).policy).toEqual({ loadBalancer: { simple: 'RANDOM' } });
  expect(layerPolicy(found, 81, subset).policy).toEqual({ loadBalancer: { simple: 'ROUND_ROBIN' } });
  // The subset's port settings replace all but what they cannot hold.
  expect(layerPolicy(found, 82, subset).policy).toEqual({
    retryBudget: { percent: 30 },
    connectionPool: { tcp: { maxConnections: 1 } },
  });
});

test('destinationRuleFor: a BackendTLSPolicy fills what the user’s rule leaves open, and is blamed for it (partly C14.02)', () => {
  const policy = `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: secure, namespace: shop }
spec:
  targetRefs: [{ group: '', kind: Service, name: a }]
  validation: { hostname: a.example.com, wellKnownCACertificates: System }
`;
  const world = worldOfYaml(
    [
      service,
      rule({
        name: 'r',
        namespace: 'shop',
        more: `trafficPolicy: { loadBalancer: { simple: RANDOM }, portLevelSettings: [{ port: { number: 81 }, tls: { mode: DISABLE } }] }`,
      }),
      policy,
    ].join('---'),
  );
  const found = destinationRuleFor(world, proxyScope(world, proxyNode()), host);
  const { policy: usual, origins } = layerPolicy(found, 80);
  expect(usual).toEqual({
    loadBalancer: { simple: 'RANDOM' },
    tls: { mode: 'SIMPLE', sni: 'a.example.com' },
  });
  expect([origins.loadBalancer?.kind, origins.tls?.kind]).toEqual(['DestinationRule', 'BackendTLSPolicy']);
  // What the user says of a port stands.
  expect(layerPolicy(found, 81).policy).toEqual({ tls: { mode: 'DISABLE' } });
});

test('destinationRuleFor: a thousand rules of one host are joined once, for every port and subset that asks', () => {
  const count = 1000;
  const rules = Array.from({ length: count }, (_, index) => ({
    name: `r${index}`,
    namespace: 'shop',
    host: '*',
    more: `subsets: [{ name: s${index} }]`,
  }));
  const world = worldOfYaml([service, ...rules.map(rule)].join('---'));
  const scope = proxyScope(world, proxyNode({ namespace: 'client' }));
  const first = destinationRuleFor(world, scope, host);
  expect(first?.subsets).toHaveLength(count);
  expect(destinationRuleFor(world, scope, host)).toBe(first);
  // Another host and another direction are other questions.
  expect(destinationRuleFor(world, scope, 'b.other.svc.cluster.local')).toBeUndefined();
  expect(destinationRuleFor(world, scope, host, 'inbound')).not.toBe(first);
});
