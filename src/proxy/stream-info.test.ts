import { expect, test } from 'vitest';
import { flagBits, responseFlagNames, responseFlagsText } from './stream-info.ts';

/** Those of Envoy that the inventory names. */
const wanted =
  'UH UF UO NR URX NC DT DC LH UT LR UR UC DI FI RL UAEX RLSE IH SI DPE UPE UMSDR OM DF NFCF'.split(' ');

test('responseFlagsText: every flag has a bit of its own and prints as itself, none as - (D7.03)', () => {
  for (const name of wanted) expect(responseFlagNames).toContain(name);
  for (const name of responseFlagNames) expect(responseFlagsText(flagBits[name])).toBe(name);
  expect(new Set(Object.values(flagBits)).size).toBe(responseFlagNames.length);
  expect(responseFlagsText(0)).toBe('-');
  expect(responseFlagsText(-1 >>> (32 - responseFlagNames.length))).toBe(responseFlagNames.join(','));
});
