import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeaderBlock } from '../http/header-block.ts';
import { nameIdOf } from '../http/names.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { BlockKind, HpackResult } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';

const limits = { bytesMax: 60 * 1024, linesMax: 100 };

interface Decoded {
  readonly result: HpackResult;
  readonly lines: (readonly [string, string])[];
}

function decode(
  decoder: HpackDecoder,
  bytes: Buffer,
  kind: BlockKind = 'trailers',
  within = limits,
): Decoded & { readonly block: HeaderBlock } {
  const block = new HeaderBlock();
  const result = decoder.decode(bytes, 0, bytes.length, block, kind, within);
  const lines: (readonly [string, string])[] = [];
  if (result !== 'too-large') block.forEach((name, value) => lines.push([name, value]));
  return { result, lines, block };
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function blockOf(lines: readonly (readonly [string, string])[]): HeaderBlock {
  const block = new HeaderBlock();
  for (const [name, value] of lines) block.add(name, value);
  return block;
}

function encode(encoder: HpackEncoder, block: HeaderBlock): Buffer {
  encoder.start();
  encoder.headers(block, false);
  return Buffer.from(encoder.finish());
}

describe('HpackDecoder', () => {
  test('the requests of RFC 7541 C.3 and C.4, plain and Huffman-coded', () => {
    for (const blocks of [
      [
        '828684410f7777772e6578616d706c652e636f6d',
        '828684be58086e6f2d6361636865',
        '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
      ],
      [
        '828684418cf1e3c2e5f23a6ba0ab90f4ff',
        '828684be5886a8eb10649cbf',
        '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
      ],
    ]) {
      const decoder = new HpackDecoder(4096);
      const seen = blocks.map((block) => {
        const { result, lines } = decode(decoder, hex(block), 'request');
        return [result, decoder.method, decoder.scheme, decoder.path, lines];
      });
      const host = ['host', 'www.example.com'];
      expect(seen).toEqual([
        ['ok', 'GET', 'http', '/', [host]],
        ['ok', 'GET', 'http', '/', [host, ['cache-control', 'no-cache']]],
        ['ok', 'GET', 'https', '/index.html', [host, ['custom-key', 'custom-value']]],
      ]);
    }
  });

  test('the responses of RFC 7541 C.6, with eviction from a table of 256 bytes', () => {
    const decoder = new HpackDecoder(256);
    const blocks = [
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      '4883640effc1c0bf',
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
    ];
    const seen = blocks.map((block) => {
      const { lines } = decode(decoder, hex(block), 'response');
      return [decoder.status, ...lines.map(([name]) => name)];
    });
    expect(seen).toEqual([
      [302, 'cache-control', 'date', 'location'],
      [307, 'cache-control', 'date', 'location'],
      [200, 'cache-control', 'date', 'location', 'content-encoding', 'set-cookie'],
    ]);
  });

  test.each([
    ['index 0', '80'],
    ['an index beyond the table', 'be'],
    ['an index that does not end', 'ffffffffffff'],
    ['a literal that is longer than the block', '000561'],
    ['a size update behind a field', '8220'],
    ['a size update above what was offered', '3fe21f'],
    ['the end-of-string symbol in Huffman text', '000161 84ffffffff'],
    ['Huffman padding that is not ones', '000161 8100'],
    ['Huffman padding of eight bits', '000161 821fff'],
  ])('a compression error: %s', (_name, block) => {
    expect(decode(new HpackDecoder(4096), hex(block)).result).toBe('compression-error');
  });

  test('cookie crumbs are joined in one line, within the limit (traps row 9)', () => {
    const crumb = (text: string): Buffer =>
      Buffer.concat([hex('0f11'), Buffer.from([text.length]), Buffer.from(text)]);
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, Buffer.concat([crumb('a=b'), crumb('c=d'), crumb('e=f')])).lines).toEqual([
      ['cookie', 'a=b; c=d; e=f'],
    ]);
    // Each crumb is an index of one byte: the limit counts what it stands for.
    const indexed = Buffer.concat([
      hex('60'),
      Buffer.from([100]),
      Buffer.alloc(100, 97),
      Buffer.alloc(5000, 0xbe),
    ]);
    expect(decode(decoder, indexed).result).toBe('too-large');
  });

  test('limits count what is decoded, and the table stays in step (traps row 9)', () => {
    const decoder = new HpackDecoder(4096);
    const bomb = Buffer.concat([
      hex('4001617f'),
      Buffer.from([0xa1, 0x1e]),
      Buffer.alloc(4000, 98),
      Buffer.alloc(100, 0xbe),
    ]);
    expect(decode(decoder, bomb).result).toBe('too-large');
    expect(decode(decoder, hex('be')).lines).toEqual([['a', 'b'.repeat(4000)]]);
    const many = Buffer.alloc(101, 0xbe);
    expect(decode(decoder, many, 'trailers', { ...limits, linesMax: 20 }).result).toBe('too-large');
  });

  test('a malformed field in the table is malformed wherever it is used', () => {
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, hex('4001410162')).result).toBe('malformed');
    expect(decode(decoder, hex('be')).result).toBe('malformed');
    expect(decode(decoder, hex('7e0163')).result).toBe('malformed');
    expect(decode(decoder, hex('4001780162')).result).toBe('ok');
  });
});

describe('HpackEncoder', () => {
  test('a line that comes again is one byte; what differs each time never takes its place', () => {
    const encoder = new HpackEncoder(4096);
    const decoder = new HpackDecoder(4096);
    const sizes: number[] = [];
    for (let round = 0; round < 200; round += 1) {
      const lines: [string, string][] = [
        ['x-stays', 'the same text in every message'],
        ['x-request-id', `00000000-0000-4000-8000-${String(round).padStart(12, '0')}`],
      ];
      const bytes = encode(encoder, blockOf(lines));
      sizes.push(bytes.length);
      expect(decode(decoder, bytes).lines).toEqual(lines);
    }
    expect(sizes.at(-1)).toBe(1 + 3 + 36);
  });

  test('credentials, and what the peer keeps out of tables, are never indexed (RFC 7541 section 7.1.3)', () => {
    const encoder = new HpackEncoder(4096);
    const decoder = new HpackDecoder(4096);
    const received = decode(decoder, hex('1001610162')).block;
    for (let round = 0; round < 3; round += 1) {
      expect(encode(encoder, received)[0]! & 0xf0).toBe(0x10);
      expect(encode(encoder, blockOf([['authorization', 'Bearer x']]))[0]! & 0xf0).toBe(0x10);
    }
  });

  test('the table shrinks and grows as the peer says', () => {
    const encoder = new HpackEncoder(4096);
    const decoder = new HpackDecoder(4096);
    const block = blockOf([['x-a', 'some value']]);
    for (const limit of [4096, 0, 100, 4096, 50]) {
      encoder.setPeerLimit(limit);
      for (let round = 0; round < 3; round += 1)
        expect(decode(decoder, encode(encoder, block)).lines).toEqual([['x-a', 'some value']]);
    }
  });

  test('any headers come out as they went in, over many messages', () => {
    const name = fc
      .stringMatching(/^[a-z][a-z0-9-]{0,20}$/)
      .filter((text) => nameIdOf(text) === 0 || ['accept', 'date', 'server', 'x-request-id'].includes(text));
    const value = fc.stringMatching(/^(?:[!-~\xa0-\xff](?:[ -~\xa0-\xff]{0,60}[!-~\xa0-\xff])?)?$/);
    const message = fc.array(fc.tuple(name, value), { maxLength: 12 });
    const messages = fc.array(fc.tuple(message, fc.integer({ min: 1, max: 3 })), { maxLength: 30 });
    fc.assert(
      fc.property(messages, fc.constantFrom(0, 64, 300, 4096), (all, tableBytes) => {
        const encoder = new HpackEncoder(tableBytes);
        const decoder = new HpackDecoder(4096);
        for (const [lines, times] of all) {
          for (let round = 0; round < times; round += 1) {
            // Through the parsed form, too: what was decoded is encoded again.
            const first = decode(decoder, encode(encoder, blockOf(lines)));
            expect(first.lines).toEqual(lines);
            const again = decode(decoder, encode(encoder, first.block));
            expect(again.lines).toEqual(lines);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('HpackDecoder: no bytes make it throw, or hold more than its limits', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder(4096);
      const small = { bytesMax: 500, linesMax: 20 };
      for (const bytes of blocks) {
        const { block } = decode(decoder, Buffer.from(bytes), 'request', small);
        expect(block.text.length).toBeLessThanOrEqual(500 + 20 * 8);
      }
    }),
    { numRuns: 10_000 },
  );
});

test('huffman: both ways over all bytes', () => {
  const room = Buffer.alloc(4096);
  const back = Buffer.alloc(4096);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      const end = huffmanEncode(text, room, 0);
      expect(end).toBe(huffmanLength(text));
      const decoded = huffmanDecode(room, 0, end, back, 0);
      expect(back.toString('latin1', 0, decoded)).toBe(text);
    }),
    { numRuns: 1000 },
  );
});
