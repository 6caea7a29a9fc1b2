import { expect, test } from 'vitest';
import { worldAndScope, type Surroundings } from '../../test/support/translated.ts';
import { messageToJson } from '../api/any.ts';
import { nameTables } from './index.ts';

/** The table as JSON: host -> what is said of it. */
function tableOf(yaml: string, surroundings?: Surroundings): unknown {
  const { world, scope } = worldAndScope(yaml, surroundings);
  expect(nameTables.names(world, scope)).toEqual(['']);
  const input = nameTables.input(world, scope, '');
  if (input === undefined) throw new Error('no table');
  return (messageToJson(nameTables.schema, nameTables.build(input).message) as { table?: unknown }).table;
}

const service = (name: string, spec: string, namespace = 'default'): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ${spec} }
---`;
const http = 'ports: [{ name: http, port: 80 }]';
const pod = (name: string, address: string, spec = '', ready = 'True', labels = ''): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: db${labels} } }
spec: { containers: [{ name: app }]${spec} }
status: { phase: Running, podIP: ${address}, conditions: [{ type: Ready, status: '${ready}' }] }
---`;
const entry = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ext }
spec: { ports: [{ number: 443, name: tls, protocol: TLS }], ${spec} }
---`;
const kubernetes = { registry: 'Kubernetes', namespace: 'default' };
const subdomain = ', subdomain: db';

test('nameTables: services by their addresses, ServiceEntries by theirs; ranges and aliases are no answers (B5.04)', () => {
  const yaml =
    service('a', `clusterIP: 10.0.0.1, ${http}`) +
    service('b', `clusterIP: 10.0.0.2, ${http}`, 'other') +
    service('alias', `type: ExternalName, externalName: a.default.svc.cluster.local, ${http}`) +
    entry('hosts: [x.example.com], addresses: [192.0.2.1, 192.0.2.2, 198.51.100.0/24], resolution: STATIC') +
    entry('hosts: ["*.wild.example.com"], addresses: [192.0.2.9], resolution: NONE').replace('ext', 'wild') +
    entry('hosts: [none.example.com], resolution: STATIC').replace('ext', 'none');
  expect(tableOf(yaml)).toEqual({
    'a.default.svc.cluster.local': { ips: ['10.0.0.1'], shortname: 'a', ...kubernetes },
    'b.other.svc.cluster.local': {
      ips: ['10.0.0.2'],
      shortname: 'b',
      registry: 'Kubernetes',
      namespace: 'other',
    },
    '*.wild.example.com': { ips: ['192.0.2.9'], registry: 'External' },
    'x.example.com': { ips: ['192.0.2.1', '192.0.2.2'], registry: 'External' },
  });
});

test('nameTables: allocated addresses for proxies whose agent answers DNS alone (B5.04)', () => {
  const yaml = entry('hosts: [none.example.com], resolution: STATIC');
  expect(tableOf(yaml)).toBeUndefined();
  const table = tableOf(yaml, { proxy: { dnsCapture: true } }) as Record<string, { ips: string[] }>;
  expect(table['none.example.com']?.ips).toEqual([expect.stringMatching(/^240\.240\.\d+\.\d+$/)]);
});

test('nameTables: a headless service by its ready Pods, each of which has a name of its own (B5.04)', () => {
  const headless = service('db', `clusterIP: None, selector: { app: db }, ${http}`);
  const pods =
    pod('db-0', '10.1.0.1', `${subdomain}, hostname: db-0`) +
    pod('db-1', '10.1.0.2', subdomain) +
    pod('plain', '10.1.0.3') +
    pod('unready', '10.1.0.4', subdomain, 'False');
  const host = 'db.default.svc.cluster.local';
  expect(tableOf(headless + pods)).toEqual({
    [host]: { ips: ['10.1.0.1', '10.1.0.2', '10.1.0.3'], shortname: 'db', ...kubernetes },
    [`db-0.${host}`]: { ips: ['10.1.0.1'], shortname: 'db-0.db', ...kubernetes },
    [`db-1.${host}`]: { ips: ['10.1.0.2'], shortname: 'db-1.db', ...kubernetes },
  });
  const all = tableOf(headless.replace('clusterIP', 'publishNotReadyAddresses: true, clusterIP') + pods);
  expect(all).toMatchObject({
    [host]: { ips: ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4'] },
    [`unready.${host}`]: { ips: ['10.1.0.4'] },
  });
});

test('nameTables: Pods of another network are left out; they are behind a gateway (B5.04)', () => {
  const yaml =
    service('db', `clusterIP: None, selector: { app: db }, ${http}`) +
    pod('near', '10.1.0.1', subdomain, 'True', ', topology.istio.io/network: n1') +
    pod('far', '10.1.0.2', subdomain, 'True', ', topology.istio.io/network: n2');
  const host = 'db.default.svc.cluster.local';
  expect(tableOf(yaml, { proxy: { network: 'n1' } })).toEqual({
    [host]: { ips: ['10.1.0.1'], shortname: 'db', ...kubernetes },
    [`near.${host}`]: { ips: ['10.1.0.1'], shortname: 'near.db', ...kubernetes },
  });
});

test('nameTables: what a Sidecar does not import is not answered (B5.04)', () => {
  const yaml =
    service('a', `clusterIP: 10.0.0.1, ${http}`) +
    service('b', `clusterIP: 10.0.0.2, ${http}`, 'other') +
    `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec: { egress: [{ hosts: ['./*'] }] }
---`;
  expect(Object.keys(tableOf(yaml) as object)).toEqual(['a.default.svc.cluster.local']);
});

test('nameTables: any other name is no resource', () => {
  const { world, scope } = worldAndScope(service('a', `clusterIP: 10.0.0.1, ${http}`));
  expect(nameTables.input(world, scope, 'a.default.svc.cluster.local')).toBeUndefined();
});
