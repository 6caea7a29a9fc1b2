import { expect, test } from 'vitest';
import { routesOf } from '../../../test/support/translated.ts';

const service = (name: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { clusterIP: 10.0.0.1, ports: [{ name: http, port: 80 }] }
---`;
const config = (routes: string): string => `${service('a')}${service('b')}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a, trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: x-user } } } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec: { hosts: [a], http: [{ route: [${routes}] }] }
`;

interface ActionJson {
  readonly hashPolicy?: readonly object[];
  readonly retryPolicy: { readonly retryHostPredicate?: readonly object[] };
}

function actionOf(routes: string): ActionJson {
  const { virtualHosts } = routesOf(config(routes), '80') as unknown as {
    virtualHosts: readonly { name: string; routes: readonly { route: ActionJson }[] }[];
  };
  const host = virtualHosts.find(({ name }) => name === 'a.default.svc.cluster.local:80');
  if (host?.routes[0] === undefined) throw new Error('no route');
  return host.routes[0].route;
}

test('a hashed destination is tried again at the same host, but not where the rule has several (partly C3.09)', () => {
  const hashPolicy = [{ header: { headerName: 'x-user' } }];
  const only = actionOf('{ destination: { host: a } }');
  expect(only.hashPolicy).toEqual(hashPolicy);
  expect(only.retryPolicy.retryHostPredicate).toBeUndefined();
  // Also where all of the requests go to one of them.
  const several = actionOf(
    '{ destination: { host: a }, weight: 100 }, { destination: { host: b }, weight: 0 }',
  );
  expect(several.hashPolicy).toEqual(hashPolicy);
  expect(several.retryPolicy.retryHostPredicate).toHaveLength(1);
});
