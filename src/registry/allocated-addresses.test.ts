import { expect, test } from 'vitest';
import { worldOfYaml } from '../../test/support/world.ts';
import { allocateAddresses } from './allocated-addresses.ts';

test('allocateAddresses: neither the order of keys nor (but for rare meetings) other keys change one', () => {
  const keys = Array.from({ length: 2000 }, (_key, index) => `default/host-${index}.example.com`);
  const all = allocateAddresses(keys);
  expect(new Set([...all.values()].map(({ v4 }) => v4)).size).toBe(keys.length);
  expect([...all.values()].some(({ v4 = '' }) => /\.(?:0|255)$/.test(v4))).toBe(false);
  expect(allocateAddresses(keys.toReversed())).toEqual(all);
  const alone = keys.filter((key) => allocateAddresses([key]).get(key)?.v4 === all.get(key)?.v4);
  expect(alone.length).toBeGreaterThan(1900);
});

test('ServiceEntry: an address of its own, of its status, or an allocated one; none for NONE and wildcards', () => {
  const world = worldOfYaml(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [a.com], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec: {hosts: ['*.a.com'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DYNAMIC_DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: written}
spec: {hosts: [written.com], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: DNS}
status: {addresses: [{host: written.com, value: 240.240.7.7}, {host: written.com, value: '2001:2::7'}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own}
spec: {hosts: [own.com], addresses: [192.0.2.1], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none}
spec: {hosts: [none.com], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: NONE}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: switched-off, labels: {networking.istio.io/enable-autoallocate-ip: 'false'}}
spec: {hosts: [off.com], ports: [{number: 80, name: tcp, protocol: TCP}], resolution: DNS}
`);
  const of = (host: string) => world.service(host)?.allocatedAddresses;
  expect(of('a.com')?.v4).toMatch(/^240\.240\.\d+\.\d+$/);
  expect(of('written.com')).toEqual({ v4: '240.240.7.7', v6: '2001:2::7' });
  for (const host of ['*.a.com', 'own.com', 'none.com', 'off.com']) expect(of(host)).toBeUndefined();
});
