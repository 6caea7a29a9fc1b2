// Which files stand behind the name of a secret: the workload's own, or those that the name spells out.
import { existsSync } from 'node:fs';
import { isProblem, readKeyPair, readTrustedCa } from '../../config/credentials.ts';
import type { FileContents } from '../../base/watched-files.ts';

/** Where the workload's own certificate is mounted. */
export interface WorkloadFiles {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly rootCertificate: string;
}

/** Names as Istio has them in a folder of mounted certificates (FILE_MOUNTED_CERTS, OUTPUT_CERTS). */
export function workloadFilesIn(directory: string): WorkloadFiles {
  return {
    certificateChain: `${directory}/cert-chain.pem`,
    privateKey: `${directory}/key.pem`,
    rootCertificate: `${directory}/root-cert.pem`,
  };
}

export type SecretFiles =
  | { readonly kind: 'pair'; readonly certificateChain: string; readonly privateKey: string }
  | { readonly kind: 'root'; readonly path: string };

/**
 * `default`, `ROOTCA`, `file-cert:CERTIFICATE~KEY`, `file-root:PATH`; `file-root:system` are the authorities of the
 * operating system. Undefined for all other names. Source: Istio `SdsCertificateConfigFromResourceName`.
 */
export function secretFilesOf(name: string, workload: WorkloadFiles): SecretFiles | undefined {
  if (name === 'default') return { kind: 'pair', ...workload };
  if (name === 'ROOTCA') return { kind: 'root', path: workload.rootCertificate };
  const [, scheme, rest = ''] = /^file-(cert|root):(.+)$/s.exec(name) ?? [];
  const parts = rest.split('~');
  const [first = '', second = ''] = parts;
  if (scheme === 'cert' && parts.length === 2 && first !== '' && second !== '')
    return { kind: 'pair', certificateChain: first, privateKey: second };
  if (scheme === 'root' && parts.length === 1)
    return { kind: 'root', path: first === 'system' ? systemRoots() : first };
  return undefined;
}

export function pathsOf(files: SecretFiles): readonly string[] {
  return files.kind === 'pair' ? [files.certificateChain, files.privateKey] : [files.path];
}

export type SecretContent =
  | { readonly kind: 'pair'; readonly certificateChain: string; readonly privateKey: string }
  | { readonly kind: 'root'; readonly certificates: string };

/** What the files say; an Error whose text names the file where they cannot be used. */
export function readSecretFiles(files: SecretFiles, contents: FileContents): SecretContent | Error {
  for (const path of pathsOf(files)) {
    const content = contents.get(path);
    if (!(content instanceof Uint8Array)) return content ?? new Error(`${path} is not read`);
    if (content.length === 0) return new Error(`${path} is empty`);
  }
  const bytes = (path: string): Buffer => contents.get(path) as Buffer;
  if (files.kind === 'root') {
    const ca = readTrustedCa({ 'ca.crt': bytes(files.path) });
    return isProblem(ca)
      ? new Error(`${files.path}: ${ca.message}`)
      : { kind: 'root', certificates: ca.certificates };
  }
  const { certificateChain, privateKey } = files;
  const pair = readKeyPair({ 'tls.crt': bytes(certificateChain), 'tls.key': bytes(privateKey) });
  if (isProblem(pair))
    return new Error(`${pair.entry === 'tls.key' ? privateKey : certificateChain}: ${pair.message}`);
  return { kind: 'pair', certificateChain: pair.certificateChain, privateKey: pair.privateKey };
}

/** Where the systems that Istio knows of keep them. */
const systemRootPaths = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
] as const;

function systemRoots(): string {
  return systemRootPaths.find((path) => existsSync(path)) ?? systemRootPaths[0];
}
