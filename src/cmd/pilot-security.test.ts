// Flags of the TLS port.
import { Command } from 'commander';
import { expect, test } from 'vitest';
import type { SecurityFlags } from './pilot-security.ts';
import { addSecurityOptions, describeSecurePort, readSecurity } from './pilot-security.ts';

function parse(...args: string[]): SecurityFlags {
  const command = addSecurityOptions(new Command('pilot'), () => (value) => value).exitOverride();
  command.parse(args, { from: 'user' });
  return command.opts<SecurityFlags>();
}

const files = ['--tlsCertFile', 'a', '--tlsKeyFile', 'b', '--caCertFile', 'c'];

test('the TLS port has three files, or it is not opened, which is said (partly B1.02)', () => {
  expect(readSecurity(parse(...files), {})).toEqual({
    secure: {
      address: '0.0.0.0:15012',
      files: { certificate: 'a', key: 'b', ca: 'c' },
      cipherSuites: undefined,
    },
  });
  expect(readSecurity(parse('--secureGRPCAddr', '127.0.0.1:1', ...files), {}).secure?.address).toBe(
    '127.0.0.1:1',
  );
  expect(readSecurity(parse('--secure-grpc-address', ':2', ...files), {}).secure?.address).toBe('0.0.0.0:2');
  expect(readSecurity(parse(), {})).toEqual({});
  expect(describeSecurePort(parse(), 0)).toBe(
    'no TLS port (it needs --tlsCertFile, --tlsKeyFile and --caCertFile)',
  );
  expect(() => readSecurity(parse('--tlsKeyFile', 'b'), {})).toThrow(
    'needs --tlsCertFile and --caCertFile, too',
  );
});

test('suites and JWT_RULE are read, and what is wrong is named', () => {
  const suites = parse(
    '--tls-cipher-suites',
    'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ECDHE-RSA-AES256-GCM-SHA384',
  );
  expect(suites.tlsCipherSuites).toEqual(['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-GCM-SHA384']);
  expect(() => parse('--tls-cipher-suites', 'TLS_RSA_WITH_RC4_128_SHA')).toThrow('is not known');
  const rule = readSecurity(parse(), { JWT_RULE: '{"issuer":"https://a.test"}' }).jwtRule;
  expect(rule).toMatchObject({ issuer: 'https://a.test', audiences: ['istio-ca'] });
  expect(() => readSecurity(parse(), { JWT_RULE: '{}' })).toThrow('JWT_RULE: issuer: is missing');
});
