// Configs that between them use every field: the files of cases/, and each part of a traffic policy at each of the
// four places where a DestinationRule may have one.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { CorpusCase } from './effects.ts';

export function corpus(): readonly CorpusCase[] {
  return [...fileCases(join(import.meta.dirname, 'cases')), ...policyCases()];
}

/** The first document of a file says for which proxies it is translated. */
function fileCases(folder: string): readonly CorpusCase[] {
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      const end = text.indexOf('\n---');
      const { proxies } = parse(text.slice(0, end)) as Pick<CorpusCase, 'proxies'>;
      return { name: `fields/cases/${file}`, config: text.slice(end + 1), proxies };
    });
}

/** Parts of a traffic policy that are valid together with nothing else. */
const policies: Readonly<Record<string, unknown>> = {
  pools: {
    connectionPool: {
      tcp: {
        maxConnections: 10,
        connectTimeout: '3s',
        idleTimeout: '30s',
        maxConnectionDuration: '1h',
        tcpKeepalive: { probes: 3, time: '60s', interval: '10s' },
      },
      http: {
        http1MaxPendingRequests: 5,
        http2MaxRequests: 6,
        maxRequestsPerConnection: 7,
        maxRetries: 8,
        idleTimeout: '40s',
        useClientProtocol: true,
        maxConcurrentStreams: 9,
      },
    },
  },
  upgrade: {
    connectionPool: {
      http: { h2UpgradePolicy: 'UPGRADE', http2KeepAlive: { interval: '30s', timeout: '5s' } },
    },
  },
  outlier: {
    outlierDetection: {
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailures: 3,
      consecutiveGatewayErrors: 4,
      consecutive5xxErrors: 6,
      interval: '5s',
      baseEjectionTime: '20s',
      maxEjectionPercent: 50,
      minHealthPercent: 10,
    },
  },
  'outlier-old': { outlierDetection: { consecutiveErrors: 3 } },
  simple: { loadBalancer: { simple: 'RANDOM' } },
  warmup: {
    loadBalancer: { simple: 'ROUND_ROBIN', warmup: { duration: '30s', minimumPercent: 20, aggression: 2 } },
  },
  'warmup-old': { loadBalancer: { simple: 'ROUND_ROBIN', warmupDurationSecs: '30s' } },
  'hash-header': {
    loadBalancer: { consistentHash: { httpHeaderName: 'x-user', ringHash: { minimumRingSize: 2048 } } },
  },
  'hash-cookie': {
    loadBalancer: {
      consistentHash: {
        httpCookie: {
          name: 'user',
          path: '/a',
          ttl: '60s',
          attributes: [{ name: 'SameSite', value: 'Strict' }],
        },
        maglev: { tableSize: 101 },
      },
    },
  },
  'hash-ip': { loadBalancer: { consistentHash: { useSourceIp: true, minimumRingSize: 4096 } } },
  'hash-query': { loadBalancer: { consistentHash: { httpQueryParameterName: 'user' } } },
  distribute: {
    loadBalancer: {
      localityLbSetting: {
        enabled: true,
        distribute: [{ from: 'r1/z1/*', to: { 'r1/z1/*': 70, 'r2/z1/*': 30 } }],
      },
    },
    outlierDetection: {},
  },
  failover: {
    loadBalancer: { localityLbSetting: { enabled: true, failover: [{ from: 'r1', to: 'r2' }] } },
    outlierDetection: {},
  },
  'failover-priority': {
    loadBalancer: { localityLbSetting: { failoverPriority: ['topology.istio.io/network', 'version=v1'] } },
    outlierDetection: {},
  },
  tls: {
    tls: {
      mode: 'MUTUAL',
      clientCertificate: '/c.pem',
      privateKey: '/k.pem',
      caCertificates: '/ca.pem',
      caCrl: '/crl.pem',
      subjectAltNames: ['spiffe://x/ns/a/sa/b'],
      sni: 'a.example.com',
    },
  },
  'tls-insecure': { tls: { mode: 'SIMPLE', insecureSkipVerify: true, sni: 'a.example.com' } },
  'tls-credential': { tls: { mode: 'SIMPLE', credentialName: 'client-credential', sni: 'a.example.com' } },
};

/** These stand only for a whole host or subset. */
const wholePolicies: Readonly<Record<string, unknown>> = {
  retryBudget: { retryBudget: { percent: 30, minRetryConcurrency: 4 } },
  tunnel: { tunnel: { protocol: 'POST', targetHost: 'far.example.com', targetPort: 8443 } },
  'proxy-protocol': { proxyProtocol: { version: 'V2' } },
};

const places: Readonly<Record<string, (policy: object) => object>> = {
  host: (policy) => ({ trafficPolicy: policy }),
  'host-port': (policy) => ({ trafficPolicy: { portLevelSettings: [{ port: { number: 80 }, ...policy }] } }),
  subset: (policy) => ({ subsets: [{ name: 'v1', labels: { version: 'v1' }, trafficPolicy: policy }] }),
  'subset-port': (policy) => ({
    subsets: [
      {
        name: 'v1',
        labels: { version: 'v1' },
        trafficPolicy: { portLevelSettings: [{ port: { number: 80 }, ...policy }] },
      },
    ],
  }),
};

const wholePlaces = new Set(['host', 'subset']);

function policyCases(): readonly CorpusCase[] {
  const all = { ...policies, ...wholePolicies };
  return Object.entries(all).flatMap(([policyName, policy]) =>
    Object.entries(places)
      .filter(([place]) => policyName in policies || wholePlaces.has(place))
      .map(([place, at]) => ({
        name: `fields/corpus.ts: ${policyName} at ${place}`,
        config:
          surroundings.map((object) => stringify(object)).join('---\n') +
          `---\n${rule(at(policy as object))}`,
        proxies: [
          {
            proxy: {
              locality: { region: 'r1', zone: 'z1', subzone: '' },
              labels: { 'topology.istio.io/network': 'n1' },
              network: 'n1',
              // DestinationRules with a credential are for gateways.
              ...(policyName === 'tls-credential' && { type: 'router' as const }),
            },
          },
        ],
      })),
  );
}

function rule(spec: object): string {
  return stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'a', namespace: 'default' },
    spec: { host: 'a.example.com', ...spec },
  });
}

const surroundings = [
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'a', namespace: 'default' },
    spec: {
      hosts: ['a.example.com'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      addresses: ['240.0.0.1'],
      ports: [
        { name: 'http', number: 80, protocol: 'HTTP' },
        { name: 'tcp', number: 9000, protocol: 'TCP' },
      ],
      endpoints: [
        { address: '10.0.0.1', locality: 'r1/z1', labels: { version: 'v1' }, network: 'n1' },
        { address: '10.0.0.2', locality: 'r2/z1', labels: { version: 'v1' }, network: 'n1' },
        { address: '10.0.0.3', locality: 'r3/z1', labels: { version: 'v2' }, network: 'n1' },
      ],
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'a', namespace: 'default' },
    spec: {
      hosts: ['a.example.com'],
      http: [
        {
          match: [{ uri: { prefix: '/v1' } }],
          route: [{ destination: { host: 'a.example.com', subset: 'v1' } }],
        },
        { route: [{ destination: { host: 'a.example.com' } }] },
      ],
    },
  },
];
