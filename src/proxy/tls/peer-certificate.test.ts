// The names of a certificate, as Node writes them.
import { assert, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { parseSubjectAltNames } from './peer-certificate.ts';
import { dnsNameMatches } from './validation.ts';

test('subject alternative names: quoted ones are one name each, with what is in them (traps row 15)', () => {
  expect(
    parseSubjectAltNames('DNS:a.test, URI:spiffe://a/b, IP Address:10.0.0.1, othername:<unsupported>'),
  ).toEqual([
    { type: 'DNS', value: 'a.test' },
    { type: 'URI', value: 'spiffe://a/b' },
    { type: 'IP_ADDRESS', value: '10.0.0.1' },
    { type: 'OTHER', value: '<unsupported>' },
  ]);
  expect(parseSubjectAltNames('DNS:"a.test\\u0000.evil", URI:"spiffe://a, DNS:b.test"')).toEqual([
    { type: 'DNS', value: 'a.test\0.evil' },
    { type: 'URI', value: 'spiffe://a, DNS:b.test' },
  ]);
  expect(parseSubjectAltNames('')).toEqual([]);
});

test('a name that is quoted comes back as it was, and alone', () => {
  assert(
    property(string(), (value) => {
      expect(parseSubjectAltNames(`URI:${JSON.stringify(value)}, DNS:a.test`)).toEqual([
        { type: 'URI', value },
        { type: 'DNS', value: 'a.test' },
      ]);
    }),
  );
});

test('a wildcard stands for one first label', () => {
  expect(dnsNameMatches('a.test', 'a.test')).toBe(true);
  expect(dnsNameMatches('x.a.test', '*.a.test')).toBe(true);
  for (const name of ['a.test', 'y.x.a.test', '.a.test'])
    expect(dnsNameMatches(name, '*.a.test'), name).toBe(false);
});
