import { describe, expect, test } from 'vitest';
import { HeaderBlock } from './header-block.ts';
import { HeadParser } from './message-parser.ts';
import { nameIds } from './names.ts';

function block(lines: string): HeaderBlock {
  const parser = new HeadParser(new HeaderBlock());
  const buffer = Buffer.from(`${lines}\r\n`, 'latin1');
  expect(parser.trailers(buffer, 0, buffer.length)).toBe('complete');
  return parser.block;
}

describe('HeaderBlock', () => {
  test('set: a known name is replaced in place, others move to the end (D4.04)', () => {
    const headers = block('Server: nginx\r\nX-A: 1\r\nX-B: 2\r\n');
    headers.setKnown(nameIds.server, 'envoy');
    headers.set('x-a', '3');
    expect(headers.serialize()).toBe('server: envoy\r\nx-b: 2\r\nx-a: 3\r\n');
  });

  test('remove: takes all lines of a name, parsed and added', () => {
    const headers = block('X-A: 1\r\nAccept: a\r\nx-a: 2\r\nAccept: b\r\n');
    headers.add('x-a', '3');
    headers.add('accept', 'c');
    expect([headers.get('x-a'), headers.get('accept')]).toEqual(['1,2,3', 'a,b,c']);
    headers.remove('x-a');
    headers.remove('accept');
    expect([headers.get('x-a'), headers.get('accept'), headers.serialize()]).toEqual([
      undefined,
      undefined,
      '',
    ]);
  });

  test('set after remove and add: one line remains', () => {
    const headers = block('Date: then\r\n');
    headers.removeKnown(nameIds.date);
    headers.add('date', 'a');
    headers.add('date', 'b');
    headers.setKnown(nameIds.date, 'now');
    expect(headers.serialize()).toBe('date: now\r\n');
    expect(headers.has(nameIds.date)).toBe(true);
  });

  test('copyFrom: the copy does not share changes', () => {
    const headers = block('X-A: 1\r\nHost: a\r\n');
    headers.add('x-b', '2');
    const copy = new HeaderBlock();
    copy.copyFrom(headers);
    copy.setKnown(nameIds.host, 'b');
    expect(headers.serialize()).toBe('x-a: 1\r\nhost: a\r\nx-b: 2\r\n');
    expect(copy.serialize()).toBe('x-a: 1\r\nhost: b\r\nx-b: 2\r\n');
  });
});
