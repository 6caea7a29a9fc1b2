// The walker against what an encoder of ours and the library's write.
import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from './gen/envoy/service/discovery/v3/discovery_pb.js';
import { fromBinary } from '@bufbuild/protobuf';
import { NamePool } from '../load/names.ts';
import { Fields, MalformedMessage, MessageWriter, textAt, varintBytes } from './wire-format.ts';
import { deltaRequest, sotwRequest } from '../load/request.ts';

test('Fields: each field once, in order, with its number, content and value', () => {
  const bytes = toBinary(
    DiscoveryResponseSchema,
    create(DiscoveryResponseSchema, {
      versionInfo: 'v1',
      resources: [
        create(AnySchema, { typeUrl: 'a', value: new Uint8Array(300) }),
        create(AnySchema, { typeUrl: 'b' }),
      ],
      canary: true,
      typeUrl: 'grüße',
      nonce: 'n',
    }),
  );
  const seen: [number, number | string][] = [];
  const fields = new Fields(bytes);
  while (fields.next()) {
    const { number, start, end, value } = fields;
    seen.push([number, number === 3 ? value : number === 2 ? end - start : textAt(bytes, start, end)]);
  }
  expect(seen).toEqual([
    [1, 'v1'],
    [2, 306],
    [2, 3],
    [3, 1],
    [4, 'grüße'],
    [5, 'n'],
  ]);
});

test('Fields: fixed numbers are skipped; groups, field 0 and anything cut off are malformed', () => {
  const fixed = new Fields(Uint8Array.of(0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 7));
  expect([fixed.next(), fixed.number, fixed.next(), fixed.number, fixed.next(), fixed.value]).toEqual([
    true,
    1,
    true,
    2,
    true,
    7,
  ]);
  expect(fixed.next()).toBe(false);
  const broken = [
    [0x0b], // start of a group
    [0x02, 0x00], // field 0
    [0x0a, 0x05, 0x61], // shorter than it says
    [0x09, 1, 2, 3], // a fixed number that is cut off
    [0x80], // a varint without end
    [0x08, ...Array.from({ length: 11 }, () => 0xff)], // one of more than ten bytes
    [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], // a length of 2^64 - 1
  ];
  for (const bytes of broken) {
    const fields = new Fields(Uint8Array.from(bytes));
    expect(() => fields.next()).toThrow(MalformedMessage);
  }
});

test('Fields: arbitrary bytes end or are malformed, and no field reaches beyond them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const fields = new Fields(bytes);
      try {
        while (fields.next()) {
          expect(fields.end).toBeLessThanOrEqual(bytes.length);
          expect(fields.start).toBeLessThanOrEqual(fields.end);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedMessage);
      }
    }),
  );
});

test('MessageWriter: what it writes the walker reads, whatever the lengths', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), fc.uint8Array({ maxLength: 300 }), (value, content) => {
      const message = new MessageWriter().varint(1, value).bytes(2, content).text(3, '').finish();
      expect(message.length).toBe(1 + varintBytes(value) + 1 + varintBytes(content.length) + content.length);
      const fields = new Fields(message);
      expect(fields.next() && fields.value).toBe(value);
      expect(fields.next() && message.subarray(fields.start, fields.end)).toEqual(Buffer.from(content));
      expect(fields.next()).toBe(false);
    }),
  );
});

test('requests: as the messages of the API decode them, in both dialects', () => {
  const names = new NamePool().list(['b', 'a', 'b']);
  const sotw = fromBinary(
    DiscoveryRequestSchema,
    sotwRequest({
      typeUrl: 't',
      version: 'v',
      nonce: 'n',
      names,
      error: 'no',
      node: Buffer.from([0x0a, 1, 0x78]),
    }),
  );
  expect(sotw).toMatchObject({
    typeUrl: 't',
    versionInfo: 'v',
    responseNonce: 'n',
    resourceNames: ['a', 'b'],
    errorDetail: { code: 13, message: 'no' },
    node: { id: 'x' },
  });
  const delta = fromBinary(
    DeltaDiscoveryRequestSchema,
    deltaRequest({
      typeUrl: 't',
      nonce: 'n',
      subscribe: ['a'],
      unsubscribe: ['b', 'c'],
      initialVersions: new Map([['a', '1']]),
    }),
  );
  expect(delta).toMatchObject({
    typeUrl: 't',
    responseNonce: 'n',
    resourceNamesSubscribe: ['a'],
    resourceNamesUnsubscribe: ['b', 'c'],
    initialResourceVersions: { a: '1' },
  });
  expect(delta.errorDetail).toBeUndefined();
});

test('NamePool: equal names make one list, whatever their order', () => {
  const pool = new NamePool();
  expect(pool.list(['x', 'y'])).toBe(pool.list(['y', 'x', 'x']));
  expect(pool.list([])).toBe(pool.list([]));
  expect(pool.list(['x'])).not.toBe(pool.list(['y']));
});
