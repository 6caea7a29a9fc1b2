// What is said of references that lead nowhere.
import { expect, test } from 'vitest';
import { configsOfYaml } from '../../test/support/world.ts';
import { findDanglingReferences } from './references.ts';

test('findDanglingReferences: of two thousand subsets ten are named', () => {
  const subsets = Array.from({ length: 2000 }, (_, index) => `{ name: s${index} }`).join(', ');
  const found = findDanglingReferences(
    configsOfYaml(`apiVersion: v1
kind: Service
metadata: { name: a }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a, subsets: [${subsets}] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec: { hosts: [a], http: [{ route: [{ destination: { host: a, subset: gone } }] }] }`),
  );
  expect(found.map(({ message }) => message)).toEqual([
    'no DestinationRule of a.default.svc.cluster.local has a subset "gone"; there are s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 1990 more',
  ]);
});
