import { expect, test } from 'vitest';
import { formatCidr, parseCidr } from './cidr.ts';

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['10.1.2.3', '10.1.2.3/32'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['255.255.255.255/1', '128.0.0.0/1'],
  ['1234:1f1:123:123:f816:3eff:feb8:2287/32', '1234:1f1::/32'],
  ['::1', '::1/128'],
  ['2001:db8::/33', '2001:db8::/33'],
  ['::ffff:1.2.3.4/112', '::ffff:102:0/112'],
])('parseCidr: %s is %s', (text, expected) => {
  const cidr = parseCidr(text);
  expect(cidr === undefined ? undefined : formatCidr(cidr)).toBe(expected);
});

test.each([
  '',
  'a.com',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/-1',
  '10.0.0/8',
  '::1/129',
  'fe80::1%eth0',
  '1/2/3',
])('parseCidr: %j is no range', (text) => {
  expect(parseCidr(text)).toBeUndefined();
});
