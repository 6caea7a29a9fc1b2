// Which filter chain a connection gets.
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '@bufbuild/protobuf';
import { messageFromJson } from '../../api/any.ts';
import { FilterChainMatchSchema } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { socketAddress } from '../io/socket-address.ts';
import type { ChainQuery } from './filter-chain-match.ts';
import { compileChainMatcher } from './filter-chain-match.ts';

interface QueryPart {
  readonly to?: string;
  readonly port?: number;
  readonly from?: string;
  readonly fromPort?: number;
  readonly sni?: string;
  readonly transport?: string;
  readonly protocols?: readonly string[];
}

function matcher(
  chains: Readonly<Record<string, JsonObject>>,
  withDefault = false,
): (query: QueryPart) => string {
  const compiled = compileChainMatcher(
    Object.entries(chains).map(([name, match], index) => ({
      match: messageFromJson(FilterChainMatchSchema, match),
      chain: name,
      path: `filter_chains[${index}]`,
    })),
    withDefault ? 'default' : undefined,
  );
  return (part) => {
    const source = socketAddress(part.from ?? '10.9.9.9', part.fromPort ?? 40_000);
    const query: ChainQuery = {
      destination: socketAddress(part.to ?? '10.0.0.1', part.port ?? 80),
      source,
      directSource: source,
      serverName: part.sni,
      transportProtocol: part.transport ?? 'raw_buffer',
      applicationProtocols: part.protocols ?? [],
    };
    return compiled.match(query).chain ?? 'none';
  };
}

const prefix = (cidr: string): JsonObject => {
  const [address = '', length] = cidr.split('/');
  return { address_prefix: address, prefix_len: Number(length) };
};

describe('compileChainMatcher', () => {
  test('the destination port comes first, and is not given up for another criterion (D2.05)', () => {
    const match = matcher({
      port: { destination_port: 80, server_names: ['a.com'] },
      all: { server_names: ['b.com'] },
    });
    expect(match({ port: 80, sni: 'a.com' })).toBe('port');
    // Port 80 has chains, none for b.com: no backtracking to the chain without a port.
    expect(match({ port: 80, sni: 'b.com' })).toBe('none');
    expect(match({ port: 81, sni: 'b.com' })).toBe('all');
  });

  test('the longest destination prefix wins, IPv4 and IPv6 (D2.05)', () => {
    const match = matcher({
      wide: { prefix_ranges: [prefix('10.0.0.0/8')] },
      narrow: { prefix_ranges: [prefix('10.1.0.0/16'), prefix('2001:db8::/32')] },
      host: { prefix_ranges: [prefix('10.1.2.3/32')] },
      any: {},
    });
    expect(match({ to: '10.200.0.1' })).toBe('wide');
    expect(match({ to: '10.1.9.9' })).toBe('narrow');
    expect(match({ to: '10.1.2.3' })).toBe('host');
    expect(match({ to: '2001:db8::1' })).toBe('narrow');
    expect(match({ to: '192.168.0.1' })).toBe('any');
  });

  test('server names: exact, then the longest wildcard suffix, whatever the case (D2.05)', () => {
    const match = matcher({
      exact: { server_names: ['www.example.com'] },
      sub: { server_names: ['*.example.com'] },
      top: { server_names: ['*.com'] },
      none: {},
    });
    expect(match({ sni: 'WWW.Example.com' })).toBe('exact');
    expect(match({ sni: 'a.b.example.com' })).toBe('sub');
    expect(match({ sni: 'other.com' })).toBe('top');
    expect(match({ sni: 'example.org' })).toBe('none');
    expect(match({})).toBe('none');
  });

  test('transport protocol, then application protocols in the order of the client (D2.05)', () => {
    const match = matcher(
      {
        tls: { transport_protocol: 'tls' },
        h1: { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'http/1.0'] },
        h2: { transport_protocol: 'raw_buffer', application_protocols: ['h2c'] },
      },
      true,
    );
    expect(match({ transport: 'tls', protocols: ['http/1.1'] })).toBe('tls');
    expect(match({ protocols: ['h2c', 'http/1.1'] })).toBe('h2');
    expect(match({ protocols: ['http/1.0'] })).toBe('h1');
    expect(match({ protocols: [] })).toBe('default');
  });

  test('source type, source prefix and source port come last (D2.05)', () => {
    const match = matcher({
      local: { source_type: 'SAME_IP_OR_LOOPBACK' },
      near: { source_type: 'EXTERNAL', source_prefix_ranges: [prefix('10.9.0.0/16')] },
      port: { source_type: 'EXTERNAL', source_prefix_ranges: [prefix('10.9.0.0/16')], source_ports: [5000] },
    });
    expect(match({ from: '127.0.0.1' })).toBe('local');
    expect(match({ from: '10.0.0.1', to: '10.0.0.1' })).toBe('local');
    expect(match({ from: '10.9.1.1' })).toBe('near');
    expect(match({ from: '10.9.1.1', fromPort: 5000 })).toBe('port');
    expect(match({ from: '10.8.1.1' })).toBe('none');
  });

  test('the reason says what was chosen, or what was missing (D2.05)', () => {
    const compiled = compileChainMatcher(
      [
        {
          match: messageFromJson(FilterChainMatchSchema, {
            destination_port: 80,
            prefix_ranges: [prefix('10.0.0.0/8')],
          }),
          chain: 'a',
          path: 'filter_chains[0]',
        },
      ],
      undefined,
    );
    const query: ChainQuery = {
      destination: socketAddress('10.0.0.1', 80),
      source: socketAddress('10.0.0.2', 1),
      directSource: socketAddress('10.0.0.2', 1),
      serverName: undefined,
      transportProtocol: 'raw_buffer',
      applicationProtocols: [],
    };
    expect(compiled.match(query).reason).toBe('destination_port 80, destination_ip 10.0.0.0/8');
    expect(compiled.match({ ...query, destination: socketAddress('10.0.0.1', 81) }).reason).toBe(
      'no entry for destination_port 81; there is no default_filter_chain',
    );
  });

  test('the same criteria twice, partial wildcards and unknown criteria are refused by name (D2.05)', () => {
    expect(() => matcher({ a: { destination_port: 80 }, b: { destination_port: 80 } })).toThrow(
      /filter_chains\[1\]\.filter_chain_match: has the same matching rules as filter_chains\[0\]/,
    );
    expect(() => matcher({ a: { server_names: ['w*.example.com'] } })).toThrow(/partial wildcards/);
    expect(() => matcher({ a: { address_suffix: '1' } })).toThrow(/address_suffix/);
    expect(() => matcher({ a: { prefix_ranges: [prefix('10.0.0.0/33')] } })).toThrow(/33/);
  });

  test('odd addresses do not throw (traps row 19)', () => {
    const match = matcher({ v6: { prefix_ranges: [prefix('fe80::/10')] }, any: {} });
    expect(match({ to: 'fe80::1%eth0' })).toBe('v6');
    expect(match({ to: '::ffff:10.0.0.1' })).toBe('any');
    expect(match({ to: 'not an address' })).toBe('any');
  });
});
