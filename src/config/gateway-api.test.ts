import { describe, expect, test } from 'vitest';
import { configKey, formatDiagnostic, kubeGatewayKind } from './config.ts';
import { readText } from './reader.ts';
import { findDanglingReferences } from './references.ts';
import type { HttpRouteSpec } from './gateway-api-types.ts';

function complaints(text: string): readonly string[] {
  return readText('a.yaml', text).diagnostics.map((each) =>
    formatDiagnostic(each).replace(/^a\.yaml:\d+:\d+: \S+ \S+: /, ''),
  );
}

const object = (kind: string, spec: string, version = 'gateway.networking.k8s.io/v1'): string =>
  `apiVersion: ${version}\nkind: ${kind}\nmetadata: {name: a}\nspec: ${spec}\n`;
const route = (rule: string): string => object('HTTPRoute', `{rules: [${rule}]}`);
const gateway = (listener: string): string =>
  object('Gateway', `{gatewayClassName: istio, listeners: [${listener}]}`);

describe('the kinds of the Gateway API', () => {
  test('readText: the two kinds called Gateway are two objects with their own schemas (partly C14.02)', () => {
    const { configs, diagnostics } = readText(
      'a.yaml',
      [
        gateway('{name: http, port: 80, protocol: HTTP}'),
        object(
          'Gateway',
          '{servers: [{hosts: ["*"], port: {number: 80, name: http, protocol: HTTP}}]}',
          'networking.istio.io/v1',
        ),
      ].join('---\n'),
    );
    expect(diagnostics).toEqual([]);
    expect(configs.map(configKey)).toEqual([`${kubeGatewayKind}/default/a`, 'Gateway/default/a']);
  });

  test('readText: a broken Gateway keeps the last good version of its own group (partly C14.02)', () => {
    const broken = gateway('{name: http, port: 80, protocol: HTTP').replace('}\n', '\n');
    expect(readText('a.yaml', broken).refusedKeys).toEqual([`${kubeGatewayKind}/default/a`]);
  });

  test('readText: a field that the CRD does not have is refused with a hint (partly C14.02)', () => {
    expect(complaints(route('{backendRef: [{name: a, port: 80}]}'))).toEqual([
      'spec.rules[0].backendRef: unknown field "backendRef"; did you mean backendRefs?',
    ]);
    expect(complaints(gateway('{name: http, port: 80, protocol: HTTP, hostName: a.b}'))).toEqual([
      'spec.listeners[0].hostName: unknown field "hostName"; did you mean hostname?',
    ]);
  });

  test.each([
    ['{filters: [{type: URLRewrite}]}', 'urlRewrite must be set where type is URLRewrite'],
    [
      '{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 80}]}',
      'a RequestRedirect filter cannot stand together with backendRefs',
    ],
    ['{backendRefs: [{name: a}]}', 'the port must be set where a Service is meant'],
    ['{matches: [{path: {value: a}}]}', 'must begin with /, not be "a"'],
    [
      '{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}',
      'replacePrefixMatch asks for exactly one match, with a path of type PathPrefix',
    ],
    ['{timeouts: {request: 1s, backendRequest: 2s}}', 'cannot be longer than timeouts.request'],
    ['{timeouts: {request: 1.5s}}', '"1.5s" is not a duration of the Gateway API'],
    ['{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}', '"a" stands here twice'],
    ['{sessionPersistence: {type: Cookie}}', 'has no effect, as in Istio'],
  ])('validateHttpRoute: %s', (rule, expected) => {
    expect(complaints(route(rule)).join('\n')).toContain(expected);
  });

  test.each([
    [
      '{name: a, port: 80, protocol: HTTP, tls: {mode: Passthrough}}',
      'cannot stand where the protocol is HTTP',
    ],
    ['{name: a, port: 443, protocol: TLS}', 'tls.mode must be set where the protocol is TLS'],
    ['{name: a, port: 443, protocol: HTTPS, tls: {}}', 'certificateRefs or options must be set'],
    ['{name: a, port: 90, protocol: TCP, hostname: a.b}', 'cannot stand where the protocol is TCP'],
    ['{name: a, port: 80, protocol: HTTP, hostname: "*"}', '"*" is not a host name'],
    [
      '{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}',
      'listener a stands here twice',
    ],
  ])('validateKubeGateway: %s', (listener, expected) => {
    expect(complaints(gateway(listener)).join('\n')).toContain(expected);
  });

  test('validateKubeGateway: a waypoint is said to have no effect', () => {
    const waypoint = gateway('{name: mesh, port: 15008, protocol: HBONE}').replace(
      'istio,',
      'istio-waypoint,',
    );
    expect(complaints(waypoint).join()).toContain('waypoints belong to ambient mode');
  });

  test('validateBackendTlsPolicy: where the CA comes from must be said once (partly C14.02)', () => {
    const policy = (validation: string): readonly string[] =>
      complaints(
        object(
          'BackendTLSPolicy',
          `{targetRefs: [{group: "", kind: Service, name: a}], validation: {${validation}}}`,
        ),
      );
    expect(policy('hostname: a.b').join()).toContain('must have either caCertificateRefs or');
    expect(policy('hostname: a.b, wellKnownCACertificates: System')).toEqual([]);
    expect(policy('hostname: "*.b", wellKnownCACertificates: System').join()).toContain('is not a host name');
  });

  test('readText: what the API server would write in stands in the spec (partly C14.02)', () => {
    const { configs } = readText(
      'a.yaml',
      object('HTTPRoute', '{parentRefs: [{name: g}]}') +
        '---\n' +
        route('{filters: [{type: RequestRedirect, requestRedirect: {hostname: b.c}}]}').replace(
          'name: a',
          'name: b',
        ),
    );
    const [empty, redirect] = configs.map(({ spec }) => (spec as HttpRouteSpec).rules?.[0]);
    expect(empty).toEqual({ matches: [{ path: { type: 'PathPrefix', value: '/' } }] });
    expect(redirect?.filters?.[0]?.requestRedirect).toEqual({ statusCode: 302, hostname: 'b.c' });
  });

  test('readText: kinds that are not read say what to do instead (partly C14.02)', () => {
    expect(complaints(object('UDPRoute', '{}', 'gateway.networking.k8s.io/v1alpha2')).join()).toContain(
      'UDPRoute is not supported, as in Istio',
    );
    expect(complaints(object('XListenerSet', '{}', 'gateway.networking.x-k8s.io/v1alpha1')).join()).toContain(
      'write a ListenerSet',
    );
  });
});

test('readText: nobody passes an object off as made of a Gateway API one (partly C14.02)', () => {
  const text = object(
    'Gateway',
    '{servers: [{hosts: ["*"], port: {number: 80, name: http, protocol: HTTP}}]}',
    'networking.istio.io/v1',
  ).replace('name: a', 'name: a, annotations: {internal.istio.io/parents: Gateway/x}');
  expect(complaints(text).join()).toContain('may not be set by users');
});

test('findDanglingReferences: parents and backends that are not there (partly C14.01, C14.02)', () => {
  const text = [
    'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n',
    object(
      'HTTPRoute',
      '{parentRefs: [{name: front}, {group: "", kind: Service, name: web}], rules: [{backendRefs: [{name: web, port: 81}, {name: wed, port: 80}]}]}',
    ),
    object(
      'Ingress',
      '{rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: htp}}}}]}}]}',
      'networking.k8s.io/v1',
    ),
  ].join('---\n');
  const dangling = findDanglingReferences(readText('a.yaml', text).configs);
  expect(dangling.map((each) => formatDiagnostic(each).replace(/^a\.yaml:\d+:\d+: /, ''))).toEqual([
    'HTTPRoute default/a: spec.parentRefs[0]: there is no Gateway.gateway.networking.k8s.io default/front',
    'HTTPRoute default/a: spec.rules[0].backendRefs[0]: Service default/web has no port 81; it has 80',
    'HTTPRoute default/a: spec.rules[0].backendRefs[1]: there is no Service default/wed',
    'Ingress default/a: spec.rules[0].http.paths[0].backend.service: Service default/web has no port htp; it has 80',
  ]);
});

describe('Ingress', () => {
  const ingress = (spec: string): readonly string[] =>
    complaints(object('Ingress', spec, 'networking.k8s.io/v1'));
  const rule = (path: string): string => `{rules: [{host: a.b, http: {paths: [${path}]}}]}`;

  test.each([
    ['{}', 'either defaultBackend or rules must be set'],
    ['{defaultBackend: {service: {name: a, port: {number: 80}}}}', 'has no effect, as in Istio'],
    [
      rule('{path: a, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}'),
      'must begin with /',
    ],
    [rule('{path: /, pathType: Prefix, backend: {service: {name: a}}}'), 'either number or name'],
    [
      rule('{path: /, pathType: Prefix, backend: {resource: {kind: B, name: b}}}'),
      'is not supported, as in Istio',
    ],
    [rule('{path: /, backend: {service: {name: a, port: {number: 80}}}}'), 'asks for a pathType'],
    [rule('{path: /, pathtype: Prefix}'), 'did you mean pathType?'],
  ])('validateIngress: %s', (spec, expected) => {
    expect(ingress(spec).join('\n')).toContain(expected);
  });
});
