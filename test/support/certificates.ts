// Certificates for tests, made by openssl at test time: none stands in the repository.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate and its key, as PEM. */
export interface Certificate {
  readonly chain: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** A certificate of this authority for these DNS names and URIs, the first (a name) being its subject. */
  issue(...names: readonly [string, ...string[]]): Certificate;
}

/** A new authority, whose files lie in `directory`. Valid for a day. */
export function createAuthority(directory: string, name: string): Authority {
  const at = (file: string): string => join(directory, `${name}-${file}`);
  const read = (file: string): Certificate => ({
    chain: readFileSync(at(`${file}.pem`), 'utf8'),
    key: readFileSync(at(`${file}.key`), 'utf8'),
  });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  openssl('req', '-x509', ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', `/CN=${name}`);
  return {
    ...read('ca'),
    issue(first, ...more) {
      const file = first.replaceAll('*', 'any');
      writeFileSync(
        at(`${file}.ext`),
        `subjectAltName=${[first, ...more].map((each) => `${each.includes('://') ? 'URI' : 'DNS'}:${each}`).join()}\n`,
      );
      const request = ['-keyout', at(`${file}.key`), '-out', at(`${file}.csr`), '-subj', `/CN=${first}`];
      openssl('req', ...newKey.slice(0, -2), ...request);
      const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '1'];
      const out = ['-extfile', at(`${file}.ext`), '-out', at(`${file}.pem`)];
      openssl('x509', '-req', '-in', at(`${file}.csr`), ...signing, ...out);
      return read(file);
    },
  };
}

function openssl(...args: readonly string[]): void {
  const run = spawnSync('openssl', args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`openssl ${args.join(' ')}: ${run.stderr}`);
}
