// SDS from the control plane: who gets which secret, in which form, and what is left out.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Authority } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { needs } from '../../../test/support/tools.ts';
import { configsOfYaml, proxyNode } from '../../../test/support/world.ts';
import { Graph } from '../../collections/index.ts';
import type { Config } from '../../config/config.ts';
import { configKey } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import type { ProxyIdentity, ProxyNode } from '../../model/proxy-node.ts';
import type { SecretSettings } from '../../pilot/world/world.ts';
import { PilotWorld } from '../../pilot/world/world.ts';
import { proxyScope } from '../scope.ts';
import { identityScope } from './identity-scope.ts';
import { parseSecretName } from './secret-name.ts';
import { secretProblem, secrets } from './secrets.ts';

const gatewayIdentity: ProxyIdentity = { namespace: 'edge', serviceAccount: 'gateway' };

function gateway(part: Partial<ProxyNode> = {}): ProxyNode {
  return proxyNode({
    type: 'router',
    namespace: 'edge',
    labels: { istio: 'ingressgateway' },
    identity: gatewayIdentity,
    ...part,
  });
}

class Bench {
  readonly complaints: string[] = [];
  readonly world: PilotWorld;

  constructor(text: string, settings: SecretSettings = {}) {
    this.world = new PilotWorld(
      new Graph(),
      defaultMeshConfig,
      {},
      {
        nowMs: Date.now,
        complain: (line) => void this.complaints.push(line),
        ...settings,
      },
    );
    this.apply(configsOfYaml(text));
  }

  apply(configs: readonly Config[]): void {
    this.world.apply(configs.map((after) => ({ key: configKey(after), after })));
  }

  scope(node: ProxyNode) {
    return identityScope(proxyScope(this.world, node), node);
  }

  /** `pair` or `ca` with what is in it; undefined: it gets nothing. */
  get(name: string, node = gateway()) {
    const input = secrets.input(this.world, this.scope(node), name);
    if (input === undefined) return undefined;
    const { message } = secrets.build(input);
    expect(message.name).toBe(name);
    return message.type;
  }

  why(name: string, node = gateway()): string {
    return secretProblem(this.world, this.scope(node), name) ?? 'served';
  }
}

function text(
  source:
    | { readonly specifier: { readonly case?: string | undefined; readonly value?: unknown } }
    | undefined,
) {
  return source === undefined ? undefined : Buffer.from(source.specifier.value as Uint8Array).toString();
}

function secret(
  name: string,
  entries: Record<string, string>,
  of: { type?: string; namespace?: string } = {},
): string {
  const { type = 'Opaque', namespace = 'edge' } = of;
  return `
---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: ${namespace} }
type: ${type}
stringData: ${JSON.stringify(entries)}
`;
}

const absent = needs('openssl');

describe.skipIf(absent)('secrets', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-secrets-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const authority: Authority = absent ? (undefined as never) : createAuthority(directory, 'ca');
  const issued = absent ? (undefined as never) : authority.issue('a.test');
  const other = absent ? (undefined as never) : authority.issue('b.test');
  const tls = { 'tls.crt': issued?.chain, 'tls.key': issued?.key };

  test('a Secret of type kubernetes.io/tls, with its CA, revocation list and staple (B5.11, partly B5.12)', () => {
    const crl = '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n';
    const bench = new Bench(
      secret(
        'web',
        { ...tls, 'ca.crt': authority.chain, 'ca.crl': crl, 'tls.ocsp-staple': 'staple' },
        { type: 'kubernetes.io/tls' },
      ),
    );
    for (const name of ['kubernetes://web', 'kubernetes://edge/web']) {
      const pair = bench.get(name);
      expect(pair?.case).toBe('tlsCertificate');
      if (pair?.case !== 'tlsCertificate') return;
      expect(text(pair.value.certificateChain)).toBe(issued.chain);
      expect(text(pair.value.privateKey)).toBe(issued.key);
      expect(text(pair.value.ocspStaple)).toBe('staple');
    }
    const ca = bench.get('kubernetes://web-cacert');
    expect(ca?.case).toBe('validationContext');
    if (ca?.case !== 'validationContext') return;
    expect([text(ca.value.trustedCa), text(ca.value.crl)]).toEqual([authority.chain, crl]);
  });

  test('a generic Secret, a Secret for the CA alone, a ConfigMap (B5.11, partly B5.12)', () => {
    const bench = new Bench(
      `${secret('web', { cert: issued.chain, key: issued.key, cacert: 'ignored: the one of its own goes first' })}
${secret('web-cacert', { cacert: authority.chain })}
${secret('plain', { cert: issued.chain, key: issued.key, cacert: other.chain })}
---
apiVersion: v1
kind: ConfigMap
metadata: { name: roots, namespace: other }
data: ${JSON.stringify({ 'ca.crt': authority.chain })}
`,
    );
    const ca = (name: string) => {
      const found = bench.get(name);
      return found?.case === 'validationContext' ? text(found.value.trustedCa) : found?.case;
    };
    expect(bench.get('kubernetes://web')?.case).toBe('tlsCertificate');
    expect(ca('kubernetes://web-cacert')).toBe(authority.chain);
    expect(ca('kubernetes://plain-cacert')).toBe(other.chain);
    expect(ca('configmap://other/roots')).toBe(authority.chain);
    expect(ca('configmap://other/roots-cacert')).toBe(authority.chain);
  });

  test('nothing without an identity, of other namespaces, for accounts that may not (B5.11, traps.md 16)', () => {
    const bench = new Bench(
      secret('web', { ...tls, 'ca.crt': authority.chain }) + secret('far', tls, { namespace: 'far' }),
      {
        mayRead: (namespace, account) => `${namespace}/${account}` === 'edge/gateway',
      },
    );
    expect(bench.get('kubernetes://web')).toBeDefined();
    const { identity: _none, ...plaintext } = gateway();
    expect(bench.get('kubernetes://web', plaintext)).toBeUndefined();
    expect(bench.why('kubernetes://web', plaintext)).toContain('has not shown who it is');
    expect(bench.get('configmap://edge/web', plaintext)).toBeUndefined();
    expect(bench.get('kubernetes://far/far')).toBeUndefined();
    expect(bench.why('kubernetes://far/far')).toContain('Secrets of others are not for it');
    expect(bench.get('kubernetes-gateway://far/far')).toBeUndefined();
    expect(bench.get('kubernetes-gateway://edge/web')).toBeUndefined();
    const app = gateway({ identity: { namespace: 'edge', serviceAccount: 'app' } });
    expect(bench.get('kubernetes://web', app)).toBeUndefined();
    expect(bench.why('kubernetes://web', app)).toBe('service account edge/app may not read Secrets');
    // Certificates of authorities are public.
    expect(bench.get('kubernetes://web-cacert', app)?.case).toBe('validationContext');
  });

  test('what one identity was given is not found by another (CVE-2021-34824)', () => {
    const bench = new Bench(secret('web', tls));
    const stranger = gateway({ identity: { namespace: 'elsewhere', serviceAccount: 'gateway' } });
    const same = gateway({ identity: { namespace: 'edge', serviceAccount: 'other' } });
    expect(bench.get('kubernetes://web')).toBeDefined();
    expect(bench.get('kubernetes://web', stranger)).toBeUndefined();
    expect(new Set([gateway(), stranger, same].map((node) => bench.scope(node).key)).size).toBe(3);
    const inputs = [gateway(), same].map((node) =>
      secrets.input(bench.world, bench.scope(node), 'kubernetes://web'),
    );
    expect(inputs[0]).not.toEqual(inputs[1]);
  });

  test('of a Gateway of the Gateway API: what it refers to, with a grant for other namespaces (B5.11)', () => {
    const objects = (grant: boolean): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: front, namespace: edge }
spec:
  gatewayClassName: istio
  addresses: [{ type: Hostname, value: front.edge.svc.cluster.local }]
  listeners:
    - { name: own, hostname: a.test, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: web }] } }
    - { name: far, hostname: b.test, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: far, namespace: far }] } }
---
apiVersion: v1
kind: Service
metadata: { name: front, namespace: edge }
spec: { selector: { istio: ingressgateway }, ports: [{ name: https, port: 443 }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: istio }
spec: { controllerName: istio.io/gateway-controller }
${secret('web', tls)}${secret('unused', tls)}${secret('far', tls, { namespace: 'far' })}
${
  grant
    ? `---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: { name: g, namespace: far }
spec: { from: [{ group: gateway.networking.k8s.io, kind: Gateway, namespace: edge }], to: [{ group: '', kind: Secret }] }`
    : ''
}`;
    const granted = new Bench(objects(true));
    expect(granted.why('kubernetes-gateway://edge/web')).toBe('served');
    expect(granted.why('kubernetes-gateway://far/far')).toBe('served');
    expect(granted.why('kubernetes-gateway://edge/unused')).toContain('refers to it');
    const stranger = gateway({ identity: { namespace: 'far', serviceAccount: 'gateway' } });
    expect(granted.get('kubernetes-gateway://edge/web', stranger)).toBeUndefined();
    const refused = new Bench(objects(false));
    expect(refused.why('kubernetes-gateway://edge/web')).toBe('served');
    expect(refused.why('kubernetes-gateway://far/far')).toContain('no ReferenceGrant allows that');
  });

  test('a Gateway of Istio’s own cannot name what is granted to nobody', () => {
    const bench = new Bench(`${secret('web', tls)}${secret('far', tls, { namespace: 'far' })}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: edge, annotations: { internal.istio.io/gateway-semantics: gateway } }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 443, name: a, protocol: HTTPS }, hosts: [a.test], tls: { mode: SIMPLE, credentialName: 'kubernetes-gateway://far/far' } }
    - { port: { number: 443, name: b, protocol: HTTPS }, hosts: [b.test], tls: { mode: SIMPLE, credentialName: 'kubernetes-gateway://edge/web' } }
`);
    expect(bench.get('kubernetes-gateway://far/far')).toBeUndefined();
    expect(bench.get('kubernetes-gateway://edge/web')).toBeDefined();
  });

  test('what cannot be used is not sent, and said with its place (B5.12)', () => {
    const cases: Record<string, readonly [Record<string, string>, string]> = {
      mismatch: [{ 'tls.crt': issued.chain, 'tls.key': other.key }, 'the key is not the certificate’s'],
      'no-certificate': [{ 'tls.crt': 'x', 'tls.key': issued.key }, 'no certificate can be read'],
      'half-a-chain': [
        {
          'tls.crt': `${issued.chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
          'tls.key': issued.key,
        },
        'not every certificate of it can be read',
      ],
      'no-key': [{ 'tls.crt': issued.chain, 'tls.key': 'hunter2' }, 'no private key can be read'],
      empty: [{ 'tls.crt': '', 'tls.key': '' }, 'but they were empty'],
      strange: [
        { password: 'hunter2' },
        "didn't have expected keys (cert and key) or (tls.crt and tls.key); found: password",
      ],
    };
    for (const [name, [entries, message]] of Object.entries(cases)) {
      const bench = new Bench(secret(name, entries));
      expect(bench.get(`kubernetes://${name}`), name).toBeUndefined();
      expect(bench.complaints.join('\n'), name).toContain(message);
      expect(bench.complaints[0], name).toMatch(/^in\.yaml:\d+:\d+: Secret edge\//);
      expect(bench.complaints, name).toHaveLength(1);
      expect(bench.complaints.join(), name).not.toContain('hunter2');
    }
    const bench = new Bench(
      secret('web-cacert', { cacert: 'x' }) +
        secret('crl-cacert', { cacert: authority.chain, 'ca.crl': 'x' }),
    );
    expect(bench.get('kubernetes://web-cacert')).toBeUndefined();
    expect(bench.get('kubernetes://crl-cacert')).toBeUndefined();
    expect(bench.complaints.join('\n')).toMatch(/bundle is malformed[^]*list of revoked certificates/);
  });

  test('expired and not yet valid: not sent (B5.12)', () => {
    const dayMs = 24 * 3_600_000;
    const late = new Bench(secret('web', tls), { nowMs: () => Date.now() + 3 * dayMs });
    expect(late.get('kubernetes://web')).toBeUndefined();
    expect(late.complaints[0]).toMatch(/stringData\["tls\.crt"\]: the certificate expired on/);
    const early = new Bench(secret('web', tls), { nowMs: () => Date.now() - dayMs });
    expect(early.get('kubernetes://web')).toBeUndefined();
    expect(early.complaints[0]).toContain('is not valid before');
  });

  test('the last good one stays in force until a good one comes, or the Secret goes (B5.12)', () => {
    const bench = new Bench(secret('web', tls));
    const chain = () => {
      const found = bench.get('kubernetes://web');
      return found?.case === 'tlsCertificate' ? text(found.value.certificateChain) : undefined;
    };
    expect(chain()).toBe(issued.chain);
    bench.apply(configsOfYaml(secret('web', { 'tls.crt': other.chain, 'tls.key': issued.key })));
    expect(chain()).toBe(issued.chain);
    expect(bench.complaints).toEqual([expect.stringContaining('the last good one stays in force')]);
    bench.apply(configsOfYaml(secret('web', { 'tls.crt': other.chain, 'tls.key': other.key })));
    expect(chain()).toBe(other.chain);
    const [gone] = configsOfYaml(secret('web', tls));
    if (gone !== undefined) bench.world.apply([{ key: configKey(gone), before: gone }]);
    expect(chain()).toBeUndefined();
    expect(bench.why('kubernetes://web')).toBe('there is no Secret edge/web that can be used for it');
  });
});

test('names of secrets: what each means, and which mean nothing', () => {
  const of = (name: string) => {
    const parsed = parseSecretName(name, 'own');
    return typeof parsed === 'string'
      ? undefined
      : `${parsed.scheme} ${parsed.namespace}/${parsed.name} ${parsed.isCa}`;
  };
  expect(of('kubernetes://a')).toBe('kubernetes own/a false');
  expect(of('kubernetes://a-cacert')).toBe('kubernetes own/a-cacert true');
  expect(of('kubernetes://ns/a')).toBe('kubernetes ns/a false');
  expect(of('kubernetes-gateway://ns/a')).toBe('kubernetes-gateway ns/a false');
  expect(of('configmap://ns/a')).toBe('configmap ns/a true');
  for (const name of [
    '',
    'a',
    'default',
    'ROOTCA',
    'invalid://',
    'builtin://',
    'file-cert:a~b',
    'kubernetes://',
    'kubernetes:///a',
    'kubernetes://a/',
    'kubernetes://a/b/c',
    'kubernetes-gateway://a',
    'configmap://a',
    'KUBERNETES://a',
    'x://a',
  ])
    expect(of(name), name).toBeUndefined();
});
