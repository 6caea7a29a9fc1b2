// The printed trace keeps to its width, with and without colours, and says the first things first.
import { describe, expect, test } from 'vitest';
import { explained, workloadYaml } from '../../test/support/explained.ts';
import { editDistance, nearest } from './edit-distance.ts';
import { wrap } from './layout.ts';
import { printTrace } from './print.ts';
import { parseRequest } from './request.ts';

const yaml = [
  workloadYaml('web', ['v1']),
  workloadYaml('a-service-with-a-rather-long-name', ['v1', 'v2']),
].join('\n---\n');
const long = 'http://a-service-with-a-rather-long-name.default.svc.cluster.local/a/path?with=query';

describe.each([80, 120])('%i columns', (width) => {
  test.each([true, false])('colours: %s', async (colors) => {
    const trace = await explained(yaml, { url: long, from: 'web', headers: ['x-a: b'] });
    const text = printTrace(trace, { width, colors, directory: '/', verbose: true });
    // oxlint-disable-next-line no-control-regex -- colours are what is taken away
    const plain = text.replaceAll(/\u001b\[\d+m/g, '');
    expect(plain.split('\n').filter((line) => line.length > width && !line.startsWith('GET'))).toEqual([]);
    expect(plain.split('\n')[3]).toMatch(/^✔ routed to/);
    expect(text.includes('\u001b')).toBe(colors);
  });
});

test('wrap: words, and what is longer than a line', () => {
  expect(wrap('one two three', 8)).toEqual(['one two', 'three']);
  expect(wrap('outbound|9080|v1|reviews.default', 20)).toEqual(['outbound|9080|v1|', 'reviews.default']);
  expect(wrap('', 10)).toEqual(['']);
});

test('nearest: swaps, missing letters; nothing that is far', () => {
  expect(editDistance('reviews', 'reveiws')).toBe(1);
  expect(nearest('reviws', ['reviews', 'ratings', 'productpage'])).toEqual(['reviews']);
});

describe('parseRequest', () => {
  test.each([
    [
      'reviews:9080/x',
      { scheme: 'http', host: 'reviews', port: 9080, authority: 'reviews:9080', path: '/x' },
    ],
    [
      'https://A.example',
      { host: 'a.example', port: 443, path: '/', tls: { sni: 'a.example', alpn: ['h2', 'http/1.1'] } },
    ],
    ['http://[::1]:80//a/../b?c#d', { host: '::1', authority: '[::1]:80', path: '//a/../b?c' }],
    ['tls://db:5432', { port: 5432, tls: { sni: 'db', alpn: [] } }],
  ])('%s', (url, expected) => {
    expect(parseRequest({ url })).toMatchObject(expected);
  });

  test('the Host header is the authority; headers of one name are joined', () => {
    const request = parseRequest({ url: 'http://1.2.3.4', headers: ['Host: a.example', 'X-A: 1', 'x-a: 2'] });
    expect(request).toMatchObject({ authority: 'a.example', headers: { 'x-a': '1,2' }, host: '1.2.3.4' });
  });

  test.each(['ftp://a', 'http://', 'http://a:0', 'tcp://a', 'http://u@a'])(
    '%s is refused with exit code 2',
    (url) => {
      expect(() => parseRequest({ url })).toThrow(expect.objectContaining({ exitCode: 2 }));
    },
  );
});
