// Istio's own cases of Ingress (family `ingress` of its test data).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import type { TheirObject } from '../../test/support/istio-objects.ts';
import { configOf, theirObjectOf } from '../../test/support/istio-objects.ts';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import type { Config, GatewayConfig, VirtualServiceConfig } from '../config/config.ts';
import type { IngressClassConfig, IngressConfig } from '../config/ingress-types.ts';
import type { KubeServiceSpec } from '../config/kube-types.ts';
import { defaultMeshConfig } from '../config/mesh-config.ts';
import { isServed } from './class-selection.ts';
import { ingressGateway } from './gateway.ts';
import { ingressHosts, ingressVirtualService } from './virtual-services.ts';

interface Case {
  readonly name: string;
  readonly group: 'convert' | 'convert-facts' | 'class-selection';
  readonly heldOut: boolean;
  readonly input?: string;
  readonly expectedFile?: string;
  readonly objects?: readonly TheirObject[];
  readonly expected?: Readonly<Record<string, unknown>>;
  readonly ingressControllerMode?: string;
  readonly 'annotation kubernetes.io/ingress.class'?: string;
  readonly ingressClass?: { readonly name: string; readonly controller: string } | null;
}

const folder = istioTestdata('ingress');
const mesh = {
  ...defaultMeshConfig,
  domainSuffix: 'mydomain',
  ingressControllerMode: 'DEFAULT' as const,
  ingressService: '',
};

describe.skipIf(folder === undefined)('istio-testdata: ingress', () => {
  test('ingressGateway, ingressVirtualService, isServed: Istio cases (C14.01)', (context) => {
    const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as {
      readonly cases: readonly Case[];
    };
    const open = cases.filter(({ heldOut }) => !heldOut);
    for (const one of open) {
      if (one.group === 'convert') convertCase(one);
      else if (one.group === 'convert-facts') factsCase(one);
      else classCase(one);
    }
    reportFamily(context, { family: 'ingress', passed: open.length, total: open.length });
  });
});

function convertCase({ name, input = '', expectedFile = '' }: Case): void {
  const made = convert(documents(input)).map(theirObjectOf);
  expect(sorted(made), name).toEqual(sorted(documents(expectedFile)));
}

function factsCase({ name, objects = [], expected = {} }: Case): void {
  const { virtualServiceHosts, ...facts } = expected;
  const virtualServices = convert(objects).filter(
    (config): config is VirtualServiceConfig => config.kind === 'VirtualService',
  );
  expect(virtualServices.flatMap(({ spec }) => spec.hosts ?? []).sort(), name).toEqual(virtualServiceHosts);
  for (const [host, fact] of Object.entries(facts)) {
    const { httpRoutes } = fact as { readonly httpRoutes: unknown };
    const rules = virtualServices.find(({ spec }) => spec.hosts?.includes(host))?.spec.http ?? [];
    const shown = rules.map(({ match }) => {
      const uri = match?.[0]?.uri;
      return { uriLength: (uri?.exact ?? uri?.prefix ?? '').length, exact: uri?.exact !== undefined };
    });
    if (typeof httpRoutes !== 'number') expect(shown, `${name}: ${host}`).toEqual(httpRoutes);
    else {
      expect(rules, `${name}: ${host}`).toHaveLength(httpRoutes);
      expect(rules[0]?.match).toBeUndefined();
    }
  }
}

function classCase(one: Case): void {
  const { name, ingressControllerMode = '', ingressClass, expected } = one;
  const annotated = one['annotation kubernetes.io/ingress.class'] ?? '';
  const config: IngressClassConfig | undefined =
    ingressClass === null || ingressClass === undefined
      ? undefined
      : configOf({
          kind: 'IngressClass',
          metadata: { name: ingressClass.name },
          spec: { controller: ingressClass.controller },
        });
  const mode = ingressControllerMode as 'OFF' | 'DEFAULT' | 'STRICT';
  const annotations = annotated === '' ? {} : { 'kubernetes.io/ingress.class': annotated };
  expect(
    isServed({ ingressControllerMode: mode, ingressClass: 'istio' }, { annotations }, config),
    name,
  ).toBe(expected?.['process']);
}

function convert(objects: readonly TheirObject[]): readonly (GatewayConfig | VirtualServiceConfig)[] {
  const configs = objects.map(configOf);
  const ingresses = configs.filter(({ kind }) => kind === 'Ingress') as readonly IngressConfig[];
  const services = configs.filter(({ kind }) => kind === 'Service') as readonly Config<KubeServiceSpec>[];
  const hosts = [...new Set(ingresses.flatMap(ingressHosts))];
  return [
    ...ingresses.map((ingress) => ingressGateway(ingress, mesh)),
    ...hosts.flatMap(
      (host) =>
        ingressVirtualService(host, ingresses, mesh, (namespace, name) =>
          services.find((service) => service.namespace === namespace && service.name === name),
        ) ?? [],
    ),
  ];
}

function documents(file: string): readonly TheirObject[] {
  const text = readFileSync(join(folder ?? '', file), 'utf8');
  return parseAllDocuments(text).flatMap((document) => {
    const value = parse(document.toString()) as TheirObject | null;
    return value === null ? [] : [value];
  });
}

function sorted(objects: readonly TheirObject[]): readonly TheirObject[] {
  const key = ({ kind, metadata }: TheirObject): string => `${kind}/${metadata.name}`;
  return [...objects].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
