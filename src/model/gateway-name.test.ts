import { expect, test } from 'vitest';
import { resolveGatewayName } from './gateway-name.ts';

test.each([
  ['mesh', 'mesh'],
  ['gateway', 'default/gateway'],
  ['./gateway', 'default/gateway'],
  ['other/gateway', 'other/gateway'],
  ['gateway.other', 'other/gateway'],
  ['gateway.other.svc.cluster.local', 'other/gateway'],
])('resolveGatewayName: %s in default is %s (C4.03)', (name, resolved) => {
  expect(resolveGatewayName(name, 'default')).toBe(resolved);
});
