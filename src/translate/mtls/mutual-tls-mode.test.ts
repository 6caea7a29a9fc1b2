// Which PeerAuthentication holds for a workload's port.
import { describe, expect, test } from 'vitest';
import { worldOfYaml } from '../../../test/support/world.ts';
import { mutualTlsMode, namespaceMutualTlsMode } from './mutual-tls-mode.ts';

interface Policy {
  readonly namespace: string;
  readonly name: string;
  readonly created?: string;
  readonly spec: string;
}

function worldWith(...policies: readonly Policy[]) {
  return worldOfYaml(
    policies
      .map(
        ({ namespace, name, created, spec }) =>
          `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${namespace}${created === undefined ? '' : `, creationTimestamp: "${created}"`} }
spec: ${spec}
`,
      )
      .join('---\n'),
  );
}

const mesh = (mode: string): Policy => ({
  namespace: 'istio-system',
  name: 'mesh',
  spec: `{ mtls: { mode: ${mode} } }`,
});
const namespaceWide = (mode: string, name = 'ns', created?: string): Policy => ({
  namespace: 'default',
  name,
  spec: `{ mtls: { mode: ${mode} } }`,
  ...(created === undefined ? {} : { created }),
});
const workload = (mode: string, ports = '', name = 'app', created?: string): Policy => ({
  namespace: 'default',
  name,
  spec: `{ selector: { matchLabels: { app: a } }, mtls: { mode: ${mode} }${ports} }`,
  ...(created === undefined ? {} : { created }),
});

const app = { app: 'a', version: 'v1' };

describe('mutualTlsMode (C12.01)', () => {
  test('PERMISSIVE where nothing is said', () => {
    expect(mutualTlsMode(worldWith(), 'default', app, 80)).toBe('PERMISSIVE');
  });

  test.each([
    [[mesh('STRICT')], 'STRICT'],
    [[mesh('UNSET')], 'PERMISSIVE'],
    [[mesh('STRICT'), namespaceWide('DISABLE')], 'DISABLE'],
    [[mesh('STRICT'), namespaceWide('UNSET')], 'STRICT'],
    [[mesh('STRICT'), namespaceWide('DISABLE'), workload('PERMISSIVE')], 'PERMISSIVE'],
    [[mesh('STRICT'), namespaceWide('DISABLE'), workload('UNSET')], 'DISABLE'],
  ] as const)('the narrower scope wins, UNSET inherits: %#', (policies, mode) => {
    expect(mutualTlsMode(worldWith(...policies), 'default', app, 80)).toBe(mode);
  });

  test('a port has its own mode, and UNSET there is the workload’s', () => {
    const world = worldWith(
      mesh('DISABLE'),
      workload('STRICT', ', portLevelMtls: { 80: { mode: PERMISSIVE }, 90: { mode: UNSET }, 91: {} }'),
    );
    expect([80, 81, 90, 91].map((port) => mutualTlsMode(world, 'default', app, port))).toEqual([
      'PERMISSIVE',
      'STRICT',
      'STRICT',
      'STRICT',
    ]);
    expect(mutualTlsMode(world, 'default', { app: 'b' }, 80)).toBe('DISABLE');
    expect(mutualTlsMode(world, 'other', app, 80)).toBe('DISABLE');
  });

  test('the oldest of a scope alone counts, even if it says UNSET', () => {
    const world = worldWith(
      namespaceWide('STRICT', 'a-newer', '2026-01-02T00:00:00Z'),
      namespaceWide('UNSET', 'b-older', '2026-01-01T00:00:00Z'),
      workload('DISABLE', '', 'a-newer-app', '2026-01-02T00:00:00Z'),
      workload('UNSET', '', 'b-older-app', '2026-01-01T00:00:00Z'),
    );
    expect(mutualTlsMode(world, 'default', app, 80)).toBe('PERMISSIVE');
  });

  test('a selector in the root namespace selects nothing, there and elsewhere', () => {
    const world = worldWith({ ...workload('STRICT'), namespace: 'istio-system' });
    expect(mutualTlsMode(world, 'default', app, 80)).toBe('PERMISSIVE');
    expect(mutualTlsMode(world, 'istio-system', app, 80)).toBe('PERMISSIVE');
  });

  test('a namespace’s mode is that before any workload’s', () => {
    const world = worldWith(mesh('STRICT'), namespaceWide('DISABLE'), workload('PERMISSIVE'));
    expect(['default', 'other', 'istio-system'].map((each) => namespaceMutualTlsMode(world, each))).toEqual([
      'DISABLE',
      'STRICT',
      'STRICT',
    ]);
  });
});
