// What explain says of requests: YAML in, trace out.
import { describe, expect, test } from 'vitest';
import { explained, workloadYaml } from '../../test/support/explained.ts';
import type { SourceRef, Trace } from './trace.ts';

const services = [workloadYaml('web', ['v1']), workloadYaml('api', ['v1', 'v2'])].join('\n---\n');

const apiRules = `${services}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: api }
spec:
  host: api
  subsets:
    - { name: v1, labels: { version: v1 } }
    - { name: v2, labels: { version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api }
spec:
  hosts: [api]
  http:
    - match: [{ uri: { prefix: /admin }, headers: { x-role: { exact: admin } } }]
      timeout: 2s
      rewrite: { uri: /internal }
      route: [{ destination: { host: api, subset: v2 } }]
    - route:
        - { destination: { host: api, subset: v1 }, weight: 75 }
        - { destination: { host: api, subset: v2 }, weight: 25 }`;

const place = ({ file, field }: SourceRef): string => `${file} ${field}`;
const reasons = (trace: Trace, target = 0): readonly string[] =>
  (trace.hop.targets[target]?.endpoints ?? []).map(({ pod, state, reason }) =>
    `${pod} ${state} ${reason}`.trim(),
  );

describe('a request that gets there', () => {
  test('every rule, the clause that missed, and the line of each', async () => {
    const { hop, outcome } = await explained(apiRules, { url: 'http://api/admin/1', from: 'web' });
    expect(outcome.kind).toBe('routed');
    const [first, second] = hop.http?.rules ?? [];
    expect(first?.result).toBe('missed');
    expect(first?.clauses).toEqual([
      { part: 'path', matched: true, wanted: 'prefix /admin', found: 'path is /admin/1' },
      { part: 'header', matched: false, wanted: 'header x-role = admin', found: 'absent' },
    ]);
    expect(first?.sources.map(place)).toEqual(['in.yaml spec.http[0].match[0]']);
    expect(second?.result).toBe('matched');
    expect(hop.http?.virtualHost?.domain).toBe('api');
  });

  test('weighted destinations: each with its share, its endpoints and its receiving side', async () => {
    const { hop } = await explained(apiRules, { url: 'http://api/', from: 'web' });
    expect(hop.targets.map(({ cluster, share }) => [cluster, share])).toEqual([
      ['outbound|80|v1|api.default.svc.cluster.local', 0.75],
      ['outbound|80|v2|api.default.svc.cluster.local', 0.25],
    ]);
    const trace = await explained(apiRules, { url: 'http://api/', from: 'web' });
    expect(reasons(trace)).toEqual([
      'api-v1-0.default in',
      'api-v2-0.default out label version is v2, the subset wants v1',
    ]);
    expect(hop.targets[1]?.receivers.map(({ pods }) => pods)).toEqual([['api-v2-0.default']]);
    const inbound = hop.targets[1]?.receivers[0]?.hop;
    expect(inbound?.side).toBe('inbound');
    expect(inbound?.targets[0]?.cluster).toBe('inbound|8080||');
    expect(inbound?.failure).toBeNull();
  });

  test('--pick follows one of them', async () => {
    const { hop } = await explained(apiRules, { url: 'http://api/', from: 'web', pick: 'v2' });
    expect(hop.targets.map(({ picked, receivers }) => [picked, receivers.length])).toEqual([
      [false, 0],
      [true, 1],
    ]);
  });

  test('what the rule does, with the line of the field', async () => {
    const { hop } = await explained(apiRules, {
      url: 'http://api/admin/1',
      from: 'web',
      headers: ['x-role: admin'],
    });
    const settings = hop.http?.action?.settings ?? [];
    expect(settings.find(({ label }) => label === 'timeout')).toMatchObject({
      text: '2s',
      usual: false,
      sources: [{ field: 'spec.http[0].timeout' }],
    });
    expect(settings.find(({ label }) => label === 'rewrite')?.text).toBe('path /admin/1 becomes /internal/1');
    expect(hop.http?.action?.path).toBe('/internal/1');
  });

  test('a fault that meets some requests is told, one that meets all decides', async () => {
    const withFault = (value: number): string =>
      apiRules.replace(
        'timeout: 2s',
        `fault: { abort: { httpStatus: 418, percentage: { value: ${value} } } }`,
      );
    const question = { url: 'http://api/admin', from: 'web', headers: ['x-role: admin'] };
    const some = await explained(withFault(10), question);
    expect(some.outcome.kind).toBe('routed');
    expect(some.hop.http?.action?.settings[1]).toMatchObject({
      label: 'fault',
      text: '10% of requests are answered 418',
      sources: [{ field: 'spec.http[0].fault' }],
    });
    const all = await explained(withFault(100), question);
    expect(all.outcome.failure).toMatchObject({ stage: 'fault', status: 418, flag: 'FI' });
  });

  test('localities: the own one first, others stand by; what is not ready is out', async () => {
    const pod = (name: string, app: string, zone: string, ready = 'True'): string => `apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${app}, version: v1, istio-locality: r.${zone} } }
spec: { containers: [{ name: app, image: app }] }
status: { phase: Running, podIP: 10.7.0.${name.length}, conditions: [{ type: Ready, status: '${ready}' }] }`;
    const yaml = [
      ...services.split('\n---\n').filter((text) => text.includes('kind: Service')),
      pod('client', 'web', 'a'),
      pod('near', 'api', 'a'),
      pod('far-off', 'api', 'b'),
      pod('not-there', 'api', 'a', 'False'),
      `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: api }
spec: { host: api, trafficPolicy: { outlierDetection: { consecutive5xxErrors: 3 } } }`,
    ].join('\n---\n');
    const trace = await explained(yaml, { url: 'http://api/', from: 'client' });
    expect(trace.outcome.summary).toBe('routed to api.default.svc.cluster.local:80 (1 endpoint)');
    expect([...reasons(trace)].sort()).toEqual([
      'far-off.default standby priority 1: only when priority 0 is not healthy',
      'near.default in',
      'not-there.default out not ready',
    ]);
  });

  test('a host that nobody knows is let out, and the nearest is named', async () => {
    const { outcome } = await explained(services, { url: 'http://api.other.example/', from: 'web' });
    expect(outcome.kind).toBe('passthrough');
  });
});

describe('a request that fails', () => {
  test('no such name: it never leaves the client', async () => {
    const { outcome } = await explained(services, { url: 'http://appi/', from: 'web' });
    expect(outcome.failure).toMatchObject({ stage: 'client', status: null });
    expect(outcome.failure?.candidates[0]?.text).toBe('the nearest host is api');
  });

  test('503 NC: a subset without DestinationRule, and one that the rule has not', async () => {
    const without = apiRules
      .split('\n---\n')
      .filter((text) => !text.includes('DestinationRule'))
      .join('\n---\n');
    const question = { url: 'http://api/', from: 'web' };
    const first = await explained(without, question);
    expect(first.outcome.failure).toMatchObject({ stage: 'cluster', status: 503, flag: 'NC' });
    expect(first.outcome.failure?.candidates[0]?.text).toContain('no DestinationRule');
    const second = await explained(apiRules.replace('{ name: v1, labels', '{ name: v9, labels'), question);
    expect(second.outcome.kind).toBe('partly');
    expect(second.outcome.failure?.candidates[0]?.text).toBe(
      'DestinationRule default/api has the subsets v9, v2, not v1',
    );
  });

  test('503 UH: a selector that no pod has, and the pods that nearly do', async () => {
    const yaml = services.replace('selector: { app: api }', 'selector: { app: apis }');
    const { outcome } = await explained(yaml, { url: 'http://api/', from: 'web' });
    expect(outcome.failure).toMatchObject({ stage: 'endpoints', status: 503, flag: 'UH' });
    expect(outcome.failure?.candidates.map(({ text }) => text)).toContain(
      'pods of api-v1: label app is api, not apis',
    );
  });

  test('404 NR: no rule of the host, and the one that nearly matches', async () => {
    const yaml = apiRules.slice(0, apiRules.indexOf('    - route:\n'));
    const { outcome, hop } = await explained(yaml, { url: 'http://api/admin', from: 'web' });
    expect(outcome.failure).toMatchObject({ stage: 'rules', status: 404, flag: 'NR' });
    expect(outcome.failure?.candidates[0]?.text).toBe(
      'rule 0 but for one thing: header x-role = admin, and absent',
    );
    expect(hop.targets).toEqual([]);
  });

  test('502: REGISTRY_ONLY does not let unknown hosts out; the same host on another port is named', async () => {
    const yaml = `${services}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY } }`;
    const unknown = await explained(yaml, { url: 'http://example.com/', from: 'web' });
    expect(unknown.outcome.failure).toMatchObject({ stage: 'virtual host', status: 502 });
    const port = await explained(yaml, { url: 'http://api:81/', from: 'web' });
    expect(port.outcome.failure?.candidates[0]?.text).toBe(
      'api.default.svc.cluster.local has no port 81, but port 80 (HTTP)',
    );
  });

  test('a VirtualService that is bound elsewhere or exported to others', async () => {
    const bound = (more: string): string => `${services}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec: { hosts: [shop.example], ${more} http: [{ route: [{ destination: { host: api } }] }] }`;
    const question = { url: 'http://shop.example/', from: 'web' };
    const gateway = await explained(bound('gateways: [gw],'), question);
    expect(gateway.outcome.candidates[0]?.text).toBe(
      'VirtualService default/shop has this host, but it is bound to default/gw, not to mesh (sidecars)',
    );
    const exported = await explained(bound('exportTo: [other],'), question);
    expect(exported.outcome.candidates[0]?.text).toContain('it is exported to other only');
    expect(exported.outcome.candidates[0]?.sources[0]?.field).toBe('spec.exportTo');
  });

  test('a VirtualService of the host that has no part in a request which gets there', async () => {
    const rule = (name: string, spec: string): string => `${services}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name} }
spec: ${spec}`;
    const to = 'http: [{ route: [{ destination: { host: api } }] }]';
    const perhaps = async (yaml: string): Promise<readonly string[]> => {
      const { outcome } = await explained(yaml, { url: 'http://api/', from: 'web' });
      expect(outcome.kind).toBe('routed');
      return outcome.candidates.map(({ text, sources }) => `${text} (${sources.map(place).join(', ')})`);
    };
    expect(await perhaps(rule('api', `{ hosts: [api], ${to} }`))).toEqual([]);
    expect(await perhaps(rule('api', `{ hosts: [api], gateways: [gw], ${to} }`))).toEqual([
      'VirtualService default/api has this host, but it is bound to default/gw, not to mesh (sidecars) (in.yaml spec.gateways)',
    ]);
    expect(await perhaps(rule('api', '{ hosts: [api], http: [{ delegate: { name: rules } }] }'))).toEqual([
      'VirtualService default/api has this host, but its rule hands over to VirtualService default/rules, which is not there: the rule is left out (in.yaml spec.http[0].delegate)',
    ]);
    const two = `${rule('api', `{ hosts: [api], ${to} }`)}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: later }
spec: { hosts: [api.default.svc.cluster.local], ${to} }`;
    expect(await perhaps(two)).toEqual([
      'VirtualService default/later has this host, but default/api has it too and comes first; for sidecars only one counts (in.yaml spec.hosts)',
    ]);
  });

  test('a VirtualService that is bound to a Gateway which does not serve it here', async () => {
    const shop = (gateway: string, selector: string, host: string): string => `${services}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: every }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ${selector} }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [${host}] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec: { hosts: [shop.example], gateways: [${gateway}], http: [{ route: [{ destination: { host: api } }] }] }`;
    const perhaps = async (yaml: string): Promise<string> => {
      const { outcome } = await explained(yaml, { url: 'http://shop.example/', from: 'gateway' });
      return [...(outcome.failure?.candidates ?? []), ...outcome.candidates]
        .map(({ text }) => text)
        .join('; ');
    };
    const but = 'VirtualService default/shop has this host, but it is bound to ';
    expect(await perhaps(shop('gw', 'ingressgateway', 'shop.example'))).toBe('');
    expect(await perhaps(shop('gatway', 'ingressgateway', 'shop.example'))).toBe(
      `${but}default/gatway, and there is no such Gateway`,
    );
    expect(await perhaps(shop('gw', 'ingresgateway', 'shop.example'))).toBe(
      `${but}default/gw, which does not select this gateway’s pods`,
    );
    expect(await perhaps(shop('gw', 'ingressgateway', 'other.example'))).toBe(
      `${but}default/gw, which has no server for its hosts`,
    );
  });

  test('a listener of an EnvoyFilter with an address that no proxy takes stops no other', async () => {
    const yaml = `${services}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: odd }
spec:
  configPatches:
    - applyTo: LISTENER
      patch:
        operation: ADD
        value: { name: odd, address: { socket_address: { address: 0.0.0.0, port_value: 99999 } } }`;
    const { outcome } = await explained(yaml, { url: 'http://api/', from: 'web' });
    expect(outcome.kind).toBe('routed');
  });

  test('a service that a Sidecar does not import', async () => {
    const yaml = `${services}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: narrow }
spec: { egress: [{ hosts: ['other/*'] }] }`;
    const { outcome } = await explained(yaml, { url: 'http://api/', from: 'web' });
    expect(outcome.kind).toBe('passthrough');
    expect(outcome.candidates.map(({ text }) => text)).toEqual([
      'Sidecar default/narrow does not import api.default.svc.cluster.local for this client',
    ]);
    expect(outcome.candidates[0]?.sources[0]?.field).toBe('spec.egress');
  });

  test('plain text to pods that ask for mutual TLS', async () => {
    const yaml = `${services}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: strict }
spec: { mtls: { mode: STRICT } }`;
    const outside = await explained(yaml, { url: 'http://api/', from: '192.0.2.9' });
    expect(outside.outcome.failure).toMatchObject({ stage: 'filter chain', flag: 'NR' });
    expect(outside.outcome.failure?.candidates[0]?.text).toContain('PeerAuthentication default/strict');
    const inside = await explained(yaml, { url: 'http://api/', from: 'web' });
    expect(inside.outcome.kind).toBe('routed');
    expect(inside.hop.targets[0]?.receivers[0]?.hop.chain?.transport).toBe('mutual TLS of the mesh');
  });
});

describe('gateways', () => {
  const gateway = `${services}
---
${workloadYaml('raw', ['v1'], 443, 'tls')}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: [shop.example], tls: { httpsRedirect: true } }
    - { port: { number: 443, name: https, protocol: HTTPS }, hosts: [shop.example], tls: { mode: SIMPLE, credentialName: shop } }
    - { port: { number: 443, name: tls, protocol: TLS }, hosts: [raw.example], tls: { mode: PASSTHROUGH } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec: { hosts: [shop.example], gateways: [gw], http: [{ route: [{ destination: { host: api } }] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: raw }
spec:
  hosts: [raw.example]
  gateways: [gw]
  tls: [{ match: [{ sniHosts: [raw.example] }], route: [{ destination: { host: raw } }] }]`;

  test('https: the chain of the SNI ends TLS, and the routes inside are seen', async () => {
    const { hop, outcome } = await explained(gateway, { url: 'https://shop.example/x', from: 'gateway' });
    expect(outcome.kind).toBe('routed');
    expect(hop.chain).toMatchObject({ filter: 'http', transport: 'TLS with certificate kubernetes://shop' });
    expect(hop.connection.why).toBe('port 443 of Service istio-system/istio-ingressgateway');
  });

  test('TLS passthrough: by SNI, as bytes', async () => {
    const { hop, outcome } = await explained(gateway, { url: 'tls://raw.example', from: 'gateway' });
    expect(outcome.kind).toBe('routed');
    expect(hop.chain).toMatchObject({ filter: 'tcp', why: 'SNI raw.example' });
    expect(hop.http).toBeNull();
  });

  test('TLS passthrough to a port that is declared as HTTP: the receiving sidecar ends it', async () => {
    const yaml = gateway.replace('destination: { host: raw }', 'destination: { host: api }');
    const { outcome } = await explained(yaml, { url: 'tls://raw.example', from: 'gateway' });
    expect(outcome.failure).toMatchObject({ stage: 'TLS', status: 400, flag: 'DPE' });
    expect(outcome.failure?.at).toBe('sidecar of api-v1-0.default');
  });

  test('an SNI that no server has: the chains that there are', async () => {
    const { outcome } = await explained(gateway, { url: 'https://shp.example/', from: 'gateway' });
    expect(outcome.failure).toMatchObject({ stage: 'filter chain', flag: 'NR' });
    expect(outcome.failure?.candidates.map(({ text }) => text)).toEqual([
      'chain 0 takes SNI shop.example',
      'chain 1 takes SNI raw.example',
    ]);
  });

  test('httpsRedirect is an answer as it is meant to be', async () => {
    const { outcome } = await explained(gateway, { url: 'http://shop.example/x', from: 'gateway' });
    expect(outcome).toMatchObject({
      kind: 'answered',
      summary: 'redirected to https://shop.example/x with status 301',
    });
  });

  test('a port without server: where the Gateways have theirs', async () => {
    const { outcome } = await explained(gateway, { url: 'http://shop.example:15443/', from: 'gateway' });
    expect(outcome.failure?.stage).toBe('listener');
    expect(outcome.failure?.candidates.at(-1)?.text).toBe(
      'Gateway default/gw has servers on port 80, 443, 443',
    );
  });
});

test('tcp: the listener of the address, and no HTTP in it', async () => {
  const yaml = [workloadYaml('web', ['v1']), workloadYaml('db', ['v1'], 5432, 'tcp-db')].join('\n---\n');
  const { hop, outcome } = await explained(yaml, { url: 'tcp://db:5432', from: 'web' });
  expect(outcome.kind).toBe('routed');
  expect(hop.chain?.filter).toBe('tcp');
  expect(hop.targets[0]?.cluster).toBe('outbound|5432||db.default.svc.cluster.local');
});

test('a namespace without sidecars: Kubernetes alone decides on the client’s side', async () => {
  const yaml = `${services}
---
apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { istio-injection: disabled } }`;
  const { hop } = await explained(yaml, { url: 'http://api/', from: 'web' });
  expect(hop.proxy).toBeNull();
  expect(hop.targets[0]?.endpoints.map(({ pod }) => pod)).toEqual(['api-v1-0.default', 'api-v2-0.default']);
});
