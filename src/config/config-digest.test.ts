import { expect, test } from 'vitest';
import { configDigest } from './config-digest.ts';
import { readText } from './reader.ts';

function digest(text: string): string {
  const [config] = readText('in.yaml', text).configs;
  if (config === undefined) throw new Error('not read');
  return configDigest(config);
}

test('configDigest: the same for what says the same, wherever and in whatever order it stands', () => {
  const rule = (part: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, labels: {x: "1", y: "2"}}\nspec: ${part}\n`;
  const one = digest(rule('{host: a, trafficPolicy: {tls: {mode: DISABLE}}}'));
  expect(digest(`# moved\n\n${rule('{trafficPolicy: {tls: {mode: DISABLE}}, host: a}')}`)).toBe(one);
  expect(digest(rule('{host: a}').replace('{x: "1", y: "2"}', '{y: "2", x: "1"}'))).toBe(
    digest(rule('{host: a}')),
  );
  expect(digest(rule('{host: b, trafficPolicy: {tls: {mode: DISABLE}}}'))).not.toBe(one);
  expect(digest(rule('{host: a}').replace('name: a', 'name: b'))).not.toBe(digest(rule('{host: a}')));
  expect(digest(rule('{host: a}').replace('io/v1', 'io/v1beta1'))).not.toBe(digest(rule('{host: a}')));
});
