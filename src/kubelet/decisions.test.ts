// Tests of the small decisions about a pod: its addresses, its name, whether it gets a sidecar.
import { expect, test } from 'vitest';
import { seededRandom } from '../base/random.ts';
import { AddressAllocator, parseAddressRange } from './addresses.ts';
import type { InjectionSubject } from './injection.ts';
import { decideInjection } from './injection.ts';
import { podName, templateHash } from './pod-name.ts';

test('AddressAllocator: pairs in order, a returned one as late as possible', () => {
  const allocator = new AddressAllocator('127.80.0.0/28');
  expect(allocator.networkAddress).toBe('127.80.0.0');
  const first = allocator.allocate();
  expect(first).toEqual({ podIp: '127.80.0.1', appAddress: '127.80.0.9' });
  allocator.release(first);
  expect(allocator.allocate().podIp).toBe('127.80.0.2');
  for (let index = 3; index <= 6; index++) expect(allocator.allocate().podIp).toBe(`127.80.0.${index}`);
  expect(allocator.allocate().podIp).toBe('127.80.0.1');
  expect(() => allocator.allocate()).toThrow('no address is left');
});

test('AddressAllocator: the default range has 127.66 for pods and 127.67 for apps', () => {
  const allocator = new AddressAllocator();
  for (let index = 0; index < 255; index++) allocator.allocate();
  expect(allocator.allocate()).toEqual({ podIp: '127.66.1.0', appAddress: '127.67.1.0' });
});

test('AddressAllocator: 127.90 for short is a /16', () => {
  const allocator = new AddressAllocator('127.90');
  expect(allocator.allocate()).toEqual({ podIp: '127.90.0.1', appAddress: '127.90.128.1' });
});

test('parseAddressRange: says what would be accepted', () => {
  for (const range of ['10.0.0.0/15', '127.66.0.1/15', '127.66.0.0', '127.0.0.0/16', '127.66.0.0/30', 'x/15'])
    expect(() => parseAddressRange(range)).toThrow(`the address range ${range} cannot be used`);
});

const injected: InjectionSubject = {
  namespace: 'default',
  namespaceLabels: { 'istio-injection': 'enabled' },
  podLabels: {},
  podAnnotations: {},
  hostNetwork: false,
};

test('decideInjection: namespace label, pod label and annotation as Istio weighs them (A1.08)', () => {
  const inject = 'sidecar.istio.io/inject';
  const cases: [Partial<InjectionSubject>, string][] = [
    [{}, 'sidecar'],
    [{ podLabels: { [inject]: 'false' } }, 'none'],
    [{ podAnnotations: { [inject]: 'false' } }, 'none'],
    [{ podLabels: { [inject]: 'true' }, podAnnotations: { [inject]: 'false' } }, 'sidecar'],
    [{ namespaceLabels: {} }, 'none'],
    [{ namespaceLabels: {}, podLabels: { [inject]: 'true' } }, 'sidecar'],
    // Without the namespace's label the webhook is never asked about an annotation.
    [{ namespaceLabels: {}, podAnnotations: { [inject]: 'true' } }, 'none'],
    [{ namespaceLabels: { 'istio-injection': 'disabled' }, podLabels: { [inject]: 'true' } }, 'none'],
    [{ namespaceLabels: { 'istio.io/rev': 'default' } }, 'sidecar'],
    [{ namespaceLabels: { 'istio.io/rev': 'canary' } }, 'none'],
    [{ hostNetwork: true }, 'none'],
    [{ namespace: 'kube-system' }, 'none'],
    [{ podAnnotations: { 'inject.istio.io/templates': 'gateway' } }, 'gateway'],
  ];
  for (const [change, kind] of cases)
    expect({ change, ...decideInjection({ ...injected, ...change }) }).toMatchObject({ change, kind });
});

test('templateHash: the order of fields does not count, every value does', () => {
  const a = templateHash({ metadata: { labels: { app: 'a', version: 'v1' } } });
  expect(templateHash({ metadata: { labels: { version: 'v1', app: 'a' } } })).toBe(a);
  expect(templateHash({ metadata: { labels: { version: 'v2', app: 'a' } } })).not.toBe(a);
  expect(a).toMatch(/^[b-z2-9]{10}$/);
});

test('podName: workload, hash and five characters, at most 63', () => {
  expect(podName('reviews-v1', 'abc', seededRandom(1))).toMatch(
    /^reviews-v1-abc-[bcdfghjklmnpqrstvwxz2456789]{5}$/,
  );
  expect(podName('x'.repeat(80), 'bcdfghjklm', seededRandom(1)).length).toBeLessThanOrEqual(63);
});
