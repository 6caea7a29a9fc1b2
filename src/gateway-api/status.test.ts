import { describe, expect, test } from 'vitest';
import { gatewayApiObjects } from '../../test/support/gateway-api-objects.ts';
import type { DiscoveredEntry } from '../../test/support/gateway-api-objects.ts';
import { keyPair } from '../../test/support/key-pair.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import type { Config } from '../config/config.ts';
import { kindName } from '../config/config.ts';
import { gatewaysOf, statusOf } from './conversion.ts';
import type { Condition } from './conditions.ts';
import type { GatewayStatus } from './gateway-status.ts';
import type { PolicyStatus } from './backend-tls.ts';
import type { RouteStatus } from './route-status.ts';

const front: DiscoveredEntry = {
  hostname: 'front-istio.edge.svc.cluster.local',
  namespace: 'edge',
  ports: [
    { servicePort: 80, endpointPorts: [8080] },
    { servicePort: 443, endpointPorts: [8443] },
  ],
  addresses: ['10.0.0.1'],
  externalAddresses: [],
  isLoadBalancer: false,
  labels: {},
};

const gateway = (listeners: string, more = ''): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: edge}
spec: {gatewayClassName: istio, listeners: [${listeners}]${more}}
`;
const http = '{name: http, port: 80, protocol: HTTP}';
const https = (reference: string): string =>
  `{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [${reference}]}}`;
const secret = (name: string, namespace: string, pair = keyPair()): string => `
apiVersion: v1
kind: Secret
metadata: {name: ${name}, namespace: ${namespace}}
type: kubernetes.io/tls
data: {tls.crt: ${base64(pair.certificate)}, tls.key: ${base64(pair.key)}, ca.crt: ${base64(pair.certificate)}}
`;
const grant = `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: all, namespace: certs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}]
  to: [{group: '', kind: Secret, name: web}]
`;

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** The status of the only object of that kind, and the Gateways made. */
function judge(kind: string, documents: readonly string[]) {
  const configs = configsOfYaml(documents.join('---\n'));
  const objects = gatewayApiObjects(configs, [front]);
  const one = configs.find((config) => kindName(config.kind) === kind) as Config;
  const kube = configs.find((config) => config.kind === 'Gateway.gateway.networking.k8s.io');
  return {
    status: statusOf(objects, one),
    made: kube === undefined ? [] : gatewaysOf(objects, kube as Parameters<typeof gatewaysOf>[1]),
  };
}

function judgeGateway(...documents: readonly string[]) {
  const { status, made } = judge('Gateway', documents);
  return { status: status as GatewayStatus, made };
}

function judgeRoute(...documents: readonly string[]): RouteStatus {
  return judge('HTTPRoute', documents).status as RouteStatus;
}

function judgePolicy(...documents: readonly string[]): PolicyStatus {
  return judge('BackendTLSPolicy', documents).status as PolicyStatus;
}

/** `Type=Status Reason` */
function told(conditions: readonly Condition[] = []): readonly string[] {
  return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

describe('gatewayStatus', () => {
  test('gatewayStatus: a certificate that is there, by its name for the proxy (partly C14.02)', () => {
    const { status, made } = judgeGateway(gateway(https('{name: web}')), secret('web', 'edge'));
    expect(told(status.conditions)).toEqual([
      'Accepted=True Accepted',
      'Programmed=True Programmed',
      'ResolvedRefs=True ResolvedRefs',
    ]);
    expect(made[0]?.spec.servers?.[0]?.tls).toEqual({
      mode: 'SIMPLE',
      credentialName: 'kubernetes-gateway://edge/web',
    });
    expect(status.addresses).toEqual([{ type: 'Hostname', value: 'front-istio.edge.svc.cluster.local' }]);
  });

  test.each([
    ['{name: web}', [], 'InvalidCertificateRef', 'secret edge/web not found'],
    [
      '{name: web, kind: ConfigMap}',
      [secret('web', 'edge')],
      'InvalidCertificateRef',
      'only secret is allowed',
    ],
    [
      '{name: web}',
      [secret('web', 'edge', { certificate: keyPair().certificate, key: 'no key' })],
      'InvalidCertificateRef',
      'the certificate is malformed',
    ],
    [
      '{name: web, namespace: certs}',
      [secret('web', 'certs')],
      'RefNotPermitted',
      'missing a ReferenceGrant?',
    ],
    // Nobody learns from it whether the Secret is there.
    ['{name: none, namespace: certs}', [], 'RefNotPermitted', 'missing a ReferenceGrant?'],
    ['{name: other, namespace: certs}', [secret('other', 'certs'), grant], 'RefNotPermitted', 'other/certs'],
  ])(
    'gatewayStatus: the certificate %s is refused (partly C14.02)',
    (reference, documents, reason, message) => {
      const { status, made } = judgeGateway(gateway(https(reference)), ...documents);
      const refused = status.listeners?.[0]?.conditions.find(({ type }) => type === 'ResolvedRefs');
      expect(refused).toMatchObject({ status: 'False', reason });
      expect(refused?.message).toContain(message);
      expect(told(status.conditions)[0]).toBe('Accepted=False ListenersNotValid');
      expect(made).toEqual([]);
    },
  );

  test('gatewayStatus: a grant lets a certificate cross, and one good listener is enough (partly C14.02)', () => {
    const { status, made } = judgeGateway(
      gateway(`${http}, ${https('{name: web, namespace: certs}')}, {name: udp, port: 53, protocol: UDP}`),
      secret('web', 'certs'),
      grant,
    );
    expect(made.map(({ name }) => name.split('~').at(-1))).toEqual(['http', 'https']);
    expect(told(status.conditions)[0]).toBe('Accepted=True ListenersNotValid');
    expect(told(status.listeners?.[2]?.conditions)[0]).toBe('Accepted=False UnsupportedProtocol');
    // Port 53 is none of the Service's, either.
    expect(told(status.conditions)[1]).toBe('Programmed=False AddressNotUsable');
  });

  test('gatewayStatus: clients may have to show certificates, or may leave it (partly C14.02)', () => {
    const validation = (mode: string): string =>
      `, tls: {frontend: {default: {validation: {mode: ${mode}, caCertificateRefs: [{group: '', kind: Secret, name: web}]}}}}`;
    const documents = (mode: string) => [
      gateway(https('{name: web}'), validation(mode)),
      secret('web', 'edge'),
    ];
    const strict = judgeGateway(...documents('AllowValidOnly'));
    expect(strict.made[0]?.spec.servers?.[0]?.tls).toMatchObject({
      mode: 'MUTUAL',
      caCertCredentialName: 'kubernetes-gateway://edge/web-cacert',
    });
    const lenient = judgeGateway(...documents('AllowInsecureFallback'));
    expect(lenient.made[0]?.spec.servers?.[0]?.tls?.mode).toBe('OPTIONAL_MUTUAL');
    expect(told(lenient.status.conditions)).toContain(
      'InsecureFrontendValidationMode=True ConfigurationChanged',
    );
  });

  test('gatewayStatus: parameters and the client certificate must be there (partly C14.02)', () => {
    const { status } = judgeGateway(
      gateway(
        http,
        ", infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: p}}, tls: {backend: {clientCertificateRef: {name: none}}}",
      ),
    );
    expect(told(status.conditions)).toEqual([
      'Accepted=False InvalidParameters',
      'Programmed=True Programmed',
      'ResolvedRefs=False InvalidClientCertificateRef',
    ]);
  });

  test('gatewayStatus: of another controller’s class nothing is said, of a remote one that it is read (partly C14.02)', () => {
    const of = (name: string): GatewayStatus | undefined =>
      judgeGateway(gateway(http).replace('ClassName: istio', `ClassName: ${name}`)).status;
    expect(of('nginx')).toBeUndefined();
    expect(told(of('istio-remote')?.conditions)).toEqual([
      'Accepted=True Accepted',
      'Programmed=True Programmed',
    ]);
  });
});

const route = (rules: string, more = 'parentRefs: [{name: front}]', status = ''): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: edge}
spec: {${more}, rules: [${rules}]}
${status}`;
const web = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: edge}
spec: {ports: [{name: http, port: 80}]}
`;

describe('routeStatus', () => {
  test.each([
    ['{backendRefs: [{name: web, port: 80}]}', 'ResolvedRefs'],
    ['{backendRefs: [{name: none, port: 80}]}', 'BackendNotFound'],
    ['{backendRefs: [{name: web, namespace: other, port: 80}]}', 'RefNotPermitted'],
    ['{backendRefs: [{group: apps, kind: Deployment, name: web, port: 80}]}', 'InvalidKind'],
    ['{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: web}]}', 'InvalidKind'],
    [
      '{backendRefs: [{group: networking.istio.io, kind: Hostname, name: none.com, port: 80}]}',
      'BackendNotFound',
    ],
    ['{filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]}', 'InvalidFilter'],
    [
      '{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: none, port: 80}}}]}',
      'BackendNotFound',
    ],
    // Regression 59933: it was left out without a word.
    [
      '{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: "a\\u0001b"}]}}]}',
      'InvalidFilter',
    ],
    ['{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}', 'ResolvedRefs'],
  ])('routeStatus: %s is %s (partly C14.02)', (rule, reason) => {
    const status = judgeRoute(gateway(http), route(rule), web);
    expect(status.parents[0]?.conditions.find(({ type }) => type === 'ResolvedRefs')?.reason).toBe(reason);
  });

  test.each([
    ['parentRefs: [{name: front, sectionName: none}]', 'NoMatchingParent'],
    ['parentRefs: [{name: front, port: 81}]', 'NoMatchingParent'],
    ["parentRefs: [{name: front}], hostnames: ['b.com']", 'NoMatchingListenerHostname'],
    ["parentRefs: [{name: front}], hostnames: ['*.com']", 'Accepted'],
    ["parentRefs: [{group: '', kind: Service, name: none}]", 'NoMatchingParent'],
  ])('routeStatus: %s is %s (partly C14.02)', (spec, reason) => {
    const listener = '{name: http, port: 80, protocol: HTTP, hostname: a.com}';
    const status = judgeRoute(gateway(listener), route('{}', spec), web);
    expect(status.parents[0]?.conditions.find(({ type }) => type === 'Accepted')?.reason).toBe(reason);
  });

  test('routeStatus: a route of a namespace that the listener does not take is told so (partly C14.02)', () => {
    const elsewhere = route('{}', 'parentRefs: [{name: front, namespace: edge}]').replace(
      'namespace: edge}\n',
      'namespace: shop}\n',
    );
    const status = judgeRoute(gateway(http), elsewhere);
    expect(told(status.parents[0]?.conditions)[0]).toBe('Accepted=False NotAllowedByListeners');
    const tcp = judgeRoute(gateway('{name: tcp, port: 80, protocol: TCP}'), route('{}'));
    expect(told(tcp.parents[0]?.conditions)[0]).toBe('Accepted=False NotAllowedByListeners');
  });

  test('routeStatus: what others say stays; what we said of a parent that is gone does not (partly C14.02)', () => {
    const parent = (name: string, controller: string): string =>
      `{parentRef: {name: ${name}}, controllerName: ${controller}, conditions: [{type: Accepted, status: "True", reason: Accepted, message: x, lastTransitionTime: "2026-01-01T00:00:00Z"}, {type: Own, status: "True", reason: Own, message: y}]}`;
    const status = `status: {parents: [${[parent('other', 'example.com/c'), parent('gone', 'istio.io/gateway-controller'), parent('front', 'istio.io/gateway-controller')].join(', ')}]}\n`;
    const judged = judgeRoute(gateway(http), route('{}', undefined, status)).parents;
    expect(judged.map(({ parentRef, controllerName }) => `${parentRef.name} ${controllerName}`)).toEqual([
      'other example.com/c',
      'front istio.io/gateway-controller',
    ]);
    expect(told(judged[1]?.conditions)).toEqual([
      'Accepted=True Accepted',
      'Own=True Own',
      'ResolvedRefs=True ResolvedRefs',
    ]);
    // It has not turned: when it turned last stays.
    expect(judged[1]?.conditions[0]?.lastTransitionTime).toBe('2026-01-01T00:00:00Z');
  });
});

test('backendTlsPolicyStatus: the older of two policies holds; a CA that is not there ends connections (partly C14.02)', () => {
  const policy = (name: string, ca: string, created: string): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: ${name}, namespace: edge, creationTimestamp: "${created}T00:00:00Z"}
spec: {targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: a.com, ${ca}}}
`;
  const system = 'wellKnownCACertificates: System';
  const conflicted = judgePolicy(
    policy('young', system, '2026-02-01'),
    policy('old', system, '2026-01-01'),
    web,
  );
  expect(told(conflicted.ancestors[0]?.conditions)).toEqual([
    'Accepted=False Conflicted',
    'ResolvedRefs=True ResolvedRefs',
  ]);
  const missing = judgePolicy(
    policy('one', "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}]", '2026-01-01'),
    web,
  );
  expect(told(missing.ancestors[0]?.conditions)).toEqual([
    'Accepted=False NoValidCACertificate',
    'ResolvedRefs=False InvalidCACertificateRef',
  ]);
});
