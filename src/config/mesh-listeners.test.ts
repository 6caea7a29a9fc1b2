import { expect, test } from 'vitest';
import { readMeshConfig } from './mesh-config-reader.ts';

test('readMeshConfig: path normalization, and the log of listeners', () => {
  const read = (text: string) => readMeshConfig(text);
  expect(read('{}').meshConfig).toMatchObject({ pathNormalization: 'BASE', disableListenerLog: false });
  expect(
    read('{ pathNormalization: { normalization: DECODE_AND_MERGE_SLASHES }, disableEnvoyListenerLog: true }')
      .meshConfig,
  ).toMatchObject({ pathNormalization: 'DECODE_AND_MERGE_SLASHES', disableListenerLog: true });
  const standard = read('pathNormalization: { normalization: DEFAULT }');
  expect(standard.meshConfig).toMatchObject({ pathNormalization: 'BASE' });
  expect(standard.findings).toEqual([]);
  expect(read('pathNormalization: { normalization: SOME }').findings).toHaveLength(1);
});
