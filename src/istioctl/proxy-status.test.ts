// What the control plane says of its proxies, against a stand-in for its debug port.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { compareDumps } from './compare.ts';
import type { ConfigDump } from './config-dump.ts';
import { parseConfigDump } from './config-dump.ts';
import { ControlPlane } from './control-plane.ts';
import { parseLevels } from './log-levels.ts';
import type { ConnectedProxy } from './proxies.ts';
import { connectedProxies, findProxy, proxyOf } from './proxies.ts';
import { proxyStatusTable, proxyStatusValue } from './proxy-status.ts';
import { refusalNotes } from './refusals.ts';
import { remoteReport, versionText } from './version-report.ts';

const nowMs = Date.UTC(2026, 0, 1, 12);
const common = { cluster_id: 'Kubernetes', istiod: 'istiod-1' };
const syncz = [
  {
    ...common,
    proxy: 'toolbox-97948fc8-ptlct.sidecar',
    node_id: 'sidecar~10.244.0.7~toolbox-97948fc8-ptlct.sidecar~sidecar.svc.cluster.local',
    istio_version: '1.32.0',
    resources: {
      'type.googleapis.com/envoy.config.cluster.v3.Cluster': {
        sent: 'a',
        acked: 'a',
        sentTime: '2026-01-01T11:59:15Z',
      },
      'type.googleapis.com/envoy.config.listener.v3.Listener': { sent: 'b', acked: 'a' },
      'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment': { sent: 'a', acked: 'a' },
      'type.googleapis.com/envoy.config.route.v3.RouteConfiguration': {
        sent: 'b',
        acked: 'a',
        lastError: 'no',
      },
    },
  },
  {
    ...common,
    proxy: 'istio-ingressgateway-779c475c44-j4tds.istio-system',
    ip: '10.244.0.4',
    istio_version: '1.19.3',
    cluster_sent: 'n1',
    cluster_acked: 'n1',
    listener_sent: 'n2',
    listener_acked: 'n2',
  },
];

const refusal = {
  type: 'CDS',
  name: 'outbound|80||web',
  from: ['Service default/web at a.yaml:3:1'],
  message: 'no HTTP/2',
};
const rejectz = [
  { ...refusal, proxy: 'a.default' },
  { ...refusal, proxy: 'b.default' },
];

let server: Server;
let controlPlane: ControlPlane;

beforeAll(async () => {
  const pages: Readonly<Record<string, string>> = {
    '/debug/syncz': JSON.stringify(syncz),
    '/version': '1.32.0\n',
    '/debug/rejectz': JSON.stringify(rejectz),
    '/debug/adsz': JSON.stringify({
      clients: [{ held: [] }, { held: [{ name: '80', clusters: ['c'] }] }],
    }),
  };
  server = createServer((request, response) => {
    const page = pages[request.url ?? ''];
    response.writeHead(page === undefined ? 404 : 200).end(page ?? 'no such page');
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  controlPlane = new ControlPlane(systemClock, `127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterAll(() => server.close());

test('proxyStatusTable: 1.32 shows subscribed types, verbose a column each (A2.02)', async () => {
  const proxies = await connectedProxies(controlPlane);
  expect(proxyStatusTable(proxies, { compat: '1.32', verbose: false, nowMs })).toMatchInlineSnapshot(`
    "NAME                                                   CLUSTER        ISTIOD       VERSION     SUBSCRIBED TYPES
    istio-ingressgateway-779c475c44-j4tds.istio-system     Kubernetes     istiod-1     1.19.3      2 (CDS,LDS)
    toolbox-97948fc8-ptlct.sidecar                         Kubernetes     istiod-1     1.32.0      4 (CDS,LDS,EDS,RDS)
    "
  `);
  expect(proxyStatusTable(proxies, { compat: '1.32', verbose: true, nowMs })).toMatchInlineSnapshot(`
    "NAME                                                   CLUSTER        CDS              ECDS        EDS         LDS        RDS         ISTIOD       VERSION
    istio-ingressgateway-779c475c44-j4tds.istio-system     Kubernetes     SYNCED           IGNORED     IGNORED     SYNCED     IGNORED     istiod-1     1.19.3
    toolbox-97948fc8-ptlct.sidecar                         Kubernetes     SYNCED (45s)     IGNORED     SYNCED      STALE      ERROR       istiod-1     1.32.0
    "
  `);
  expect(proxyStatusTable([], { compat: '1.32', verbose: false, nowMs })).toBe(
    'NAME     CLUSTER     ISTIOD     VERSION     SUBSCRIBED TYPES\n',
  );
});

test('proxyStatusTable: 1.19 shows the state of each type (A2.01, T25)', async () => {
  const proxies = await connectedProxies(controlPlane);
  expect(proxyStatusTable(proxies, { compat: '1.19', verbose: false, nowMs })).toMatchInlineSnapshot(`
    "NAME                                                   CLUSTER        CDS        LDS        EDS          RDS          ECDS         ISTIOD       VERSION
    istio-ingressgateway-779c475c44-j4tds.istio-system     Kubernetes     SYNCED     SYNCED     NOT SENT     NOT SENT     NOT SENT     istiod-1     1.19.3
    toolbox-97948fc8-ptlct.sidecar                         Kubernetes     SYNCED     STALE      SYNCED       ERROR        NOT SENT     istiod-1     1.32.0
    "
  `);
});

test('proxyStatusValue: the ClientConfigs of a discovery response', async () => {
  const proxies = await connectedProxies(controlPlane);
  expect(proxyStatusValue(proxies, '1.32.0')).toMatchObject({
    versionInfo: '1.32.0',
    resources: [
      { node: { id: 'istio-ingressgateway-779c475c44-j4tds.istio-system' } },
      {
        node: { metadata: { CLUSTER_ID: 'Kubernetes' } },
        genericXdsConfigs: [{ configStatus: 'SYNCED' }, {}, {}, {}],
      },
    ],
  });
});

test('refusalNotes: what was refused and what waits, once, with the number of proxies', async () => {
  expect(await refusalNotes(controlPlane)).toEqual([
    'refused: CDS outbound|80||web (from Service default/web at a.yaml:3:1): no HTTP/2 [2 proxies]',
    'held back: 80, until the proxy has c',
  ]);
  expect(await refusalNotes(new ControlPlane(systemClock, 'http://127.0.0.1:26902'))).toEqual([]);
});

test('findProxy: pod, pod.namespace, deploy/name, with and without a namespace (E.01)', async () => {
  const proxies = await connectedProxies(controlPlane);
  const found = (name: string, namespace?: string): string => findProxy(proxies, name, namespace).id;
  const id = 'toolbox-97948fc8-ptlct.sidecar';
  expect(found('toolbox-97948fc8-ptlct', 'sidecar')).toBe(id);
  expect(found('toolbox-97948fc8-ptlct')).toBe(id);
  expect(found(id)).toBe(id);
  expect(found('pod/toolbox-97948fc8-ptlct.sidecar')).toBe(id);
  expect(found('deploy/toolbox.sidecar')).toBe(id);
  expect(findProxy(proxies, id, undefined).ipAddress).toBe('10.244.0.7');
  expect(() => found('invalid')).toThrow(
    /unable to retrieve Pod: pods "invalid" not found; connected: istio-ingress/,
  );
  expect(() => found('toolbox-97948fc8-ptlct', 'other')).toThrow(/not found in namespace "other"/);
  expect(() => found('deployment/none')).toThrow(/no pods match "deployment\/none"/);
  expect(() => found('serviceaccount/sleep')).toThrow(/"serviceaccount\/sleep" does not refer to a pod/);
  const twice: ConnectedProxy[] = ['a', 'b'].map((namespace) => proxyOf({ proxy: `web-1.${namespace}` }));
  expect(() => findProxy(twice, 'web-1', undefined)).toThrow(/in several namespaces \(a, b\)/);
});

test('remoteReport: client, control plane and data plane, versions counted (A1.05)', async () => {
  expect(versionText(await remoteReport(controlPlane))).toMatch(
    /^client version: [\d.]+\ncontrol plane version: 1\.32\.0\ndata plane version: 1\.19\.3 \(1 proxies\), 1\.32\.0 \(1 proxies\)\n$/,
  );
  expect(versionText({ clientVersion: { version: '1' }, dataPlaneVersion: [] })).toBe(
    'client version: 1\ndata plane version: none\n',
  );
});

test('ControlPlane: nobody there, or a wrong address, is said with what to do', async () => {
  const nobody = new ControlPlane(systemClock, 'http://127.0.0.1:26902');
  await expect(nobody.get('/version')).rejects.toThrow(
    /cannot reach the control plane at http:\/\/127\.0\.0\.1:26902: nobody listens there .*start it with "fairlead up DIR" or "fairlead pilot", or give --debug-address/,
  );
  await expect(controlPlane.get('/nothing')).rejects.toThrow(
    /answered \/nothing with status 404: no such page/,
  );
  expect(() => new ControlPlane(systemClock, 'http://a b')).toThrow(
    /--debug-address: "http:\/\/a b" is not an address/,
  );
});

test('compareDumps: match, or a diff of what differs (A2.20)', () => {
  const meant = dumpOf({ name: 'a', type: 'EDS' }, '2026-01-01T00:00:00Z');
  const same = compareDumps(meant, dumpOf({ type: 'EDS', name: 'a' }, '2026-01-01T00:00:02Z'));
  expect(same.match).toBe(true);
  expect(same.text).toBe(
    'Clusters Match\nListeners Match\nRoutes Match (RDS last loaded at Thu, 01 Jan 2026 00:00:02 UTC)\n',
  );
  const other = compareDumps(meant, dumpOf({ name: 'a', type: 'STATIC' }, ''));
  expect(other.match).toBe(false);
  expect(other.text).toMatch(
    /^Clusters Don't Match\n--- Istiod Clusters\n\+\+\+ Envoy Clusters\n[^]*-\s+"type": "EDS"\n\+\s+"type": "STATIC"/,
  );
});

test('parseLevels: all loggers first, then single ones; unknown names are refused', () => {
  const answer = 'active loggers:\n  admin: warning\n  http: warning\n';
  expect(parseLevels('http:debug,warn', answer)).toEqual([
    { level: 'warning' },
    { logger: 'http', level: 'debug' },
  ]);
  expect(parseLevels('istio::admin=trace', answer)).toEqual([{ logger: 'admin', level: 'trace' }]);
  expect(() => parseLevels('xxx', answer)).toThrow(/unrecognized logging level: xxx/);
  expect(() => parseLevels('xxx:debug', answer)).toThrow(/unrecognized logger name: xxx/);
  expect(() => parseLevels('http:yyy', answer)).toThrow(/unrecognized logging level: yyy/);
});

function dumpOf(cluster: object, loaded: string): ConfigDump {
  const admin = 'type.googleapis.com/envoy.admin.v3.';
  const configs = [
    { '@type': `${admin}ClustersConfigDump`, version_info: loaded, dynamic_active_clusters: [{ cluster }] },
    {
      '@type': `${admin}RoutesConfigDump`,
      dynamic_route_configs: [{ version_info: loaded, last_updated: loaded, route_config: { name: '80' } }],
    },
  ];
  return parseConfigDump(JSON.stringify({ configs }), 'test');
}
