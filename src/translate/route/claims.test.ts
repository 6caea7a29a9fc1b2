import { expect, test } from 'vitest';
import { gatewayPod, routesOf } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import { readText } from '../../config/reader.ts';
import { RouteMatchSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { routingClaim } from './claims.ts';
import { buildRouteMatch } from './match.ts';

test.each<[string, readonly string[] | undefined]>([
  ['@request.auth.claims.sub', ['sub']],
  ['@Request.Auth.Claims.group.ID', ['group', 'ID']],
  ['@request.auth.claims[a.b][c]', ['a.b', 'c']],
  ['@request.auth.claims.[a]', ['[a]']],
  ['@request.auth.claims', undefined],
  ['@request.auth.claims.', undefined],
  ['@request.auth.claims[]', undefined],
  ['@request.auth.claims[a', undefined],
  ['@request.auth.claimsa', undefined],
  ['x-claim', undefined],
])('routingClaim: %s (partly C5.05)', (header, claim) => {
  expect(routingClaim(header)).toEqual(claim);
});

test('buildRouteMatch: claims are asked of the token filter, headers of the request (partly C5.05)', () => {
  const value = (pattern: object): object => ({
    orMatch: {
      valueMatchers: [{ listMatch: { oneOf: { stringMatch: pattern } } }, { stringMatch: pattern }],
    },
  });
  const claim = (...names: readonly string[]): object => ({
    filter: 'envoy.filters.http.jwt_authn',
    path: ['payload', ...names].map((key) => ({ key })),
  });
  const match = buildRouteMatch({
    headers: {
      '@request.auth.claims[groups][id]': { prefix: 'dev-' },
      '@request.auth.claims.aud': {},
      'x-a': { exact: '1' },
    },
    withoutHeaders: { '@request.auth.claims.sub': { exact: 'root' } },
  });
  expect(messageToJson(RouteMatchSchema, match)).toMatchObject({
    headers: [{ name: 'x-a' }],
    dynamicMetadata: [
      { ...claim('aud'), value: value({ safeRegex: { regex: '.*' } }) },
      { ...claim('groups', 'id'), value: value({ prefix: 'dev-' }) },
      { ...claim('sub'), value: value({ exact: 'root' }), invert: true },
    ],
  });
});

test('VirtualService: claims are matched at gateways, and refused in the mesh (C5.05)', () => {
  const yaml = (gateways: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [a.com]
  gateways: [${gateways}]
  http:
    - match: [{ headers: { '@request.auth.claims.group': { exact: admin } } }]
      route: [{ destination: { host: web, port: { number: 80 } } }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: default }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
`;
  const complaints = (gateways: string): string =>
    readText('a.yaml', yaml(gateways))
      .diagnostics.map(({ message }) => message)
      .join();
  expect(complaints('mesh')).toContain('JWT claim based routing is only supported for gateways');
  expect(complaints('gw')).toBe('');
  const { virtualHosts } = routesOf(yaml('gw'), 'http.80', { proxy: gatewayPod }) as unknown as {
    virtualHosts: readonly { routes: readonly { match: object }[] }[];
  };
  const [route] = virtualHosts[0]?.routes ?? [];
  expect(route?.match).toMatchObject({
    dynamicMetadata: [
      { filter: 'envoy.filters.http.jwt_authn', path: [{ key: 'payload' }, { key: 'group' }] },
    ],
  });
  expect(route?.match).not.toHaveProperty('headers');
});
