// Who may speak: names in certificates, tokens and their keys, and what is fetched from where.
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, UnsecuredJWT, exportJWK } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { Authority } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { needs } from '../../../test/support/tools.ts';
import { authenticate, identityOfNode } from './authenticate.ts';
import type { Credentials } from './caller.ts';
import { CertificateAuthenticator, spiffeIdsOf } from './certificate-identity.ts';
import { checkedUrl, guardedGet, isRefusedAddress } from './guarded-get.ts';
import { readJwtRule } from './jwt-rule.ts';
import { IssuedTokens, JwtAuthenticator } from './token-authenticator.ts';

const nowMs = Date.parse('2026-05-01T00:00:00Z');
const issuer = 'https://kubernetes.default.svc.cluster.local';

function credentials(part: Partial<Credentials>): Credentials {
  return { peer: '10.0.0.1:1', certificate: undefined, authorization: [], ...part };
}

function bearing(token: string): Credentials {
  return credentials({ authorization: [`Bearer ${token}`] });
}

describe.skipIf(needs('openssl'))('client certificates', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-identity-'));
  let made: Authority | undefined;
  const authority = (): Authority => (made ??= createAuthority(directory, 'mesh'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const der = (...names: [string, ...string[]]): Buffer =>
    new X509Certificate(authority().issue(...names).chain).raw;
  const authenticator = (clock = systemClock) =>
    new CertificateAuthenticator({ clock, trustDomains: () => ['cluster.local', 'old.test'] });

  test('the SPIFFE names among its URIs are who it is (partly B1.07)', async () => {
    const certificate = der('web', 'spiffe://cluster.local/ns/shop/sa/web', 'https://elsewhere.test/x');
    expect(await authenticator().authenticate({ certificate })).toEqual({
      source: 'certificate',
      identities: [{ trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' }],
    });
    expect(await authenticator().authenticate({ certificate: undefined })).toBeUndefined();
  });

  test('an alias of the trust domain will do, a stranger will not', async () => {
    const alias = await authenticator().authenticate({
      certificate: der('a', 'spiffe://old.test/ns/n/sa/s'),
    });
    expect(alias?.identities[0]?.trustDomain).toBe('old.test');
    await expect(
      authenticator().authenticate({ certificate: der('b', 'spiffe://evil.test/ns/n/sa/s') }),
    ).rejects.toThrow('trust domain evil.test is not one of cluster.local, old.test');
  });

  test('a name that is not of the form, or a DNS name that reads like one, is nobody', async () => {
    for (const name of [
      'URI:spiffe://cluster.local/ns/n',
      'spiffe://cluster.local/ns/n/sa/s/more',
      'spiffe://cluster.local/ns//sa/s',
      'spiffe://cluster.local/ns/a%00b/sa/s',
    ])
      await expect(authenticator().authenticate({ certificate: der('c', name) }), name).rejects.toThrow(
        'no name of the form spiffe://',
      );
  });

  test('its time is asked again on every stream (traps.md 15)', async () => {
    const certificate = der('d', 'spiffe://cluster.local/ns/n/sa/s');
    const later = new FakeClock(Date.now() + 3 * 24 * 3_600_000);
    await expect(authenticator(later).authenticate({ certificate })).rejects.toThrow('which is not now');
    await expect(
      authenticator().authenticate({ certificate: Buffer.from('no certificate') }),
    ).rejects.toThrow('cannot be read');
  });
});

test('names that must be quoted, and names of other kinds, are none (CVE-2021-44532, traps.md 15)', () => {
  const of = (subjectAltName: string) => spiffeIdsOf({ subjectAltName } as X509Certificate);
  const own = 'URI:spiffe://cluster.local/ns/n/sa/s';
  expect(of(own)).toHaveLength(1);
  expect(of(`DNS:"a.test, ${own}"`)).toEqual([]);
  expect(of(`URI:"spiffe://cluster.local/ns/n/sa/s\\u0000.evil.test"`)).toEqual([]);
  expect(of(`othername: UPN:spiffe://cluster.local/ns/n/sa/s, DNS:spiffe://cluster.local/ns/n/sa/s`)).toEqual(
    [],
  );
  expect(of('')).toEqual([]);
});

describe('tokens of an issuer', () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  const jwks = async (key = pair.publicKey, kid = 'one'): Promise<string> =>
    JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid, use: 'sig', alg: 'ES256' }] });

  const token = (
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
    key = pair.privateKey,
  ) =>
    new SignJWT({
      iss: issuer,
      aud: ['istio-ca'],
      sub: 'system:serviceaccount:shop:web',
      exp: nowMs / 1000 + 600,
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'one', ...header })
      .sign(key);

  const inline = async (rule: Record<string, unknown> = {}): Promise<JwtAuthenticator> =>
    new JwtAuthenticator({
      rule: readJwtRule(JSON.stringify({ issuer, jwks: await jwks(), ...rule })),
      clock: new FakeClock(nowMs),
      trustDomain: () => 'cluster.local',
    });

  test('a service account token of the audience istio-ca (partly B1.02)', async () => {
    const authenticator = await inline();
    const caller = await authenticator.authenticate(bearing(await token()));
    expect(caller).toEqual({
      source: 'token',
      identities: [{ trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' }],
    });
    expect(await authenticator.authenticate(credentials({}))).toBeUndefined();
    expect(await authenticator.authenticate(credentials({ authorization: ['Basic abc'] }))).toBeUndefined();
  });

  test('everything that is wrong with a token is a refusal (traps.md 14)', async () => {
    const authenticator = await inline();
    const publicText = pair.publicKey.export({ type: 'spki', format: 'pem' });
    const refused: Record<string, string> = {
      audience: await token({ aud: 'vault' }),
      issuer: await token({ iss: 'https://evil.test' }),
      expired: await token({ exp: nowMs / 1000 - 1 }),
      'no expiry': await token({ exp: undefined }),
      'not yet': await token({ nbf: nowMs / 1000 + 60 }),
      'no subject': await token({ sub: undefined }),
      'a user': await token({ sub: 'alice' }),
      'a subject with more': await token({ sub: 'system:serviceaccount:a:b:c' }),
      'a subject that is a path': await token({ sub: 'system:serviceaccount:a:../b/sa/c' }),
      'another key': await token({}, {}, stranger.privateKey),
      'an unknown key': await token({}, { kid: 'two' }),
      'a changed claim': (await token()).replace('.ey', '.eY'),
      none: new UnsecuredJWT({ iss: issuer, aud: 'istio-ca', sub: 'system:serviceaccount:shop:web' })
        .setExpirationTime(nowMs / 1000 + 600)
        .encode(),
      'the public key as a secret': await new SignJWT({
        sub: 'system:serviceaccount:shop:web',
        aud: 'istio-ca',
        iss: issuer,
      })
        .setExpirationTime(nowMs / 1000 + 600)
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .sign(Buffer.from(publicText)),
      garbage: 'a.b.c',
      empty: '',
      huge: 'a'.repeat(20_000),
    };
    for (const [what, text] of Object.entries(refused)) {
      const answer = await authenticate([authenticator], bearing(text));
      expect(answer.ok, what).toBe(false);
      // What was sent is not told on.
      if (!answer.ok && text !== '') expect(answer.reason.includes(text), what).toBe(false);
    }
  });

  test('keys without names are tried, a rule may ask for other audiences', async () => {
    const [first, second] = [await exportJWK(stranger.publicKey), await exportJWK(pair.publicKey)];
    const authenticator = await inline({
      jwks: JSON.stringify({ keys: [first, second] }),
      audiences: ['other'],
    });
    const good = await token({ aud: 'other' }, { kid: undefined });
    expect((await authenticator.authenticate(bearing(good)))?.identities[0]?.namespace).toBe('shop');
    const other = await token({}, { kid: undefined });
    await expect(authenticator.authenticate(bearing(other))).rejects.toThrow(/"aud"/);
  });

  test('fetched keys: kept, fetched again for a new one, refused when the issuer is gone for an hour (traps.md 14)', async () => {
    const clock = new FakeClock(nowMs);
    let answer: () => Promise<string> = () => jwks();
    let fetches = 0;
    const authenticator = new JwtAuthenticator({
      rule: readJwtRule(JSON.stringify({ issuer, jwks_uri: 'https://keys.test/jwks' })),
      clock,
      trustDomain: () => 'cluster.local',
      get: () => (fetches++, answer()),
    });
    const ask = async (text: Promise<string>) => authenticate([authenticator], bearing(await text));
    const far = nowMs / 1000 + 100_000;
    expect((await ask(token({ exp: far }))).ok).toBe(true);
    expect((await ask(token({ exp: far }))).ok).toBe(true);
    expect(fetches).toBe(1);
    // Invented names of keys cause one fetch in 30 s, however many there are.
    clock.advance(31_000);
    for (let count = 0; count < 20; count++)
      expect((await ask(token({}, { kid: `k${count}` }))).ok).toBe(false);
    expect(fetches).toBe(2);
    // Rotation.
    clock.advance(31_000);
    answer = () => jwks(stranger.publicKey, 'two');
    expect((await ask(token({ exp: far }, { kid: 'two' }, stranger.privateKey))).ok).toBe(true);
    expect((await ask(token({ exp: far }))).ok).toBe(false);
    // Unreachable.
    answer = () => Promise.reject(new Error('connection refused'));
    clock.advance(50 * 60_000);
    expect((await ask(token({ exp: far }, { kid: 'two' }, stranger.privateKey))).ok).toBe(true);
    clock.advance(11 * 60_000);
    expect(await ask(token({ exp: far }, { kid: 'two' }, stranger.privateKey))).toEqual({
      ok: false,
      reason: 'token: no keys of the issuer: connection refused',
    });
  });

  test('discovery: the document must be the issuer’s own', async () => {
    const document = { issuer, jwks_uri: 'https://keys.test/jwks' };
    const asked: string[] = [];
    const at = (of: Record<string, unknown>) =>
      new JwtAuthenticator({
        rule: readJwtRule(JSON.stringify({ issuer })),
        clock: new FakeClock(nowMs),
        trustDomain: () => 'cluster.local',
        get: async (url) => (asked.push(url), url.endsWith('jwks') ? jwks() : JSON.stringify(of)),
      });
    expect((await authenticate([at(document)], bearing(await token()))).ok).toBe(true);
    expect(asked).toEqual([`${issuer}/.well-known/openid-configuration`, 'https://keys.test/jwks']);
    const other = await authenticate(
      [at({ ...document, issuer: 'https://evil.test' })],
      bearing(await token()),
    );
    expect(other).toMatchObject({ ok: false, reason: expect.stringContaining('another issuer') as string });
  });
});

test('JWT_RULE: what is wrong is named', () => {
  const rule = (value: unknown) => () => readJwtRule(JSON.stringify(value));
  expect(readJwtRule(JSON.stringify({ issuer, jwks_uri: 'https://a.test/' }))).toEqual({
    issuer,
    audiences: ['istio-ca'],
    keys: { kind: 'remote', uri: 'https://a.test/' },
  });
  expect(() => readJwtRule('{')).toThrow('JWT_RULE is not JSON');
  expect(rule([])).toThrow('one JSON object');
  expect(rule({})).toThrow('issuer: is missing');
  expect(rule({ issuer, fromHeaders: [] })).toThrow('fromHeaders: is not supported');
  expect(rule({ issuer, audiences: 'x' })).toThrow('audiences: must be a list');
  expect(rule({ issuer, jwks: '{"keys":[{"kty":"oct","k":"AAAA"}]}' })).toThrow(
    'jwks: the key set has no public key',
  );
  expect(rule({ issuer, jwks: 'x' })).toThrow('jwks: the key set is not JSON');
  expect(rule({ issuer, jwksUri: 'http://keys.test/' })).toThrow(
    'jwksUri: http://keys.test/: keys are fetched over https',
  );
  expect(rule({ issuer, jwksUri: 'https://169.254.169.254/' })).toThrow('nothing is fetched from there');
  expect(rule({ issuer: 'kubernetes/serviceaccount' })).toThrow('is not a URL');
});

test('addresses with credentials of machines are not asked (traps.md 14: SSRF)', () => {
  for (const address of [
    '169.254.169.254',
    '169.254.0.1',
    '100.100.100.200',
    '168.63.129.16',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    'fe80::1',
    'fe80::1%eth0',
    'fd00:ec2::254',
    '::',
    'ff02::1',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    'no address',
  ])
    expect(isRefusedAddress(address), address).toBe(true);
  for (const address of ['10.96.0.1', '192.168.1.1', '8.8.8.8', '127.0.0.1', '2001:db8::1', 'fd00::1'])
    expect(isRefusedAddress(address), address).toBe(false);
  // Written in other ways.
  for (const url of [
    'https://0xa9fea9fe/',
    'https://2852039166/',
    'https://[::ffff:169.254.169.254]/',
    'https://a:b@keys.test/',
    'ftp://keys.test/',
    'file:///etc/passwd',
  ])
    expect(() => checkedUrl(url), url).toThrow();
});

test('a fetch follows no redirect, and ends at its bounds', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/moved') response.writeHead(302, { location: '/good' }).end();
    else if (request.url === '/long') response.end('x'.repeat(2 * 1024 * 1024));
    else if (request.url === '/good') response.end('good');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.46.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const at = (path: string) => guardedGet(`http://127.46.0.1:${port}${path}`, systemClock);
  try {
    expect(await at('/good')).toBe('good');
    await expect(at('/moved')).rejects.toThrow('status 302');
    await expect(at('/long')).rejects.toThrow('longer than');
    const clock = new FakeClock(nowMs);
    const silent = guardedGet(`http://127.46.0.1:${port}/silent`, clock);
    clock.advance(5000);
    await expect(silent).rejects.toThrow('no answer in 5000 ms');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('tokens that were given out, until they are taken back', async () => {
  const tokens = new IssuedTokens();
  const identity = { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: 'web' };
  tokens.add('0123456789abcdef', identity);
  expect((await tokens.authenticate(bearing('0123456789abcdef')))?.identities).toEqual([identity]);
  await expect(tokens.authenticate(bearing('0123456789abcdeg'))).rejects.toThrow(
    'nobody was given this token',
  );
  tokens.revoke('0123456789abcdef');
  await expect(tokens.authenticate(bearing('0123456789abcdef'))).rejects.toThrow();
});

test('a node must be of the namespace and the account of its identity (B1.07)', () => {
  const identities = [
    { trustDomain: 'cluster.local', namespace: 'a', serviceAccount: 'x' },
    { trustDomain: 'cluster.local', namespace: 'b', serviceAccount: 'y' },
  ];
  const of = (namespace: string, serviceAccount: string) =>
    identityOfNode(identities, { namespace, serviceAccount })?.serviceAccount;
  expect([of('a', 'x'), of('b', 'y'), of('b', '')]).toEqual(['x', 'y', 'y']);
  expect([of('a', 'y'), of('c', ''), of('', '')]).toEqual([undefined, undefined, undefined]);
});
