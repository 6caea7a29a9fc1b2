// Port 15012 at work: who is let in, with which node, and what of secrets they get.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { fromBinary } from '@bufbuild/protobuf';
import { SignJWT, exportJWK } from 'jose';
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { ClientCredentials } from '../../../test/support/ads-client.ts';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import type { Authority, Certificate } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { call } from '../../../test/support/http.ts';
import { needs } from '../../../test/support/tools.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { putSource } from '../../../test/support/world.ts';
import { SecretSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { DiscoveryResponse } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import type { PilotOptions } from '../pilot.ts';
import { startPilot } from '../pilot.ts';
import { readCipherSuites } from './cipher-suites.ts';
import { readJwtRule } from './jwt-rule.ts';
import { IssuedTokens } from './token-authenticator.ts';

const serverName = 'istiod.istio-system.svc';
const absent = needs('openssl');
const directory = mkdtempSync(join(tmpdir(), 'fairlead-secure-port-'));
const files = {
  certificate: join(directory, 'tls.crt'),
  key: join(directory, 'tls.key'),
  ca: join(directory, 'ca.crt'),
};
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function secretYaml({ chain, key }: Certificate, name = 'web'): string {
  return `
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: edge }
type: kubernetes.io/tls
stringData: ${JSON.stringify({ 'tls.crt': chain, 'tls.key': key })}
`;
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

describe.skipIf(absent)('the port through TLS', () => {
  const mesh: Authority = absent ? (undefined as never) : createAuthority(directory, 'mesh');
  const strangers: Authority = absent ? (undefined as never) : createAuthority(directory, 'strangers');
  const writeServer = ({ chain, key }: Certificate): void => {
    replace(files.certificate, chain);
    replace(files.key, key);
    replace(files.ca, mesh.chain);
  };
  const workload = (namespace: string, account: string, authority = mesh): Certificate =>
    authority.issue(`${account}.${namespace}`, `spiffe://cluster.local/ns/${namespace}/sa/${account}`);

  async function setUp(yaml = '', part: Partial<PilotOptions> = {}) {
    writeServer(mesh.issue(serverName));
    const logs: string[] = [];
    const store = new ConfigStore();
    const apply = (text: string): void => putSource(store, 'test', text);
    apply(yaml);
    const pilot = await startPilot({
      store,
      loggers: new LoggerRegistry({ level: 'debug', write: (line) => void logs.push(line) }),
      grpcAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      secure: { address: '127.0.0.1:0', files },
      ...part,
    });
    opened.push(pilot);
    return { pilot, logs, apply };
  }

  function secure(certificate?: Certificate, token?: string): ClientCredentials {
    const channel = credentials.createSsl(
      Buffer.from(mesh.chain),
      certificate === undefined ? null : Buffer.from(certificate.key),
      certificate === undefined ? null : Buffer.from(certificate.chain),
    );
    return { channel, serverName, ...(token === undefined ? {} : { token }) };
  }

  function open(port: number, shown: ClientCredentials, method?: string): BareAdsClient {
    const client = new BareAdsClient(port, method, shown);
    opened.push(client);
    return client;
  }

  const node = (namespace: string, account: string, type = 'router') => ({
    id: `${type}~10.1.0.9~pod-0.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { NAMESPACE: namespace, SERVICE_ACCOUNT: account, LABELS: { istio: 'ingressgateway' } },
  });
  const ask = (client: BareAdsClient, who: ReturnType<typeof node>, typeUrl: string = typeUrls.cluster) =>
    client.send({ node: who, typeUrl });
  const subscribe = (client: BareAdsClient, who: ReturnType<typeof node>, ...resourceNames: string[]) =>
    client.send({ node: who, typeUrl: typeUrls.secret, resourceNames });
  const namesIn = (response: DiscoveryResponse) =>
    response.resources.map(({ value }) => fromBinary(SecretSchema, value).name);

  test('a client certificate of the node’s namespace and account is let in, others are not (B1.02, B1.07)', async () => {
    const { pilot, logs } = await setUp();
    const web = workload('shop', 'web');
    const good = open(pilot.securePort, secure(web));
    ask(good, node('shop', 'web'));
    expect((await good.next()).typeUrl).toBe(typeUrls.cluster);
    for (const who of [node('shop', 'other'), node('bank', 'web')]) {
      const client = open(pilot.securePort, secure(web));
      ask(client, who);
      const error = await client.failure();
      expect([error.code, error.details]).toEqual([7, expect.stringContaining('authorization failed')]);
    }
    expect(pilot.connections.size).toBe(1);
    const nobody = open(pilot.securePort, secure());
    ask(nobody, node('shop', 'web'));
    expect(await nobody.failure()).toMatchObject({ code: 16, details: 'authentication failure' });
    const foreign = open(pilot.securePort, secure(workload('shop', 'web', strangers)));
    ask(foreign, node('shop', 'web'));
    expect((await foreign.failure()).code).toBe(14);
    expect(logs.join('\n')).toContain('client certificate refused');
  });

  test('a token instead of a certificate; a wrong one, or one of another account, is refused (B1.02, B1.07)', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = 'https://kubernetes.default.svc.cluster.local';
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: '1', alg: 'ES256' }] });
    const { pilot, logs } = await setUp('', { jwtRule: readJwtRule(JSON.stringify({ issuer, jwks })) });
    const token = (aud: string) =>
      new SignJWT({ sub: 'system:serviceaccount:shop:web' })
        .setProtectedHeader({ alg: 'ES256', kid: '1' })
        .setIssuer(issuer)
        .setAudience(aud)
        .setExpirationTime('1h')
        .sign(pair.privateKey);
    const good = open(pilot.securePort, secure(undefined, await token('istio-ca')));
    ask(good, node('shop', 'web'));
    expect((await good.next()).typeUrl).toBe(typeUrls.cluster);
    const other = open(pilot.securePort, secure(undefined, await token('istio-ca')));
    ask(other, node('shop', 'admin'));
    expect((await other.failure()).code).toBe(7);
    const wrong = await token('vault');
    const refused = open(pilot.securePort, secure(undefined, wrong));
    ask(refused, node('shop', 'web'));
    expect((await refused.failure()).code).toBe(16);
    expect(logs.join('\n')).toContain('unexpected "aud" claim value');
    expect(logs.join('\n')).not.toContain(wrong);
  });

  test('in plaintext nobody is asked (B1.07)', async () => {
    const { pilot } = await setUp();
    const client = open(pilot.grpcPort, { token: 'whatever' });
    ask(client, node('shop', 'web'));
    expect((await client.next()).typeUrl).toBe(typeUrls.cluster);
  });

  test('every service of the port asks, not discovery alone (traps.md 16)', async () => {
    const { pilot } = await setUp();
    for (const method of [
      'DeltaAggregatedResources',
      '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
      '/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats',
    ]) {
      const client = open(pilot.securePort, secure(), method);
      ask(client, node('shop', 'web'));
      expect((await client.failure()).code, method).toBe(16);
    }
  });

  test('TLS 1.2 is the least, suites can be chosen, sessions are not resumed (traps.md 15)', async () => {
    const { pilot } = await setUp('', {
      secure: {
        address: '127.0.0.1:0',
        files,
        cipherSuites: readCipherSuites('TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'),
      },
    });
    const dial = (options: ConnectionOptions): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const socket = connect(
          {
            port: pilot.securePort,
            host: '127.0.0.1',
            ca: mesh.chain,
            servername: serverName,
            ALPNProtocols: ['h2'],
            ...options,
          },
          () => resolve(socket),
        );
        socket.once('error', reject);
        opened.push({ close: () => socket.destroy() });
      });
    const new12 = await dial({ maxVersion: 'TLSv1.2' });
    expect([new12.getProtocol(), new12.getCipher().name]).toEqual([
      'TLSv1.2',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
    ]);
    expect((await dial({})).getProtocol()).toBe('TLSv1.3');
    await expect(
      dial({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).rejects.toThrow();
    await expect(dial({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).rejects.toThrow();
    const session = new12.getSession();
    const again = await dial({ maxVersion: 'TLSv1.2', ...(session === undefined ? {} : { session }) });
    expect(again.isSessionReused()).toBe(false);
    expect(() => readCipherSuites('TLS_NULL')).toThrow('"TLS_NULL" is not known');
    // What is no TLS ends alone.
    const raw = connectTcp(pilot.securePort, '127.0.0.1', () => raw.write('GET / HTTP/1.1\r\n\r\n'));
    await new Promise((resolve) => raw.once('close', resolve).on('error', () => {}));
    expect((await dial({})).authorized).toBe(true);
  });

  test('certificates are replaced without a stream being lost; a pair that does not fit is not taken', async () => {
    const { pilot, logs } = await setUp();
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(
          { port: pilot.securePort, host: '127.0.0.1', ca: mesh.chain, servername: serverName },
          () => {
            resolve(socket.getPeerCertificate().serialNumber);
            socket.destroy();
          },
        );
        socket.once('error', reject);
      });
    const client = open(pilot.securePort, secure(workload('shop', 'web')));
    ask(client, node('shop', 'web'));
    const first = await client.next();
    const before = await serial();
    const next = mesh.issue(serverName, 'istiod.new.svc');
    replace(files.certificate, next.chain);
    await waitFor(
      'the complaint',
      () => logs.some((line) => line.includes('the key is not the certificate’s')) || undefined,
    );
    expect(await serial()).toBe(before);
    replace(files.key, next.key);
    await waitFor('the new certificate', async () => ((await serial()) !== before ? true : undefined));
    // The stream from before goes on.
    client.ack(first);
    client.send({ typeUrl: typeUrls.listener });
    expect((await client.next()).typeUrl).toBe(typeUrls.listener);
  }, 15_000);

  test('who is nobody cannot disturb others: garbage, silence, empty certificates (CVE-2022-23635, traps.md 17)', async () => {
    const { pilot } = await setUp();
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from(preface + 'x'.repeat(10_000)),
      Buffer.concat([
        Buffer.from(preface),
        Buffer.from('ffffff0104000000ff', 'hex'),
        Buffer.alloc(70_000, 0xff),
      ]),
    ])
      await new Promise<void>((resolve) => {
        const socket = connect({
          port: pilot.securePort,
          host: '127.0.0.1',
          ca: mesh.chain,
          servername: serverName,
          ALPNProtocols: ['h2'],
        });
        socket.once('secureConnect', () => socket.end(bytes));
        socket.once('error', () => {});
        socket.once('close', () => resolve());
        socket.resume();
      });
    // Another protocol, none at all, and a message that is too long.
    const http11 = connect({
      port: pilot.securePort,
      host: '127.0.0.1',
      ca: mesh.chain,
      servername: serverName,
    });
    await new Promise((resolve) =>
      http11
        .once('close', resolve)
        .on('error', () => {})
        .resume(),
    );
    const big = open(pilot.securePort, secure(workload('shop', 'web')));
    big.sendBytes(Buffer.alloc(5 * 1024 * 1024));
    expect((await big.failure()).code).toBe(8);
    const good = open(pilot.securePort, secure(workload('shop', 'web')));
    ask(good, node('shop', 'web'));
    expect((await good.next()).typeUrl).toBe(typeUrls.cluster);
  });

  test('a certificate for servers, and one that is out of date, are no client’s (traps.md 15)', async () => {
    const { pilot, logs } = await setUp();
    const made = (name: string, days: string, ...extensions: string[]): Certificate => {
      const at = (file: string): string => join(directory, `${name}.${file}`);
      writeFileSync(
        at('ext'),
        ['subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/web', ...extensions].join('\n'),
      );
      for (const args of [
        [
          'req',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-subj',
          '/CN=web',
          '-keyout',
          at('key'),
          '-out',
          at('csr'),
        ],
        [
          'x509',
          '-req',
          '-in',
          at('csr'),
          '-CA',
          join(directory, 'mesh-ca.pem'),
          '-CAkey',
          join(directory, 'mesh-ca.key'),
          '-CAcreateserial',
          '-days',
          days,
          '-extfile',
          at('ext'),
          '-out',
          at('pem'),
        ],
      ])
        expect(spawnSync('openssl', args, { encoding: 'utf8' })).toMatchObject({ status: 0 });
      return { chain: readFileSync(at('pem'), 'utf8'), key: readFileSync(at('key'), 'utf8') };
    };
    for (const [certificate, reason] of [
      [made('server-only', '1', 'extendedKeyUsage=serverAuth'), 'INVALID_PURPOSE'],
      [made('expired', '-1'), 'CERT_HAS_EXPIRED'],
    ] as const) {
      const client = open(pilot.securePort, secure(certificate));
      ask(client, node('shop', 'web'));
      expect((await client.failure()).code).toBe(14);
      expect(logs.join('\n')).toContain(`client certificate refused: ${reason}`);
    }
    const good = open(pilot.securePort, secure(made('client', '1', 'extendedKeyUsage=clientAuth')));
    ask(good, node('shop', 'web'));
    expect((await good.next()).typeUrl).toBe(typeUrls.cluster);
  });

  test('secrets: for who has shown to be of their namespace, and for nobody in plaintext (B5.11, traps.md 16)', async () => {
    const { pilot, logs } = await setUp(secretYaml(mesh.issue('a.test')));
    const own = open(pilot.securePort, secure(workload('edge', 'gateway')));
    subscribe(own, node('edge', 'gateway'), 'kubernetes://web');
    expect(namesIn(await own.next())).toEqual(['kubernetes://web']);
    const others = [
      open(pilot.securePort, secure(workload('shop', 'web'))),
      open(pilot.grpcPort, {}),
    ] as const;
    subscribe(others[0], node('shop', 'web'), 'kubernetes://web', 'kubernetes://edge/web');
    subscribe(others[1], node('edge', 'gateway'), 'kubernetes://web');
    for (const client of others) {
      ask(client, node('edge', 'gateway'));
      await client.until(
        () => client.responses.some(({ typeUrl }) => typeUrl === typeUrls.cluster),
        'clusters',
      );
      const answers = client.responses.filter(({ typeUrl }) => typeUrl === typeUrls.secret);
      expect(answers.flatMap(namesIn)).toEqual([]);
    }
    expect(logs.filter((line) => line.includes('kubernetes://edge/web'))).toEqual([
      expect.stringMatching(/warning.*kubernetes:\/\/edge\/web.*Secrets of others are not for it/) as string,
    ]);
    expect(logs.some((line) => /warning.*kubernetes:\/\/web.*has not shown who it is/.test(line))).toBe(true);
    const metrics = await call({ url: `http://127.0.0.1:${pilot.httpPort}/metrics` });
    expect(metrics.body).toContain('pilot_sds_certificate_errors_total 3');
  });

  test('a change of a Secret pushes secrets alone, to those who use it (B5.11)', async () => {
    const [first, second, third] = [mesh.issue('a.test'), mesh.issue('b.test'), mesh.issue('c.test')];
    const { pilot, apply } = await setUp(secretYaml(first) + '---' + secretYaml(third, 'other'));
    const user = open(pilot.securePort, secure(workload('edge', 'gateway')));
    const bystander = open(pilot.securePort, secure(workload('edge', 'gateway')));
    const counts: number[] = [];
    for (const [client, name] of [
      [user, 'kubernetes://web'],
      [bystander, 'kubernetes://other'],
    ] as const) {
      for (const typeUrl of [typeUrls.cluster, typeUrls.listener]) {
        ask(client, node('edge', 'gateway'), typeUrl);
        client.ack(await client.next());
      }
      subscribe(client, node('edge', 'gateway'), name);
      const response = await client.next();
      client.ack(response, [name]);
      counts.push(client.responses.length);
    }
    apply(secretYaml(second) + '---' + secretYaml(third, 'other'));
    const pushed = await user.next();
    expect(pushed.typeUrl).toBe(typeUrls.secret);
    const [resource] = pushed.resources;
    const sent = resource === undefined ? undefined : fromBinary(SecretSchema, resource.value);
    expect(sent?.type.case).toBe('tlsCertificate');
    if (sent?.type.case === 'tlsCertificate')
      expect(Buffer.from(sent.type.value.certificateChain?.specifier.value as Uint8Array).toString()).toBe(
        second.chain,
      );
    user.ack(pushed, ['kubernetes://web']);
    // What a change of a cluster's kind causes comes after whatever this one could have caused.
    apply(`${secretYaml(second)}---${secretYaml(third, 'other')}---
apiVersion: v1
kind: Service
metadata: { name: late, namespace: edge }
spec: { clusterIP: 10.96.0.9, ports: [{ name: http, port: 80 }] }
`);
    expect((await bystander.next()).typeUrl).toBe(typeUrls.cluster);
    expect((await user.next()).typeUrl).toBe(typeUrls.cluster);
    expect([user.responses.length, bystander.responses.length]).toEqual([
      (counts[0] ?? 0) + 2,
      (counts[1] ?? 0) + 1,
    ]);
  });

  test('no debug page shows a key (traps.md 16)', async () => {
    const secret = mesh.issue('a.test');
    const { pilot, logs } = await setUp(secretYaml(secret));
    const client = open(pilot.securePort, secure(workload('edge', 'gateway')));
    subscribe(client, node('edge', 'gateway'), 'kubernetes://web');
    await client.next();
    const key = secret.key.split('\n').slice(1, -2).join('').slice(0, 40);
    const hidden = [key, Buffer.from(secret.key).toString('base64').slice(40, 80)];
    const list = JSON.parse(
      (await call({ url: `http://127.0.0.1:${pilot.httpPort}/debug/list` })).body,
    ) as string[];
    expect(list.length).toBeGreaterThan(5);
    for (const page of [...list, 'config_dump?types=sds'].map(
      (each) => `${each}${each.includes('?') ? '&' : '?'}proxyID=pod-0.edge`,
    )) {
      const { body } = await call({ url: `http://127.0.0.1:${pilot.httpPort}/debug/${page}` });
      for (const part of hidden) expect(body.includes(part), page).toBe(false);
    }
    const { body } = await call({
      url: `http://127.0.0.1:${pilot.httpPort}/debug/config_dump?proxyID=pod-0.edge&types=sds`,
    });
    const redacted = Buffer.from('[redacted]').toString('base64');
    expect(JSON.parse(body)).toMatchObject({
      configs: [{ name: 'kubernetes://web', tlsCertificate: { privateKey: { inlineBytes: redacted } } }],
    });
    for (const part of hidden) expect(logs.join('\n').includes(part)).toBe(false);
  });

  test('tokens that were given to processes of this machine: believed in plaintext, refused when wrong', async () => {
    const issuedTokens = new IssuedTokens();
    issuedTokens.add('f'.repeat(43), {
      trustDomain: 'cluster.local',
      namespace: 'edge',
      serviceAccount: 'gateway',
    });
    const { pilot } = await setUp(secretYaml(mesh.issue('a.test')), { issuedTokens });
    const own = open(pilot.grpcPort, { token: 'f'.repeat(43) });
    subscribe(own, node('edge', 'gateway'), 'kubernetes://web');
    expect(namesIn(await own.next())).toEqual(['kubernetes://web']);
    const wrong = open(pilot.grpcPort, { token: 'e'.repeat(43) });
    ask(wrong, node('edge', 'gateway'));
    expect((await wrong.failure()).code).toBe(16);
    const other = open(pilot.grpcPort, { token: 'f'.repeat(43) });
    ask(other, node('shop', 'web'));
    expect((await other.failure()).code).toBe(7);
    const without = open(pilot.grpcPort, {});
    ask(without, node('shop', 'web'));
    expect((await without.next()).typeUrl).toBe(typeUrls.cluster);
  });
});
