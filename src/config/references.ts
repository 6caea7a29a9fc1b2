// References among objects that lead nowhere: gateways, hosts, ports and subsets that are named and not there.
// What is missing here may be elsewhere (another folder, a registry), so these are warnings.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import { isExportedTo } from '../model/export.ts';
import { resolveGatewayName } from '../model/gateway-name.ts';
import { hostnameCovers, resolveHost, serviceHostname } from '../model/hostname.ts';
import type { FieldPath } from '../model/origin.ts';
import type {
  Config,
  DestinationRuleConfig,
  Diagnostic,
  ServiceEntryConfig,
  VirtualServiceConfig,
} from './config.ts';
import { delegateKey, isDelegate } from './delegates.ts';
import { configKey } from './config.ts';
import type { Lookup } from './gateway-api-references.ts';
import { checkRouteReferences } from './gateway-api-references.ts';
import type { KubeServiceSpec } from './kube-types.ts';
import { comparePositions } from './store.ts';

/** What every reference that leads nowhere is said of; sorted by position. */
export function findDanglingReferences(
  configs: readonly Config[],
  domainSuffix = 'cluster.local',
): readonly Diagnostic[] {
  const known = knownNames(configs, domainSuffix);
  const diagnostics: Diagnostic[] = [];
  const byKey = new Map(configs.map((config) => [configKey(config), config]));
  const find: Lookup = (kind, namespace, name) => byKey.get(configKey({ kind, namespace, name }));
  for (const config of configs) {
    const warn: Warn = (message, ...fieldPath) =>
      void diagnostics.push({
        severity: 'warning',
        code: 'dangling-reference',
        message,
        position: config.locate(fieldPath),
        object: { kind: config.kind, namespace: config.namespace, name: config.name },
        fieldPath,
      });
    if (config.kind === 'VirtualService') checkVirtualService(config as VirtualServiceConfig, known, warn);
    checkRouteReferences(config, find, warn);
    if (config.kind === 'DestinationRule') checkDestinationRule(config as DestinationRuleConfig, known, warn);
  }
  return diagnostics.sort((a, b) => comparePositions(a.position, b.position));
}

type Warn = (message: string, ...fieldPath: FieldPath) => void;

interface KnownNames {
  readonly domainSuffix: string;
  /** `namespace/name` */
  readonly gateways: ReadonlySet<string>;
  /** Hosts with their ports; undefined: any port. */
  readonly hosts: ReadonlyMap<string, ReadonlySet<number> | undefined>;
  readonly rules: readonly { readonly host: string; readonly subsets: ReadonlySet<string> }[];
  /** `namespace/name` */
  readonly virtualServices: ReadonlyMap<string, VirtualServiceConfig>;
}

interface Destination {
  readonly host?: string | undefined;
  readonly subset?: string | undefined;
  readonly port?: { readonly number?: number | undefined } | undefined;
}

function knownNames(configs: readonly Config[], domainSuffix: string): KnownNames {
  const gateways = new Set<string>();
  const hosts = new Map<string, ReadonlySet<number> | undefined>();
  const rules: { host: string; subsets: ReadonlySet<string> }[] = [];
  const virtualServices = new Map<string, VirtualServiceConfig>();
  for (const config of configs) {
    const { kind, namespace, name } = config;
    if (kind === 'Gateway') gateways.add(`${namespace}/${name}`);
    else if (kind === 'VirtualService')
      virtualServices.set(`${namespace}/${name}`, config as VirtualServiceConfig);
    else if (kind === 'Service') {
      const { ports } = config.spec as KubeServiceSpec;
      const numbers = new Set((ports ?? []).map(({ port }) => port));
      hosts.set(serviceHostname(name, namespace, domainSuffix), numbers.size === 0 ? undefined : numbers);
    } else if (kind === 'ServiceEntry') {
      const { spec } = config as ServiceEntryConfig;
      const numbers = new Set((spec.ports ?? []).map(({ number }) => number ?? 0));
      for (const host of spec.hosts ?? []) hosts.set(host.toLowerCase(), numbers);
    } else if (kind === 'DestinationRule') {
      const { spec } = config as DestinationRuleConfig;
      const subsets = new Set((spec.subsets ?? []).map((subset) => subset.name ?? ''));
      rules.push({ host: resolveHost(spec.host ?? '', namespace, domainSuffix), subsets });
    }
  }
  return { domainSuffix, gateways, hosts, rules, virtualServices };
}

function checkVirtualService(config: VirtualServiceConfig, known: KnownNames, warn: Warn): void {
  const { spec, namespace } = config;
  const checkGateways = (names: readonly string[] | undefined, ...path: FieldPath): void => {
    for (const [index, name] of (names ?? []).entries()) {
      const full = resolveGatewayName(name, namespace);
      if (full !== 'mesh' && !known.gateways.has(full)) warn(`there is no Gateway ${full}`, ...path, index);
    }
  };
  checkGateways(spec.gateways, 'spec', 'gateways');
  for (const [index, { delegate }] of (spec.http ?? []).entries())
    if (delegate !== undefined)
      checkDelegate(config, delegateKey(delegate, config), known, (message) =>
        warn(message, 'spec', 'http', index, 'delegate'),
      );
  for (const { destination, path } of destinationsOf(spec)) {
    const host = resolveHost(destination.host ?? '', namespace, known.domainSuffix);
    checkDestination(host, destination, known, (message, ...field) => warn(message, ...path, ...field));
  }
}

function checkDelegate(
  root: VirtualServiceConfig,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  known: KnownNames,
  warn: Warn,
): void {
  const delegate = known.virtualServices.get(`${namespace}/${name}`);
  const full = `${namespace}/${name}`;
  if (delegate === undefined) warn(`there is no VirtualService ${full}: the rule is left out`);
  else if (!isDelegate(delegate))
    warn(`VirtualService ${full} has hosts, so it is no delegate: the rule is left out`);
  else if (!mayBeExportedTo(delegate, root.namespace))
    warn(`VirtualService ${full} is not exported to ${root.namespace}: the rule is left out`);
}

/** As far as the object itself says; the mesh may have another default. */
function mayBeExportedTo({ spec, namespace }: VirtualServiceConfig, client: string): boolean {
  const { exportTo = [] } = spec;
  return exportTo.length === 0 || isExportedTo(exportTo, namespace, client);
}

function* destinationsOf(
  spec: VirtualServiceSpec,
): Generator<{ readonly destination: Destination; readonly path: FieldPath }> {
  for (const kind of ['http', 'tcp', 'tls'] as const)
    for (const [ruleIndex, rule] of (spec[kind] ?? []).entries())
      for (const [index, { destination }] of (rule.route ?? []).entries())
        if (destination !== undefined)
          yield { destination, path: ['spec', kind, ruleIndex, 'route', index, 'destination'] };
  for (const [ruleIndex, rule] of (spec.http ?? []).entries()) {
    if (rule.mirror !== undefined)
      yield { destination: rule.mirror, path: ['spec', 'http', ruleIndex, 'mirror'] };
    for (const [index, { destination }] of (rule.mirrors ?? []).entries())
      if (destination !== undefined)
        yield { destination, path: ['spec', 'http', ruleIndex, 'mirrors', index, 'destination'] };
  }
}

function checkDestination(host: string, destination: Destination, known: KnownNames, warn: Warn): void {
  const service = findHost(host, known);
  if (service === undefined) {
    warn(missingHost(host, known), 'host');
    return;
  }
  const port = destination.port?.number;
  if (port !== undefined && service.ports?.has(port) === false)
    warn(`${host} has no port ${port}; it has ${someOf([...service.ports])}`, 'port', 'number');
  const { subset = '' } = destination;
  if (subset === '') return;
  const rules = known.rules.filter((rule) => hostnameCovers(rule.host, host));
  if (rules.some((rule) => rule.subsets.has(subset))) return;
  const subsets = rules.flatMap((rule) => [...rule.subsets]);
  warn(
    subsets.length === 0
      ? `no DestinationRule of ${host} has subsets`
      : `no DestinationRule of ${host} has a subset "${subset}"; there are ${someOf(subsets)}`,
    'subset',
  );
}

function checkDestinationRule(config: DestinationRuleConfig, known: KnownNames, warn: Warn): void {
  const host = resolveHost(config.spec.host ?? '', config.namespace, known.domainSuffix);
  const isUsed =
    findHost(host, known) !== undefined || [...known.hosts.keys()].some((name) => hostnameCovers(host, name));
  if (!isUsed) warn(missingHost(host, known), 'spec', 'host');
}

function findHost(
  host: string,
  known: KnownNames,
): { readonly ports: ReadonlySet<number> | undefined } | undefined {
  if (known.hosts.has(host)) return { ports: known.hosts.get(host) };
  for (const [name, ports] of known.hosts)
    if (name.startsWith('*') && hostnameCovers(name, host)) return { ports };
  return undefined;
}

/** Names with a dot are taken as they are, which is where most of these mistakes come from. */
function missingHost(host: string, known: KnownNames): string {
  const [name = '', namespace = ''] = host.split('.');
  const meant = serviceHostname(name, namespace, known.domainSuffix);
  const hint = host !== meant && known.hosts.has(meant) ? `; did you mean ${meant}?` : '';
  return `there is no Service or ServiceEntry with the host ${host}${hint}`;
}

/** A message is for reading: ten names, and how many more. */
function someOf(names: readonly (string | number)[]): string {
  const shown = names.slice(0, 10).join(', ');
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown;
}
