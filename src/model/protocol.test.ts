import { describe, expect, test } from 'vitest';
import { isHttp, isTcp, parseProtocol, protocolOfPort } from './protocol.ts';
import type { Protocol } from './service.ts';

describe('protocolOfPort', () => {
  const rows: readonly (readonly [
    name: string,
    number: number,
    appProtocol: string | undefined,
    Protocol,
  ])[] = [
    ['http', 80, undefined, 'HTTP'],
    ['HTTP-web', 80, undefined, 'HTTP'],
    ['http2-web', 80, undefined, 'HTTP2'],
    ['grpc', 80, undefined, 'GRPC'],
    ['grpc-web', 80, undefined, 'GRPC-Web'],
    ['grpc-web-x', 80, undefined, 'GRPC-Web'],
    ['grpc-webby', 80, undefined, 'GRPC-Web'],
    ['https-x', 443, undefined, 'HTTPS'],
    ['tls', 443, undefined, 'TLS'],
    ['mysql', 1, undefined, 'MySQL'],
    ['http_proxy', 1, undefined, 'HTTP_PROXY'],
    ['web', 80, undefined, 'unsupported'],
    ['', 80, undefined, 'unsupported'],
    ['', 3306, undefined, 'TCP'],
    ['db', 27017, undefined, 'TCP'],
    ['http', 3306, undefined, 'HTTP'],
    ['http', 80, 'tcp', 'TCP'],
    ['x', 80, 'kubernetes.io/h2c', 'HTTP2'],
    ['x', 80, 'kubernetes.io/ws', 'HTTP'],
    ['x', 80, 'kubernetes.io/wss', 'HTTPS'],
    ['http', 80, 'example.com/odd', 'unsupported'],
  ];
  test.each(rows)(
    'protocolOfPort: name %j number %i appProtocol %j is %s (C2.02, C2.03, C2.04)',
    (...row) => {
      const [name, number, appProtocol, expected] = row;
      expect(protocolOfPort({ name, number, transport: 'TCP', appProtocol })).toBe(expected);
    },
  );

  test('protocolOfPort: UDP wins over every name (C2.02)', () => {
    expect(protocolOfPort({ name: 'http', number: 80, transport: 'UDP', appProtocol: 'http' })).toBe('UDP');
  });
});

test('parseProtocol: unknown names are sniffed, case does not matter', () => {
  expect(parseProtocol('Grpc')).toBe('GRPC');
  expect(parseProtocol('hasOwnProperty')).toBe('unsupported');
});

test('isHttp, isTcp: UDP and sniffed ports are neither', () => {
  for (const protocol of ['UDP', 'unsupported'] as const) {
    expect(isHttp(protocol)).toBe(false);
    expect(isTcp(protocol)).toBe(false);
  }
  expect(isTcp('Redis')).toBe(true);
});
