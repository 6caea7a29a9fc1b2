// A private key and a certificate that it signed itself, made when they are asked for.
import { generateKeyPairSync, sign } from 'node:crypto';
import type { TheirObject } from './istio-objects.ts';

export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

let known: KeyPair | undefined;

/** PEM, ECDSA P-256, valid from 2020 to 2049. The same pair for the whole process. */
export function keyPair(): KeyPair {
  known ??= makeKeyPair();
  return known;
}

/** Private keys were taken out of the data: a pair of ours stands for each. */
export function withKeyPair(object: TheirObject): TheirObject {
  const { stringData } = object as { readonly stringData?: Readonly<Record<string, string>> };
  if (stringData?.['tls.key']?.startsWith('private key taken out') !== true) return object;
  const { certificate, key } = keyPair();
  return { ...object, stringData: { ...stringData, 'tls.crt': certificate, 'tls.key': key } } as TheirObject;
}

function makeKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = sequence(element(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
  const name = sequence(
    element(0x31, sequence(element(0x06, Buffer.from('550403', 'hex')), element(0x0c, Buffer.from('test')))),
  );
  const validity = sequence(
    element(0x17, Buffer.from('200101000000Z')),
    element(0x17, Buffer.from('491231235959Z')),
  );
  const body = sequence(
    element(0x02, Buffer.from([1])),
    ecdsaWithSha256,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = element(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]));
  const der = sequence(body, ecdsaWithSha256, signature).toString('base64');
  const lines = der.match(/.{1,64}/g) ?? [];
  return {
    certificate: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts));
}

/** DER: tag, length, content. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}
