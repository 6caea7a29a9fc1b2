// An HTTP GET for key sets of issuers: to https alone, without redirects, within bounds of time and size, and never
// to addresses where machines keep credentials of their own (server-side request forgery).
import { lookup as lookupDns } from 'node:dns';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, isIPv6 } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { Clock } from '../../base/clock.ts';

/** No set of keys, and no discovery document, is longer. */
const bodyBytesMax = 1024 * 1024;
const timeoutMs = 5000;

/**
 * Link-local addresses, among which every cloud has its metadata (169.254.169.254); those that have it elsewhere
 * (AWS over IPv6, Alibaba, Azure's host); and what is no host: unspecified, multicast, reserved.
 */
const refused = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['224.0.0.0', 3],
] as const)
  refused.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [
  ['::', 128],
  ['fd00:ec2::', 32],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  refused.addSubnet(network, prefix, 'ipv6');

/** Whether no request may go there. IPv4 within IPv6 (`::ffff:a.b.c.d`, NAT64) is that IPv4 address. */
export function isRefusedAddress(address: string): boolean {
  const plain = address.replace(/%.*$/, '');
  if (!isIPv6(plain)) return isIP(plain) === 0 || refused.check(plain, 'ipv4');
  if (refused.check(plain, 'ipv6')) return true;
  const embedded = embeddedIpv4(plain);
  return embedded !== undefined && refused.check(embedded, 'ipv4');
}

/** The body of a 200. Rejects with an Error that names the URL and what is wrong. */
export function guardedGet(url: string, clock: Clock): Promise<string> {
  return new Promise((resolve, reject) => {
    const target = checkedUrl(url);
    const send = target.protocol === 'https:' ? requestHttps : requestHttp;
    const options: RequestOptions = {
      method: 'GET',
      headers: { accept: 'application/json' },
      agent: false,
      lookup: guardedLookup,
      maxHeaderSize: 16 * 1024,
    };
    const outgoing = send(target, options);
    const timer = clock.after(timeoutMs, () => outgoing.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    const settle = (act: () => void): void => {
      timer.cancel();
      act();
    };
    outgoing.on('error', (error) => settle(() => reject(new Error(`GET ${url}: ${error.message}`))));
    outgoing.on('response', (response) => {
      readBody(response).then(
        (body) => settle(() => resolve(body)),
        (error: Error) => {
          outgoing.destroy();
          settle(() => reject(new Error(`GET ${url}: ${error.message}`)));
        },
      );
    });
    outgoing.end();
  });
}

/** Throws where a request may not even be tried. */
export function checkedUrl(url: string): URL {
  if (!URL.canParse(url)) throw new Error(`${JSON.stringify(url)} is not a URL`);
  const parsed = new URL(url);
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  const isLocal = host === 'localhost' || host.startsWith('127.') || host === '::1';
  if (parsed.protocol !== 'https:' && !(parsed.protocol === 'http:' && isLocal))
    throw new Error(`${url}: keys are fetched over https (http from this machine alone)`);
  if (parsed.username !== '' || parsed.password !== '') throw new Error(`${host}: no credentials in the URL`);
  if (isIP(host) !== 0 && isRefusedAddress(host)) throw new Error(`${url}: nothing is fetched from there`);
  return parsed;
}

/** Judges the addresses that the connection will use: a name cannot point elsewhere a moment later. */
const guardedLookup: LookupFunction = (hostname, options, callback) => {
  lookupDns(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) {
      callback(error, []);
      return;
    }
    const allowed = addresses.filter(({ address }) => !isRefusedAddress(address));
    const [first] = allowed;
    if (first === undefined) callback(new Error(`nothing is fetched from the addresses of ${hostname}`), []);
    else if (options.all === true) callback(null, allowed);
    else callback(null, first.address, first.family);
  });
};

async function readBody(response: IncomingMessage): Promise<string> {
  const { statusCode } = response;
  if (statusCode !== 200)
    throw new Error(`status ${statusCode ?? 'none'}, where 200 is accepted (redirects are not followed)`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyBytesMax) throw new Error(`longer than ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function embeddedIpv4(address: string): string | undefined {
  // `new URL` writes IPv6 addresses in one form.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^(?:::ffff:|::|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const words = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return words.flatMap((word) => [word >> 8, word & 0xff]).join('.');
}
