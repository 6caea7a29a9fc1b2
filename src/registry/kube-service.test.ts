import { expect, test } from 'vitest';
import { worldOfYaml } from '../../test/support/world.ts';
import { allocateClusterIps } from './kube-service.ts';

const keys = Array.from({ length: 200 }, (_unused, index) => `shop/service-${index}`);

test('allocateClusterIps: neither the order of services nor other services change an address', () => {
  const forward = allocateClusterIps(keys, new Set());
  const backward = allocateClusterIps([...keys].reverse(), new Set());
  expect(new Map(backward)).toEqual(new Map(forward));
  const fewer = allocateClusterIps(keys.slice(0, 50), new Set());
  for (const [key, address] of fewer) expect(forward.get(key)).toBe(address);
});

test('allocateClusterIps: all are different, inside 10.96.0.0/12, and free', () => {
  const first = allocateClusterIps(keys, new Set());
  const taken = new Set(first.values());
  expect(taken.size).toBe(keys.length);
  for (const address of taken) expect(address).toMatch(/^10\.(9[6-9]|10\d|11[01])\.\d+\.\d+$/);
  for (const address of allocateClusterIps(keys, taken).values()) expect(taken.has(address)).toBe(false);
});

test('allocateClusterIps: where hashes meet the first in sorted order keeps its own; a full range gives no more', () => {
  const range = { first: 0x0a600000, size: 8 };
  const many = ['a/a', 'a/b', 'a/c', 'a/d', 'a/e', 'a/f', 'a/g'];
  const allocated = allocateClusterIps(many, new Set(), range);
  expect(new Set(allocated.values()).size).toBe(allocated.size);
  expect(allocated.size).toBe(5);
  expect(allocateClusterIps([...many].reverse(), new Set(), range)).toEqual(allocated);
});

test('serviceOfKubeService: what chooses among endpoints, and who may be behind it (C2.08, partly C2.07)', () => {
  const of = (spec: string, annotations = '', namespace = '') =>
    worldOfYaml(`
apiVersion: v1
kind: Namespace
metadata: {name: default, annotations: {${namespace}}}
---
apiVersion: v1
kind: Service
metadata: {name: a, annotations: {${annotations}}}
spec: {ports: [{port: 80}]${spec}}
`).service('a.default.svc.cluster.local');
  const annotation = (value: string): string => `networking.istio.io/traffic-distribution: ${value}`;
  expect(of('')?.trafficDistribution).toBeUndefined();
  expect(of(', trafficDistribution: PreferClose')?.trafficDistribution).toBe('PreferSameZone');
  expect(of(', trafficDistribution: PreferSameNode', annotation('PreferClose'))?.trafficDistribution).toBe(
    'PreferSameNode',
  );
  expect(of('', annotation('preferclose'), annotation('PreferSameNode'))?.trafficDistribution).toBe(
    'PreferSameZone',
  );
  expect(of('', '', annotation('PreferSameNode'))?.trafficDistribution).toBe('PreferSameNode');
  expect(of('', annotation('Any'), annotation('PreferSameNode'))?.trafficDistribution).toBeUndefined();
  expect(of(', internalTrafficPolicy: Local')?.isNodeLocal).toBe(true);
  expect(of('', 'networking.istio.io/exportTo: "a, b"')?.exportTo).toEqual(['a', 'b']);
  // Empty is the same as not written.
  expect(of('', 'networking.istio.io/exportTo: ""')?.exportTo).toEqual(['*']);
  expect(of('', 'alpha.istio.io/kubernetes-serviceaccounts: "x,y"')?.serviceAccounts).toEqual(['x', 'y']);
});
