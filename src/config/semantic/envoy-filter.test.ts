// EnvoyFilter, ProxyConfig and WorkloadGroup: what is refused, and where.
import { expect, test } from 'vitest';
import { formatFieldPath } from '../../model/origin.ts';
import { readText } from '../reader.ts';

/** `severity line field: message` of each finding. */
function findings(kind: string, spec: string): readonly string[] {
  const version = { EnvoyFilter: 'v1alpha3', ProxyConfig: 'v1beta1', WorkloadGroup: 'v1' }[kind] ?? '';
  const text = `apiVersion: networking.istio.io/${version}\nkind: ${kind}\nmetadata: { name: x, namespace: y }\nspec:\n${spec}`;
  return readText('x.yaml', text).diagnostics.map(
    ({ severity, position, fieldPath, message }) =>
      `${severity} ${position.line} ${formatFieldPath(fieldPath)}: ${message}`,
  );
}

function patch(applyTo: string, operation: string, value: string, match = ''): string {
  return `  configPatches:
    - applyTo: ${applyTo}
      match: { ${match} }
      patch:
        operation: ${operation}
        value: ${value}
`;
}

const at = 'spec.configPatches[0]';
const lua = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';

test.each([
  [
    'an unknown field of Envoy',
    patch('CLUSTER', 'MERGE', '{ lb_polici: RING_HASH }'),
    `error 10 ${at}.patch.value.lb_polici: unknown field "lb_polici" of envoy.config.cluster.v3.Cluster; did you mean lb_policy?`,
  ],
  [
    'a value of the wrong type',
    patch('CLUSTER', 'ADD', '{ name: x, connect_timeout: 500ms }'),
    `error 10 ${at}.patch.value.connect_timeout: must be seconds such as "0.5s", not "500ms"`,
  ],
  [
    'an unknown value',
    patch('CLUSTER', 'MERGE', '{ lb_policy: ROUND_ROBBIN }'),
    `error 10 ${at}.patch.value.lb_policy: unknown value "ROUND_ROBBIN"; did you mean ROUND_ROBIN?`,
  ],
  [
    'a slip of the pen in an extension',
    patch('HTTP_FILTER', 'INSERT_FIRST', `{ name: a, typed_config: { '@type': ${lua}, inline_cod: x } }`),
    `error 10 ${at}.patch.value.typed_config.inline_cod: unknown field "inline_cod" of envoy.extensions.filters.http.lua.v3.Lua; did you mean inline_code?`,
  ],
  [
    'a field of a newer Envoy, merged',
    patch('NETWORK_FILTER', 'MERGE', `{ typed_config: { '@type': ${lua}, quite_new: x } }`),
    `error 10 ${at}.patch.value.typed_config.quite_new: unknown field "quite_new" of envoy.extensions.filters.http.lua.v3.Lua; accepted: `,
  ],
  [
    'an unknown type',
    patch('HTTP_FILTER', 'ADD', '{ name: a, typed_config: { "@type": type.googleapis.com/envoy.Luaa } }'),
    `error 10 ${at}.patch.value.typed_config.@type: the type "type.googleapis.com/envoy.Luaa" is unknown; a type that only Envoy knows can be given as xds.type.v3.TypedStruct`,
  ],
  [
    'a type of the v2 API',
    patch(
      'HTTP_FILTER',
      'ADD',
      '{ typed_config: { "@type": type.googleapis.com/envoy.config.filter.http.lua.v2.Lua } }',
    ),
    `error 10 ${at}.patch.value.typed_config.@type: the type "type.googleapis.com/envoy.config.filter.http.lua.v2.Lua" is unknown; the v3 API has another name for it`,
  ],
  [
    'a match on something else',
    patch('CLUSTER', 'REMOVE', '{}', 'listener: {}'),
    `error 7 ${at}.match.listener: applyTo CLUSTER cannot have a match on listener; accepted: cluster`,
  ],
  [
    'selector and targets at once',
    '  workloadSelector: { labels: { a: b } }\n  targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }]\n',
    'error 6 spec.targetRefs: only one of targetRefs and workloadSelector can be set',
  ],
])('validateEnvoyFilter: %s is refused at its place (partly C13.06)', (_name, spec, expected) => {
  const [first = '', ...others] = findings('EnvoyFilter', spec).filter((text) => text.startsWith('error'));
  expect(others).toEqual([]);
  const [place, message] = splitOnce(expected);
  expect(splitOnce(first)[0].replace('["@type"]', '.@type')).toBe(place);
  expect(splitOnce(first)[1]).toContain(message);
});

function splitOnce(text: string): readonly [string, string] {
  const index = text.indexOf(': ');
  return [text.slice(0, index), text.slice(index + 2)];
}

test.each([
  [
    'a field of a newer Envoy in an extension',
    patch('HTTP_FILTER', 'INSERT_FIRST', `{ name: a, typed_config: { '@type': ${lua}, quite_new: x } }`),
    'typed_config.quite_new: unknown field "quite_new"',
  ],
  [
    'an operation that Istio passes over',
    patch('CLUSTER', 'REPLACE', '{ name: x }'),
    'operation: REPLACE has no effect on CLUSTER',
  ],
  [
    'a removal that names nothing',
    patch('HTTP_FILTER', 'REMOVE', '{ typed_config: {} }').replace(
      '\n        value: { typed_config: {} }',
      '',
    ),
    'operation: REMOVE has no effect on HTTP_FILTER without match.listener.filterChain.filter.subFilter.name',
  ],
  [
    'a new name',
    patch('CLUSTER', 'MERGE', '{ name: x }'),
    'value.name: has no effect: MERGE does not rename',
  ],
  [
    'an old filter name',
    patch(
      'NETWORK_FILTER',
      'REMOVE',
      '{}',
      'listener: { filterChain: { filter: { name: envoy.tcp_proxy } } }',
    ),
    '"envoy.tcp_proxy" is a filter name of old',
  ],
  [
    'a version expression that is too long',
    patch('CLUSTER', 'REMOVE', '{}', `proxy: { proxyVersion: "${'a'.repeat(1025)}" }`),
    'proxyVersion: longer than 1024 characters: the patch matches no proxy',
  ],
  [
    'a waypoint',
    patch('CLUSTER', 'REMOVE', '{}', 'context: WAYPOINT, waypoint: {}'),
    'waypoints are not served',
  ],
])('validateEnvoyFilter: %s is named in a warning', (_name, spec, expected) => {
  const found = findings('EnvoyFilter', spec);
  expect(found.filter((text) => text.startsWith('error'))).toEqual([]);
  expect(found.join('\n')).toContain(expected);
});

test('validateEnvoyFilter: one bad patch does not hide the next', () => {
  const bad = patch('CLUSTER', 'MERGE', '{ lb_policy: 1.5 }');
  const also = patch('LISTENER', 'ADD', '{ nam: x }').replace('  configPatches:\n', '');
  expect(findings('EnvoyFilter', bad + also).map((text) => splitOnce(text)[0])).toEqual([
    'error 10 spec.configPatches[0].patch.value.lb_policy',
    'warning 15 spec.configPatches[1].patch.value',
    'error 15 spec.configPatches[1].patch.value.nam',
  ]);
});

test.each([
  ['ProxyConfig', '  concurrency: -1\n', 'error 5 spec.concurrency'],
  ['ProxyConfig', '  selector: { matchLabels: { "": x } }\n', 'error 5 spec.selector.matchLabels'],
  ['ProxyConfig', '  environmentVariables: { "A=B": x }\n', 'error 5 spec.environmentVariables["A=B"]'],
  [
    'WorkloadGroup',
    '  template: {}\n  probe: { exec: { command: [] } }\n',
    'error 6 spec.probe.exec.command',
  ],
  ['WorkloadGroup', '  template: {}\n  probe: { grpc: { port: 1 } }\n', 'error 6 spec.probe.grpc'],
  [
    'WorkloadGroup',
    '  template: {}\n  probe: { tcpSocket: { port: 70000 } }\n',
    'error 6 spec.probe.tcpSocket.port',
  ],
  [
    'WorkloadGroup',
    '  template: {}\n  probe: { httpGet: { port: 1, scheme: FTP } }\n',
    'error 6 spec.probe.httpGet.scheme',
  ],
  [
    'WorkloadGroup',
    '  template: {}\n  metadata: { labels: { "~": x } }\n',
    'error 6 spec.metadata.labels["~"]',
  ],
])('%s: what is refused has its place (%#)', (kind, spec, expected) => {
  expect(findings(kind, spec).map((text) => splitOnce(text)[0])).toContain(expected);
});
