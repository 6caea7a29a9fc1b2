// Tests of what is said after a change of the YAML has come to rest.
import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { formatDiagnostic } from '../config/config.ts';
import { readText } from '../config/reader.ts';
import { ConfigStore } from '../config/store.ts';
import { ConfigReview } from './config-review.ts';

const route = (host: string): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v, namespace: a }
spec:
  hosts: [x.example]
  gateways: [g]
  http: [{ route: [{ destination: { host: ${host} } }] }]
`;
const rest = `apiVersion: v1
kind: Service
metadata: { name: web, namespace: a }
spec: { ports: [{ port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: g, namespace: a }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }] }
`;

test('ConfigReview: what leads nowhere is said with its place, once files have come to rest', () => {
  const clock = new FakeClock();
  const store = new ConfigStore();
  const said: string[][] = [];
  let rests = 0;
  const review = new ConfigReview({
    store,
    clock,
    domainSuffix: 'cluster.local',
    rootNamespace: 'istio-system',
    onReferences: (dangling) => void said.push(dangling.map(formatDiagnostic)),
    onRest: () => rests++,
  });
  const save = (source: string, text: string): void =>
    void store.apply([{ source, upserts: readText(source, text).configs, deletes: [] }]);
  save('route.yaml', route('wbe'));
  clock.advance(400);
  save('rest.yaml', rest);
  clock.advance(400);
  expect(said).toEqual([]);
  clock.advance(100);
  const typo = 'route.yaml:7:37: VirtualService a/v: spec.http[0].route[0].destination.host';
  expect(said).toEqual([[expect.stringContaining(typo)]]);
  save('route.yaml', route('web'));
  clock.advance(500);
  expect(said[1]).toEqual([]);
  expect(rests).toBe(2);
  review.close();
  save('route.yaml', route('wbe'));
  clock.advance(5000);
  expect(said).toHaveLength(2);
});
