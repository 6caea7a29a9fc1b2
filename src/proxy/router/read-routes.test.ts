import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { messageFromJson } from '../../api/any.ts';
import { ConfigError } from '../config-error.ts';
import { compileRoutes } from './compile.ts';
import { RouteReader } from './read-routes.ts';

function configuration(hosts: readonly [string, string][], rest: object = {}): RouteConfiguration {
  return messageFromJson(RouteConfigurationSchema, {
    name: 'http.8080',
    ...rest,
    virtualHosts: hosts.map(([name, cluster]) => ({
      name,
      domains: [name],
      routes: [{ match: { prefix: '/' }, route: { cluster } }],
    })),
  });
}

const bytesOf = (message: RouteConfiguration): Uint8Array => toBinary(RouteConfigurationSchema, message);
const before: [string, string][] = [
  ['a.test', 'one'],
  ['b.test', 'two'],
  ['c.test', 'three'],
];

describe('RouteReader', () => {
  test('read: only the host that changed is compiled again', () => {
    const reader = new RouteReader();
    const first = reader.read(bytesOf(configuration(before)));
    const second = reader.read(bytesOf(configuration([before[0]!, ['b.test', 'other'], before[2]!])));
    expect(second.virtualHosts[0]).toBe(first.virtualHosts[0]);
    expect(second.virtualHosts[1]).not.toBe(first.virtualHosts[1]);
    expect(second.virtualHosts[2]).toBe(first.virtualHosts[2]);
    expect(second.exact.get('b.test')?.routes[0]?.action).toMatchObject({ target: { cluster: 'other' } });
  });

  test('read: the result is as if everything had been compiled anew', () => {
    const reader = new RouteReader();
    reader.read(bytesOf(configuration(before)));
    for (const hosts of [[before[2]!, before[0]!], [before[1]!], [...before, ['*', 'any']]] as [
      string,
      string,
    ][][]) {
      const whole = configuration(hosts);
      const read = reader.read(bytesOf(whole));
      const anew = compileRoutes(whole);
      expect(read.source).toEqual(anew.source);
      expect([...read.exact.keys()]).toEqual([...anew.exact.keys()]);
      expect(read.virtualHosts.map(({ index, name }) => [index, name])).toEqual(
        anew.virtualHosts.map(({ index, name }) => [index, name]),
      );
      expect(read.any?.name).toBe(anew.any?.name);
    }
  });

  test('read: a change around the hosts compiles all of them', () => {
    const reader = new RouteReader();
    const first = reader.read(bytesOf(configuration(before)));
    const second = reader.read(bytesOf(configuration(before, { responseHeadersToRemove: ['x-version'] })));
    expect(second.virtualHosts[0]).not.toBe(first.virtualHosts[0]);
    expect(second.virtualHosts[0]?.routes[0]?.responseHeaders).toBeDefined();
  });

  test('read: a version that is refused leaves the last good one to compare with', () => {
    const reader = new RouteReader();
    const first = reader.read(bytesOf(configuration(before)));
    const twice = configuration([...before, ['A.test', 'again']]);
    expect(() => reader.read(bytesOf(twice))).toThrow(ConfigError);
    expect(reader.read(bytesOf(configuration(before))).virtualHosts[0]).toBe(first.virtualHosts[0]);
  });

  test('read: bytes that are no message throw, and nothing else', () => {
    const reader = new RouteReader();
    expect(() => reader.read(Uint8Array.of(0x12, 0xff, 0x01, 0x00))).toThrow();
    expect(reader.read(bytesOf(create(RouteConfigurationSchema, { name: 'x' }))).virtualHosts).toEqual([]);
  });
});
