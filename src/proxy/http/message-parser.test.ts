import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChunkDecoder } from './chunk-decoder.ts';
import { HeaderBlock } from './header-block.ts';
import type { HeadError } from './message-parser.ts';
import { HeadParser } from './message-parser.ts';
import { nameIds } from './names.ts';

function parseRequest(text: string): HeadParser & { result: string } {
  const parser = new HeadParser(new HeaderBlock());
  const buffer = Buffer.from(text, 'latin1');
  return Object.assign(parser, { result: parser.request(buffer, 0, buffer.length) });
}

function headersOf(parser: HeadParser): [string, string][] {
  const found: [string, string][] = [];
  parser.block.forEach((name, value) => found.push([name, value]));
  return found;
}

const head = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;

describe('HeadParser.request', () => {
  test('reads method, target and headers, lower-casing names (partly D4.01, D4.04)', () => {
    const parser = parseRequest(
      'POST /a?b=c HTTP/1.1\r\nHOST: Example\r\nX-Own:\t one \r\nAccept:*/*\r\n\r\nrest',
    );
    expect(parser.result).toBe('complete');
    expect([parser.method, parser.target, parser.minorVersion]).toEqual(['POST', '/a?b=c', 1]);
    expect(headersOf(parser)).toEqual([
      ['host', 'Example'],
      ['x-own', 'one'],
      ['accept', '*/*'],
    ]);
    expect(parser.block.serialize()).toBe('host: Example\r\nx-own: one\r\naccept: */*\r\n');
  });

  test('finds how the body is framed (partly D4.01)', () => {
    expect(parseRequest(head('Content-Length: 12\r\n')).contentLength).toBe(12);
    expect(parseRequest(head('Transfer-Encoding: Chunked\r\n')).chunked).toBe(true);
    const plain = parseRequest(head(''));
    expect([plain.contentLength, plain.chunked]).toEqual([-1, false]);
  });

  const refused: readonly (readonly [string, string, HeadError])[] = [
    ['bare LF', 'GET / HTTP/1.1\nHost: a\n\n', 'codec_error'],
    ['bare LF in a header', head('x: a\ny: b\r\n'), 'invalid_characters'],
    ['bare CR in a header', head('x: a\rb\r\n'), 'invalid_characters'],
    ['obs-fold', head('x: a\r\n b\r\n'), 'invalid_characters'],
    ['space before the colon', head('x : a\r\n'), 'invalid_characters'],
    ['empty name', head(': a\r\n'), 'invalid_characters'],
    ['no colon', head('abc\r\n'), 'invalid_characters'],
    ['NUL in a value', head('x: \0\r\n'), 'invalid_characters'],
    ['DEL in a value', head('x: \x7f\r\n'), 'invalid_characters'],
    ['NUL in a name', head('x\0: a\r\n'), 'invalid_characters'],
    ['two hosts', head('Host: b\r\n'), 'duplicate_header'],
    ['two lengths', head('Content-Length: 1\r\nContent-Length: 1\r\n'), 'duplicate_header'],
    ['two codings', head('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'), 'duplicate_header'],
    [
      'length and chunked',
      head('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'),
      'content_length_and_chunked_not_allowed',
    ],
    [
      'chunked and length',
      head('Transfer-Encoding: chunked\r\nContent-Length: 1\r\n'),
      'content_length_and_chunked_not_allowed',
    ],
    ['list of lengths', head('Content-Length: 1, 1\r\n'), 'invalid_content_length'],
    ['signed length', head('Content-Length: +1\r\n'), 'invalid_content_length'],
    ['hexadecimal length', head('Content-Length: 0x1\r\n'), 'invalid_content_length'],
    ['empty length', head('Content-Length:\r\n'), 'invalid_content_length'],
    ['huge length', head('Content-Length: 99999999999999999999\r\n'), 'invalid_content_length'],
    ['other coding', head('Transfer-Encoding: gzip\r\n'), 'invalid_transfer_encoding'],
    ['list of codings', head('Transfer-Encoding: gzip, chunked\r\n'), 'invalid_transfer_encoding'],
    ['disguised coding', head('Transfer-Encoding: xchunked\r\n'), 'invalid_transfer_encoding'],
    ['lower-case method', 'get / HTTP/1.1\r\n\r\n', 'codec_error'],
    ['unknown method', 'FETCH / HTTP/1.1\r\n\r\n', 'codec_error'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\n\r\n', 'codec_error'],
    ['HTTP/0.9', 'GET /\r\n\r\n          ', 'invalid_url'],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n', 'invalid_url'],
    ['space in the target', 'GET /a b HTTP/1.1\r\n\r\n', 'codec_error'],
    ['control character in the target', 'GET /\x01 HTTP/1.1\r\n\r\n', 'invalid_url'],
    ['high byte in the target', 'GET /\xe9 HTTP/1.1\r\n\r\n', 'invalid_url'],
    ['TLS client hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'codec_error'],
    ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'codec_error'],
    [
      '101 headers',
      head(Array.from({ length: 100 }, (_, index) => `x${index}: 1\r\n`).join('')),
      'too_many_headers',
    ],
    ['61 KiB', head(`x: ${'a'.repeat(61 * 1024)}\r\n`), 'headers_too_large'],
    ['61 KiB without an end', `GET / HTTP/1.1\r\nx: ${'a'.repeat(61 * 1024)}`, 'headers_too_large'],
  ];
  test.each(refused)('refuses %s (traps rows 3, 5, 7)', (_name, text, error) => {
    const parser = parseRequest(text);
    expect([parser.result, parser.error]).toEqual(['error', error]);
  });

  test('gives the same at every split of the bytes (partly D4.01)', () => {
    const text = `POST /path?query HTTP/1.1\r\nHost: a.example:80\r\nX-A:  b \r\nContent-Length: 5\r\nCookie: c=d\r\n\r\n`;
    const whole = headersOf(parseRequest(text));
    for (let split = 1; split < text.length; split++) {
      const parser = new HeadParser(new HeaderBlock());
      const buffer = Buffer.from(text, 'latin1');
      expect(parser.request(buffer, 0, split), `first ${split} bytes`).toBe('partial');
      expect(parser.request(buffer, 0, buffer.length)).toBe('complete');
      expect([parser.end, parser.contentLength, headersOf(parser)]).toEqual([text.length, 5, whole]);
    }
  });

  test('never throws, whatever the bytes, and never says complete without an empty line', () => {
    const pieces = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        'GET / HTTP/1.1\r\n',
        'HTTP/1.1 200 OK\r\n',
        '\r\n',
        '\r\n\r\n',
        'Host: a\r\n',
        'Content-Length: ',
        'Transfer-Encoding: chunked\r\n',
        ':',
        ' ',
        '\t',
      ),
    );
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        const buffer = Buffer.from(parts.join(''), 'latin1');
        for (const kind of ['request', 'response', 'trailers'] as const) {
          const parser = new HeadParser(new HeaderBlock());
          const result = parser[kind](Buffer.from(buffer), 0, buffer.length);
          if (result !== 'complete') continue;
          expect(buffer.subarray(0, parser.end).toString('latin1').endsWith('\r\n')).toBe(true);
          // What is passed on is clean: one line for each header.
          const lines = parser.block.serialize().split('\r\n');
          expect(lines.length).toBe(parser.block.count + 1);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('HeadParser.response', () => {
  test('reads the status and keeps lines that it does not know (D4.04)', () => {
    const parser = new HeadParser(new HeaderBlock());
    const buffer = Buffer.from('HTTP/1.1 404\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n');
    expect(parser.response(buffer, 0, buffer.length)).toBe('complete');
    expect(parser.status).toBe(404);
    expect(parser.block.known(nameIds['set-cookie'])).toBe('a,b');
    expect(parser.block.serialize()).toBe('set-cookie: a\r\nset-cookie: b\r\n');
  });
});

describe('ChunkDecoder', () => {
  const decode = (text: string, splits: readonly number[]): { data: string; end: string; rest: string } => {
    const decoder = new ChunkDecoder();
    let data = '';
    const bounds = [...splits, text.length];
    let from = 0;
    for (const bound of bounds) {
      const buffer = Buffer.from(text.slice(from, bound), 'latin1');
      decoder.position = 0;
      for (;;) {
        const event = decoder.next(buffer, buffer.length);
        if (event === 'data') data += buffer.toString('latin1', decoder.dataStart, decoder.dataEnd);
        else if (event === 'need-more') break;
        else
          return { data, end: event, rest: buffer.toString('latin1', decoder.position) + text.slice(bound) };
      }
      from = bound;
    }
    return { data, end: 'need-more', rest: '' };
  };

  test('decodes the same over every split (partly D4.01)', () => {
    const text = '5\r\nhello\r\nA;name="value"\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n';
    for (let first = 0; first <= text.length; first++) {
      const seen = decode(text, [first]);
      expect(seen).toEqual({ data: 'hello0123456789', end: 'trailers', rest: 'x-t: 1\r\n\r\n' });
    }
  });

  test.each([
    '\r\n',
    'g\r\n',
    '-1\r\n',
    ' 5\r\nhello',
    '5 \r\nhello',
    '5\nhello',
    '5\r\nhelloX',
    '5\r\nhello\n',
    '0x5\r\n',
    `${'1'.repeat(14)}\r\n`,
    `5;${'a'.repeat(5000)}`,
    '5;\n',
  ])('refuses %j (traps row 7)', (text) => {
    expect(decode(text, []).end).toBe('error');
  });

  test('never throws and never makes data out of nothing', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '1', 'a', 'f', ';', '\r', '\n', 'x') }),
        fc.nat(),
        (text, split) => {
          const seen = decode(text, [text.length === 0 ? 0 : split % text.length]);
          expect(seen.data.length).toBeLessThanOrEqual(text.length);
          expect(seen).toEqual(decode(text, []));
        },
      ),
      { numRuns: 3000 },
    );
  });
});
