import { create } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { defaultGatewayTopology } from '../model/gateway-topology.ts';
import { readProxyHeaders } from '../model/proxy-headers.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { StreamError } from '../xds/server/stream-error.ts';
import { parseProxyNode } from './proxy-node.ts';

const id = 'sidecar~10.1.0.1~reviews-v1-0.shop~shop.svc.cluster.local';

function parse(metadata: JsonObject, nodeId = id): ProxyNode {
  return parseProxyNode(create(NodeSchema, { id: nodeId, metadata }));
}

describe('parseProxyNode', () => {
  test('parseProxyNode: only generators with resources of their own count (partly B5.08)', () => {
    expect(parse({ GENERATOR: 'grpc' }).generator).toBe('grpc');
    for (const other of ['event', 'api', '']) expect(parse({ GENERATOR: other }).generator).toBeUndefined();
  });

  test('parseProxyNode: what is kept of a node is bounded (traps 11, 17)', () => {
    const long = 'x'.repeat(2000);
    for (const key of [
      'ISTIO_VERSION',
      'NAMESPACE',
      'CLUSTER_ID',
      'NETWORK',
      'SERVICE_ACCOUNT',
      'WORKLOAD_NAME',
    ])
      expect(() => parse({ [key]: long }), key).toThrow(
        `malformed metadata ${key} of 2000 characters: accepted is 1024`,
      );
    expect(() => parseProxyNode(create(NodeSchema, { id, locality: { zone: long } }))).toThrow(
      'malformed locality zone of 2000 characters',
    );
    expect(() => parse({ ANY: 'x'.repeat(300_000) })).toThrow(/malformed metadata of 300003 characters/);
    expect(() => parse({ LABELS: { a: 'x'.repeat(300_000) } })).toThrow(/malformed metadata of/);
    // As long as Kubernetes allows annotations to be.
    expect(parse({ ANY: 'x'.repeat(250_000) }).metadata?.['ANY']).toHaveLength(250_000);
  });

  test('parseProxyNode: what a gateway is told of its surroundings (B1.06, C7.02, C7.10)', () => {
    const gateway = (metadata: JsonObject): ReturnType<typeof parseProxyNode> =>
      parseProxyNode(create(NodeSchema, { id, metadata }));
    expect(gateway({ UNPRIVILEGED_POD: 'true' }).unprivileged).toBe(true);
    expect(gateway({ UNPRIVILEGED_POD: 'false' }).unprivileged).toBeUndefined();
    expect(gateway({}).gatewayTopology).toBeUndefined();
    const topology = { numTrustedProxies: 2, forwardClientCertDetails: 'SANITIZE', proxyProtocol: {} };
    expect(gateway({ PROXY_CONFIG: { gatewayTopology: topology } }).gatewayTopology).toEqual({
      trustedProxies: 2,
      forwardClientCert: 'SANITIZE',
      proxyProtocol: true,
    });
    expect(gateway({ PROXY_CONFIG: {} }).gatewayTopology).toEqual(defaultGatewayTopology);
    expect(() => gateway({ PROXY_CONFIG: { gatewayTopology: 'none' } })).toThrow(
      /PROXY_CONFIG gatewayTopology/,
    );
  });

  test('parseProxyNode: headers that its own ProxyConfig asks for, and the networks that it asks to see', () => {
    const proxyHeaders = {
      server: { value: 'pod' },
      requestId: { disabled: true },
      forwardedClientCert: 'SANITIZE',
      setCurrentClientCertDetails: { cert: true },
      xForwardedHost: { enabled: 'yes' },
    };
    expect(parse({ PROXY_CONFIG: { proxyHeaders } }).proxyHeaders).toEqual({
      ...readProxyHeaders(),
      serverName: 'pod',
      requestId: false,
      forwardClientCert: 'SANITIZE',
      clientCertParts: { subject: true, uri: true, dns: true, cert: true, chain: false },
    });
    expect(parse({}).proxyHeaders).toBeUndefined();
    expect(() => parse({ PROXY_CONFIG: { proxyHeaders: 1 } })).toThrow(/PROXY_CONFIG proxyHeaders/);
    expect(parse({ REQUESTED_NETWORK_VIEW: 'a,b' }).networkView).toEqual(['a', 'b']);
    expect(parse({}).networkView).toBeUndefined();
  });

  test('parseProxyNode: id and metadata of an Istio proxy (B1.06)', () => {
    const node = parseProxyNode(
      create(NodeSchema, {
        id,
        locality: { region: 'r1', zone: 'z1', subZone: 's1' },
        metadata: {
          NAMESPACE: 'shop',
          LABELS: { app: 'reviews', version: 'v1' },
          CLUSTER_ID: 'Kubernetes',
          NETWORK: 'net1',
          ISTIO_VERSION: '1.32.0',
          SERVICE_ACCOUNT: 'bookinfo',
          WORKLOAD_NAME: 'reviews-v1',
          INSTANCE_IPS: '10.1.0.1,fd00::1',
          INTERCEPTION_MODE: 'TPROXY',
          HTTP10: '1',
          MESH_ID: 'not ours to read',
        },
      }),
    );
    expect(node).toEqual({
      id,
      type: 'sidecar',
      ipAddresses: ['10.1.0.1', 'fd00::1'],
      podName: 'reviews-v1-0',
      namespace: 'shop',
      dnsDomain: 'shop.svc.cluster.local',
      labels: { app: 'reviews', version: 'v1' },
      serviceAccount: 'bookinfo',
      workloadName: 'reviews-v1',
      clusterId: 'Kubernetes',
      network: 'net1',
      locality: { region: 'r1', zone: 'z1', subzone: 's1' },
      istioVersion: '1.32.0',
      interceptionMode: 'TPROXY',
      adminPort: 15000,
      http10: true,
      workloadCertificates: true,
      metadata: expect.objectContaining({ MESH_ID: 'not ours to read', HTTP10: '1' }) as unknown,
    });
  });

  test('parseProxyNode: without metadata the id is enough (B1.06)', () => {
    const node = parseProxyNode(create(NodeSchema, { id: 'router~fd00::2~gw.istio-system~x' }));
    expect(node).toMatchObject({
      type: 'router',
      ipAddresses: ['fd00::2'],
      namespace: 'istio-system',
      labels: {},
      interceptionMode: 'REDIRECT',
      http10: false,
    });
  });

  test('parseProxyNode: pods of one machine', () => {
    const node = parse({
      INTERCEPTION_MODE: 'LOOPBACK',
      FAIRLEAD_APP_ADDRESS: '127.67.0.1',
      FAIRLEAD_HTTP_PROXY_PORT: '15080',
      FAIRLEAD_GATEWAY_BINDS: ['127.0.0.1:8080->8080', '[::1]:8443->8443'],
    });
    expect(node).toMatchObject({
      interceptionMode: 'LOOPBACK',
      appAddress: '127.67.0.1',
      httpProxyPort: 15080,
      gatewayBinds: [
        { address: '127.0.0.1', port: 8080, targetPort: 8080 },
        { address: '::1', port: 8443, targetPort: 8443 },
      ],
    });
  });

  const malformed: readonly (readonly [string, string, JsonObject, RegExp])[] = [
    ['too few parts', 'sidecar~10.1.0.1~pod.ns', {}, /node id .*accepted is <type>~/],
    ['too many parts', `${id}~x`, {}, /node id/],
    [
      'a type that is not served',
      id.replace('sidecar', 'ztunnel'),
      {},
      /proxy type "ztunnel".*sidecar or router/,
    ],
    ['no address', id.replace('10.1.0.1', ''), {}, /address in the node id/],
    ['an address with a port', id.replace('10.1.0.1', '10.1.0.1:80'), {}, /address in the node id/],
    ['addresses in metadata', id, { INSTANCE_IPS: '10.1.0.1,nonsense' }, /INSTANCE_IPS "nonsense"/],
    ['an interception mode', id, { INTERCEPTION_MODE: 'MAGIC' }, /INTERCEPTION_MODE "MAGIC".*LOOPBACK/],
    ['labels that are a list', id, { LABELS: ['a'] }, /LABELS: accepted is a map of texts/],
    ['labels that are deep', id, { LABELS: { a: { b: 'c' } } }, /LABELS "a"/],
    ['a namespace that is a map', id, { NAMESPACE: {} }, /NAMESPACE/],
    ['a port', id, { FAIRLEAD_HTTP_PROXY_PORT: '70000' }, /70000.*1 to 65535/],
    ['gateway binds', id, { FAIRLEAD_GATEWAY_BINDS: ['8080'] }, /FAIRLEAD_GATEWAY_BINDS "8080"/],
    ['gateway binds that are no list', id, { FAIRLEAD_GATEWAY_BINDS: '8080' }, /a list of texts/],
  ];
  for (const [title, nodeId, metadata, message] of malformed) {
    test(`parseProxyNode: refuses ${title} (B1.06)`, () => {
      expect(() => parse(metadata, nodeId)).toThrow(StreamError);
      expect(() => parse(metadata, nodeId)).toThrow(message);
    });
  }

  test('parseProxyNode: what a peer sent is quoted in part only (traps 17)', () => {
    expect(() => parse({ INTERCEPTION_MODE: 'x'.repeat(1_000_000) })).toThrow(/^.{1,400}$/);
  });
});
