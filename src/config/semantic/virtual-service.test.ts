import { expect, test } from 'vitest';
import { formatDiagnostic } from '../config.ts';
import { readText } from '../reader.ts';

function complaintsOf(spec: string): readonly string[] {
  const { diagnostics } = readText(
    'f.yaml',
    `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: ${spec}\n`,
  );
  return diagnostics.map((one) => formatDiagnostic(one).replace(/^.*? default\/x: /, ''));
}
const rule = 'http: [{route: [{destination: {host: a}}]}]';

test.each<[string, readonly string[]]>([
  ['gateways: [g]', []],
  ['gateways: [other/g]', []],
  [
    'gateways: [g, mesh]',
    ['spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh gateway'],
  ],
  [
    'gateways: []',
    ['spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh gateway'],
  ],
])('validateVirtualService: the host "*" is for gateways alone: %s (C4.02)', (gateways, expected) => {
  expect(complaintsOf(`{hosts: ["*"], ${gateways}, ${rule}}`)).toEqual(expected);
});
