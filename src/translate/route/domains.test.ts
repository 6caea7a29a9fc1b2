import { expect, test } from 'vitest';
import type { Service } from '../../model/service.ts';
import { serviceDomains } from './domains.ts';

const service: Service = {
  hostname: 'reviews.default.svc.cluster.local',
  name: 'reviews',
  namespace: 'default',
  ports: [],
  addresses: ['10.0.0.1'],
  resolution: 'client-side',
  meshExternal: false,
  registry: 'Kubernetes',
  exportTo: ['*'],
  labels: {},
  subjectAltNames: [],
  publishNotReady: false,
  creationTimeMs: 0,
  origin: { kind: 'Service', namespace: 'default', name: 'reviews', fieldPath: [] },
};

const own = { dnsDomain: 'default.svc.cluster.local', aliases: [], port: 'none' as const };

test.each<[string, Partial<Service>, Partial<typeof own> & { aliases?: never[] }, readonly string[]]>([
  [
    'own namespace',
    {},
    {},
    [
      'reviews.default.svc.cluster.local',
      'reviews.default.svc.cluster.local.',
      'reviews',
      'reviews.default.svc',
      'reviews.default',
      '10.0.0.1',
    ],
  ],
  [
    'other namespace',
    {},
    { dnsDomain: 'other.svc.cluster.local' },
    [
      'reviews.default.svc.cluster.local',
      'reviews.default.svc.cluster.local.',
      'reviews.default',
      'reviews.default.svc',
      '10.0.0.1',
    ],
  ],
  [
    'not of this cluster',
    { hostname: 'example.com', addresses: ['240.0.0.1', 'fd00::1'] },
    {},
    ['example.com', 'example.com.', '240.0.0.1', '[fd00::1]'],
  ],
  [
    'a wildcard is never shortened to everything',
    { hostname: '*.default.svc.cluster.local', addresses: [] },
    {},
    ['*.default.svc.cluster.local', '*.default.svc.cluster.local.', '*.default.svc', '*.default'],
  ],
  ['an address for a name', { hostname: '1.2.3.4', addresses: [] }, {}, ['1.2.3.4']],
  ['ranges are no hosts', { hostname: 'db', addresses: ['10.0.0.0/8', '0.0.0.0'] }, {}, ['db', 'db.']],
  [
    'a proxy outside Kubernetes shares a part of the name',
    { hostname: 'foo.local.campus.net', addresses: [] },
    { dnsDomain: 'remote.campus.net' },
    ['foo.local.campus.net', 'foo.local.campus.net.', 'foo.local', 'foo.local.campus'],
  ],
])('serviceDomains: %s (C4.11)', (_case, part, options, expected) => {
  const { all } = serviceDomains({ ...service, ...part }, { ...own, ...options });
  expect(all).toEqual(expected);
});

test('serviceDomains: a headless service also means the names of its pods (C2.05, T23)', () => {
  const headless: Service = { ...service, resolution: 'passthrough', addresses: [] };
  expect(serviceDomains(headless, own).all).toEqual([
    'reviews.default.svc.cluster.local',
    'reviews.default.svc.cluster.local.',
    'reviews',
    'reviews.default.svc',
    'reviews.default',
    '*.reviews.default.svc.cluster.local',
    '*.reviews.default.svc.cluster.local.',
    '*.reviews',
    '*.reviews.default.svc',
    '*.reviews.default',
  ]);
  expect(serviceDomains({ ...headless, registry: 'External' }, own).all).toHaveLength(5);
});

test('serviceDomains: an alias is a name of its target, short forms included (C2.06, T23)', () => {
  const { all, short } = serviceDomains(service, { ...own, aliases: ['old.default.svc.cluster.local'] });
  expect(all.slice(5)).toEqual([
    'old.default.svc.cluster.local',
    'old.default.svc.cluster.local.',
    'old',
    'old.default.svc',
    'old.default',
    '10.0.0.1',
  ]);
  expect(short.has('old')).toBe(true);
  expect(short.has('old.default.svc.cluster.local')).toBe(false);
});

test('serviceDomains: with a port each name stands bare and with it', () => {
  const { all } = serviceDomains(
    { ...service, hostname: 'a.com', addresses: ['fd00::1'] },
    { ...own, port: 81 },
  );
  expect(all).toEqual(['a.com', 'a.com:81', 'a.com.', 'a.com.:81', '[fd00::1]', '[fd00::1]:81']);
});
