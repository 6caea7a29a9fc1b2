// Configs that between them use every field: the files of cases/, and each part of a traffic policy at each of the
// four places where a DestinationRule may have one.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { CorpusCase } from './effects.ts';
import { policies } from './policies.ts';

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
        only: ['DestinationRule'],
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
        { address: '10.0.0.3', locality: 'r3/z1', labels: { version: 'v1' }, network: 'n1' },
        { address: '10.0.0.4', locality: 'r1/z2', labels: { version: 'v2' }, network: 'n1' },
      ],
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'a', namespace: 'default' },
    spec: {
      hosts: ['a.example.com'],
      tcp: [{ match: [{ port: 9000 }], route: [{ destination: { host: 'a.example.com', subset: 'v1' } }] }],
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
