// What Ingresses and Gateway API objects of Istio's test data come to, in stock Envoy.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { envoyBootstrapOf, validateInEnvoy } from '../../../test/support/envoy-validate.ts';
import type { TheirObject } from '../../../test/support/istio-objects.ts';
import { configOf } from '../../../test/support/istio-objects.ts';
import { istioTestdata } from '../../../test/support/istio-testdata.ts';
import { withKeyPair } from '../../../test/support/key-pair.ts';
import { needs } from '../../../test/support/tools.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import type { Config } from '../../config/config.ts';
import type { KubeServiceSpec } from '../../config/kube-types.ts';
import { proxyScope } from '../../translate/scope.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-envoy-'));
afterAll(() => rmSync(directory, { recursive: true }));
const gatewayApi = istioTestdata('gateway-api');
const ingress = istioTestdata('ingress');
const inputs = [gatewayApi, ingress].flatMap((folder) =>
  folder === undefined
    ? []
    : readdirSync(join(folder, 'convert'))
        .filter((file) => file.endsWith('.yaml'))
        .map((file) => join(folder, 'convert', file)),
);

for (const file of inputs) {
  const name = file.split('/').at(-1)?.replace('.yaml', '') ?? '';
  test.skipIf(needs('envoy'))(`PilotWorld: stock Envoy takes the Gateways of ${name}`, () => {
    const fixtures =
      gatewayApi === undefined ? [] : objects(join(gatewayApi, 'fixtures/kubernetes-objects.yaml'));
    const given = [...fixtures.map(withKeyPair), ...objects(file)].map(configOf).map(ours);
    const world = worldOf(given, { domainSuffix: 'domain.suffix', ingressControllerMode: 'DEFAULT' });
    const gateway = proxyNode({
      type: 'router',
      namespace: 'istio-system',
      labels: { istio: 'ingressgateway' },
    });
    for (const node of [gateway, proxyNode({ workloadCertificates: false })]) {
      const bootstrap = envoyBootstrapOf(world, proxyScope(world, node));
      expect(validateInEnvoy(bootstrap, join(directory, `${node.type}-${name}.json`))).toContain("' OK");
    }
  });
}

/** Istio's fixtures have no addresses, and its ingress gateway no selector. */
function ours(config: Config, index: number): Config {
  if (config.kind === 'GatewayClass') return { ...config, namespace: '' };
  if (config.kind !== 'Service') return config;
  const spec = config.spec as KubeServiceSpec;
  const isGateway = config.name === 'istio-ingressgateway';
  return {
    ...config,
    spec: {
      ...spec,
      clusterIP: `10.96.${Math.floor(index / 200)}.${(index % 200) + 1}`,
      ...(isGateway ? { selector: { istio: 'ingressgateway' } } : {}),
    },
  };
}

function objects(file: string): readonly TheirObject[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).flatMap((document) => {
    const value = parse(document.toString()) as TheirObject | null;
    return value === null ? [] : [value];
  });
}
