import { expect, test } from 'vitest';
import { readPilotFeatures } from './pilot-features.ts';

test('readPilotFeatures: booleans as istiod reads them, and a complaint about other words', () => {
  const scoped = (text?: string) =>
    readPilotFeatures({ PILOT_SCOPE_GATEWAY_TO_NAMESPACE: text }).scopeGatewaysToNamespace;
  for (const text of [undefined, '', 'false', '0']) expect(scoped(text)).toBe(false);
  for (const text of ['true', '1', 'T']) expect(scoped(text)).toBe(true);
  expect(() => scoped('yes')).toThrow(
    'the variable PILOT_SCOPE_GATEWAY_TO_NAMESPACE must be true or false, not "yes"',
  );
});
