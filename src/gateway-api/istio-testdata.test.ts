// Istio's own cases of the Gateway API (family `gateway-api` of its test data): inputs as they are, without
// validation, for some break the CRDs on purpose.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { gatewayApiObjects } from '../../test/support/gateway-api-objects.ts';
import type { DiscoveredEntry } from '../../test/support/gateway-api-objects.ts';
import type { TheirObject } from '../../test/support/istio-objects.ts';
import { configOf, theirObjectOf } from '../../test/support/istio-objects.ts';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { withKeyPair } from '../../test/support/key-pair.ts';
import type { Config } from '../config/config.ts';
import { kindKey, kubeGatewayKind } from '../config/config.ts';
import type { HeaderModifier, KubeGatewayConfig, RouteConfig } from '../config/gateway-api-types.ts';
import { parseDurationNs } from '../model/duration.ts';
import { destinationRulesOf, gatewaysOf, routeKinds, statusOf, virtualServicesOf } from './conversion.ts';
import { policyTargets } from './backend-tls.ts';
import { convertRoute } from './routes.ts';
import { headerProblem } from './filters.ts';
import type { HttpRule } from './matches.ts';
import { sortHttpRules } from './matches.ts';
import type { GatewayApiObjects } from './objects.ts';
import { objectKey } from './objects.ts';
import { isGranted } from './references.ts';
import known from './istio-testdata.known-failures.json' with { type: 'json' };

interface Case {
  readonly name: string;
  readonly group: 'convert' | 'route-order' | 'reference-grant' | 'header-filter';
  readonly scope?: string;
  readonly heldOut: boolean;
  readonly input?: string;
  readonly expectedConfigFile?: string;
  readonly expectedStatusFile?: string;
  readonly in?: readonly HttpRule[];
  readonly config?: string;
  readonly queries?: readonly { readonly secret: string; readonly gatewayNamespace: string }[];
  readonly filter?: HeaderModifier;
  readonly expected?: {
    readonly order?: readonly HttpRule[];
    readonly allowed?: readonly boolean[];
    readonly valid?: boolean;
    readonly reason?: string;
  };
}

const folder = istioTestdata('gateway-api');
const domainSuffix = 'domain.suffix';
/** Case -> documents that differ, and why. */
const knownFailures = known as Readonly<
  Record<string, { readonly reason: string; readonly documents: readonly string[] }>
>;

describe.skipIf(folder === undefined)('istio-testdata: gateway-api', () => {
  test('gateway-api: Istio cases (partly C14.02)', (context) => {
    const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as {
      readonly cases: readonly Case[];
    };
    const open = cases.filter(({ heldOut }) => !heldOut);
    const scoped = open.filter(({ scope }) => scope === undefined);
    // Ambient mode, experimental kinds, inference and several clusters are not ours.
    expect(open.length - scoped.length).toBe(8);
    const results = new Map(scoped.map((one) => [one.name, runCase(one)]));
    const failing = [...results].filter(([, differing]) => differing.size > 0);
    const shown = failing.flatMap(([name, differing]) =>
      [...differing].flatMap(([document, text]) =>
        knownFailures[name]?.documents.includes(document) === true ? [] : [`${name}: ${text}`],
      ),
    );
    expect(shown.join('\n')).toBe('');
    // What is listed and holds nevertheless leaves the list.
    const documents = failing.map(([name, differing]) => [name, [...differing.keys()].sort()]);
    const listed = Object.entries(knownFailures).map(([name, one]) => [name, [...one.documents].sort()]);
    expect(Object.fromEntries(documents)).toEqual(Object.fromEntries(listed));
    const failed = failing.length;
    reportFamily(context, { family: 'gateway-api', passed: scoped.length - failed, total: scoped.length });
  });
});

/** What differs, by document: ours and theirs. */
function runCase(one: Case): ReadonlyMap<string, string> {
  if (one.group === 'convert') return convertCase(one);
  if (one.group === 'route-order')
    return difference(
      'order',
      sortHttpRules((one.in ?? []).map((rule) => ({ rule }))).map(({ rule }) => rule),
      one.expected?.order,
    );
  if (one.group === 'reference-grant') return difference('allowed', grants(one), one.expected?.allowed);
  const problem = headerProblem(one.filter ?? {});
  const wanted = one.expected?.valid === true ? undefined : one.expected?.reason;
  return difference('problem', problem?.reason, wanted);
}

function grants({ config = '', queries = [] }: Case): readonly boolean[] {
  const objects = gatewayApiObjects(texts(config).map(configOf));
  return queries.map(({ secret, gatewayNamespace }) => {
    const [namespace = '', name = ''] = secret.replace('kubernetes-gateway://', '').split('/');
    return isGranted(
      objects,
      { kind: kubeGatewayKind, namespace: gatewayNamespace },
      { kind: 'Secret', namespace, name },
    );
  });
}

function convertCase({ input = '', expectedConfigFile = '', expectedStatusFile = '' }: Case) {
  const given = files(input).map(configOf);
  const namespaces = [...new Set(given.map(({ namespace }) => namespace))].filter((name) => name !== '');
  const surroundings = files('fixtures/kubernetes-objects.yaml').map(withKeyPair).map(configOf);
  const all: readonly Config[] = [
    ...surroundings,
    ...given,
    ...namespaces.map((name) =>
      configOf({
        kind: 'Namespace',
        metadata: { name, namespace: '', labels: { 'istio.io/test-name-part': name.split('-')[0] ?? '' } },
      }),
    ),
  ].map((config) => (config.kind === 'GatewayClass' ? { ...config, namespace: '' } : config));
  const objects = gatewayApiObjects(all, discovered(), domainSuffix);
  return new Map([
    ...compare('config', converted(objects, all), files(expectedConfigFile).map(normalConfig)),
    ...compare(
      'status',
      statuses(objects, all),
      files(expectedStatusFile).filter(isJudged).map(normalStatus),
    ),
  ]);
}

/** All that is made of the objects. */
function converted(objects: GatewayApiObjects, all: readonly Config[]): readonly TheirObject[] {
  const gateways = all
    .filter(({ kind }) => kind === kubeGatewayKind)
    .flatMap((gateway) => gatewaysOf(objects, gateway as KubeGatewayConfig));
  const routes = all.filter(({ kind }) => (routeKinds as readonly string[]).includes(kind)) as RouteConfig[];
  const bound = routes.flatMap((route) => {
    const { parts, virtualServices } = convertRoute(objects, route);
    return [
      ...parts.map((part) => part.gateway),
      ...virtualServices.flatMap(({ spec }) => spec.gateways ?? []),
    ];
  });
  const virtualServices = [...new Set(bound)].flatMap((gateway) =>
    virtualServicesOf(objects, gateway, routes),
  );
  const targets = new Map(
    all
      .filter(({ kind }) => kind === 'BackendTLSPolicy')
      .flatMap((policy) => policyTargets(policy as Parameters<typeof policyTargets>[0]))
      .map((target) => [objectKey(target), target]),
  );
  const rules = [...targets.values()].flatMap((target) => destinationRulesOf(objects, target));
  return [...gateways, ...virtualServices, ...rules].map((config) => normalConfig(theirObjectOf(config)));
}

const judged = new Set([
  'GatewayClass',
  'ListenerSet',
  'BackendTLSPolicy',
  kubeGatewayKind,
  ...(routeKinds as readonly string[]),
]);

/** InferencePools and the like have a status in Istio's files, too. */
function isJudged({ apiVersion = '', kind }: TheirObject): boolean {
  return judged.has(kindKey(apiVersion.split('/')[0] ?? '', kind));
}

function statuses(objects: GatewayApiObjects, all: readonly Config[]): readonly TheirObject[] {
  return all
    .filter(({ kind }) => judged.has(kind))
    .flatMap((config) => {
      const status = statusOf(objects, config);
      return status === undefined ? [] : [normalStatus({ ...theirObjectOf(config), status })];
    });
}

/** What a file leaves out and what a default says are the same. */
function normalConfig({ apiVersion = '', kind, metadata, spec }: TheirObject): TheirObject {
  const { annotations = {}, name = '', namespace = '' } = metadata;
  return {
    apiVersion: apiVersion.split('/')[0] ?? '',
    kind,
    metadata: { name, namespace, annotations },
    spec: plain(spec),
  };
}

/** Values that protobuf leaves out. */
const zeros: Readonly<Record<string, unknown>> = { attempts: 0, mode: 'PASSTHROUGH' };

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'string') {
    const nanoseconds = /^[\d.]+(ms|s|m|h)$/.test(value) ? parseDurationNs(value) : undefined;
    return nanoseconds ?? value;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, each]) => zeros[name] !== each)
      .map(([name, each]) => [name, plain(each)])
      .filter(([name, each]) => !(name === 'retries' && Object.keys(each as object).length === 0)),
  );
}

/** Conditions are sets. */
function normalStatus({ kind, metadata, status }: TheirObject): TheirObject {
  return {
    kind,
    metadata: {
      name: metadata.name ?? '',
      namespace: kind === 'GatewayClass' ? '' : (metadata.namespace ?? ''),
    },
    status: withoutTimes(status),
  };
}

function withoutTimes(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(withoutTimes);
    const typeOf = (item: unknown): string | undefined =>
      typeof item === 'object' && item !== null && 'reason' in item && 'type' in item
        ? String(item.type)
        : undefined;
    return items.every((item) => typeOf(item) !== undefined)
      ? items.sort((a, b) => ((typeOf(a) ?? '') < (typeOf(b) ?? '') ? -1 : 1))
      : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'lastTransitionTime')
      .map(([name, each]) => [name, withoutTimes(each)]),
  );
}

function compare(
  part: string,
  ours: readonly TheirObject[],
  theirs: readonly TheirObject[],
): [string, string][] {
  const key = ({ kind, metadata }: TheirObject): string =>
    `${part} ${kind} ${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
  const left = new Map(ours.map((object) => [key(object), object]));
  const right = new Map(theirs.map((object) => [key(object), object]));
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((name) => [
    ...difference(name, left.get(name), right.get(name)),
  ]);
}

function difference(name: string, ours: unknown, theirs: unknown): ReadonlyMap<string, string> {
  const [left, right] = [sortedJson(ours), sortedJson(theirs)];
  return left === right ? new Map() : new Map([[name, `${name}\n  ours ${left}\n  their ${right}`]]);
}

function sortedJson(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'object' && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
        : part,
    ) ?? 'nothing'
  );
}

function discovered(): readonly DiscoveredEntry[] {
  const text = readFileSync(join(folder ?? '', 'fixtures/registry-services.json'), 'utf8');
  const services = JSON.parse(text) as readonly {
    readonly hostname: string;
    readonly namespace: string;
    readonly clusterExternalAddresses?: readonly string[];
    readonly ports: readonly { readonly port: number }[];
  }[];
  return services.map(({ hostname, namespace, clusterExternalAddresses = [], ports }) => ({
    hostname,
    namespace,
    ports: ports.map(({ port }, index) => ({ servicePort: port, endpointPorts: [index === 0 ? 8080 : 0] })),
    addresses: [],
    externalAddresses: clusterExternalAddresses,
    isLoadBalancer: false,
    labels: {},
  }));
}

function files(file: string): readonly TheirObject[] {
  return texts(readFileSync(join(folder ?? '', file), 'utf8'));
}

function texts(text: string): readonly TheirObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const value = parse(document.toString()) as TheirObject | null;
    return value === null ? [] : [value];
  });
}
