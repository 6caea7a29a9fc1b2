// Flags and environment of `fairlead pilot` that say who may speak, and over what.
import type { Command } from 'commander';
import { Option } from 'commander';
import { UserError } from '../base/user-error.ts';
import { readCipherSuites } from '../pilot/identity/cipher-suites.ts';
import { readJwtRule } from '../pilot/identity/jwt-rule.ts';
import type { PilotOptions } from '../pilot/pilot.ts';

export interface SecurityFlags {
  readonly secureGrpcAddress: string;
  readonly tlsCertFile?: string;
  readonly tlsKeyFile?: string;
  readonly caCertFile?: string;
  readonly tlsCipherSuites?: readonly string[];
}

/** istiod's flags, by its names and ours. */
export function addSecurityOptions(
  command: Command,
  checkAddress: (flag: string) => (value: string) => string,
): Command {
  return command
    .addOption(
      new Option('--secureGRPCAddr, --secure-grpc-address <address>', 'xDS through TLS, once it has files')
        .argParser(checkAddress('--secure-grpc-address'))
        .default(':15012'),
    )
    .option('--tlsCertFile <file>', 'certificate of the TLS port (PEM); read again when it changes')
    .option('--tlsKeyFile <file>', 'its private key (PEM)')
    .option('--caCertFile <file>', 'authorities of client certificates (PEM)')
    .option(
      '--tls-cipher-suites <list>',
      'suites of TLS 1.2, divided by commas (default: ECDHE with AEAD)',
      readCipherSuites,
    );
}

export const securityEnvironmentHelp =
  '  JWT_RULE                          whose tokens are believed on the TLS port, as JSON: {"issuer": "...", "jwksUri": "..."}';

/** Throws UserError where something is missing or wrong. */
export function readSecurity(
  flags: SecurityFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Pick<PilotOptions, 'secure' | 'jwtRule'> {
  const { tlsCertFile, tlsKeyFile, caCertFile } = flags;
  const files = Object.entries({ tlsCertFile, tlsKeyFile, caCertFile });
  const missing = files.filter(([, file]) => file === undefined).map(([name]) => `--${name}`);
  if (missing.length > 0 && missing.length < files.length)
    throw new UserError(`the TLS port needs ${missing.join(' and ')}, too`);
  const rule = environment['JWT_RULE'] ?? '';
  return {
    ...(tlsCertFile === undefined || tlsKeyFile === undefined || caCertFile === undefined
      ? {}
      : {
          secure: {
            address: flags.secureGrpcAddress.replace(/^:/, '0.0.0.0:'),
            files: { certificate: tlsCertFile, key: tlsKeyFile, ca: caCertFile },
            cipherSuites: flags.tlsCipherSuites,
          },
        }),
    ...(rule === '' ? {} : { jwtRule: readJwtRule(rule) }),
  };
}

/** What is said of it at the start: once. */
export function describeSecurePort(flags: SecurityFlags, port: number): string {
  return port === 0
    ? 'no TLS port (it needs --tlsCertFile, --tlsKeyFile and --caCertFile)'
    : `xDS (gRPC, TLS) on ${flags.secureGrpcAddress.replace(/:\d+$/, '')}:${port}`;
}
