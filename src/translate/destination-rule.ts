// Which DestinationRule governs a service for a proxy, and what several of one host make together.
import type { DestinationRuleSpec } from '../api/gen/istio-types.js';
import type { DestinationRuleConfig } from '../config/config.ts';
import { originOf } from '../config/config.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import type { Hostname } from '../model/hostname.ts';
import { compareSpecificity, resolveHost } from '../model/hostname.ts';
import type { Origin } from '../model/origin.ts';
import { originAt } from '../model/origin.ts';
import { labelsMatch, sameLabels } from '../model/labels.ts';
import type { ProxyScope } from './resource.ts';
import { visibleService } from './scope.ts';
import type { World } from './world.ts';

export type TrafficPolicy = NonNullable<DestinationRuleSpec['trafficPolicy']>;
type WrittenPool = NonNullable<TrafficPolicy['connectionPool']>;
/** http2KeepAlive is newer than the package of types. */
export type ConnectionPool = Omit<WrittenPool, 'http'> & {
  readonly http?:
    | (NonNullable<WrittenPool['http']> & {
        readonly http2KeepAlive?: {
          readonly interval?: string | undefined;
          readonly timeout?: string | undefined;
        };
      })
    | undefined;
};
/** zoneAwareLbSetting is newer than the package of types. */
export type LoadBalancer = NonNullable<TrafficPolicy['loadBalancer']> & {
  readonly zoneAwareLbSetting?: NonNullable<MeshConfig['zoneAwareLbSetting']>;
};
export type OutlierDetection = NonNullable<TrafficPolicy['outlierDetection']>;

/** A part of a DestinationRule and where it stands. Plain data: it may stand in a resource's input. */
export interface SourcedPolicy {
  readonly policy: TrafficPolicy;
  readonly origin: Origin;
  /** Blocks that stand elsewhere, by path (`tls`, `portLevelSettings/0/tls`): a backend policy's. */
  readonly filled?: Readonly<Record<string, Origin>>;
}

export interface Subset {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly trafficPolicy?: SourcedPolicy;
  readonly origin: Origin;
}

/** One DestinationRule, or several of one namespace for exactly one host, merged. */
export interface EffectiveDestinationRule {
  /** The oldest one's. */
  readonly namespace: string;
  readonly name: string;
  readonly version: string;
  readonly host: Hostname;
  readonly trafficPolicy?: SourcedPolicy;
  readonly subsets: readonly Subset[];
  /** Whether it is for chosen workloads alone (workloadSelector). */
  readonly isForChosenWorkloads: boolean;
  /** Names of subsets that an older rule of the same host has already: these do not count. */
  readonly duplicateSubsets: readonly string[];
  /** Every rule that went in, oldest first. */
  readonly origins: readonly Origin[];
}

/**
 * The DestinationRule of a service for this proxy. Looked for in the proxy's namespace, then in the
 * service's, then in the root namespace; in the first that has any, the most specific host counts.
 * Rules for exactly that host are merged where their exportTo allows it. A rule with workloadSelector
 * counts in its own namespace alone, for the workloads that it selects, and before the others there.
 * Proxies of the root namespace look there first only for what is private to it, so that rules meant
 * for everybody do not hide the service's own. Source: Istio `PushContext.destinationRule`.
 */
export function destinationRuleFor(
  world: World,
  scope: ProxyScope,
  hostname: Hostname,
  direction: 'outbound' | 'inbound' = 'outbound',
): EffectiveDestinationRule | undefined {
  const { namespace, labels } = scope.node;
  const serviceNamespace = visibleService(world, scope, hostname)?.namespace;
  const answer = world.derive(
    `destination-rule/${direction}/${namespace}/${serviceNamespace ?? ''}/${hostname}`,
    (): Answer => {
      const rules = world
        .destinationRulesFor(hostname, namespace)
        // What chosen workloads take in is their Sidecar's to say.
        .filter((rule) => direction === 'outbound' || selectorOf(rule) === undefined);
      if (rules.some((rule) => selectorOf(rule) !== undefined)) return { kind: 'by-labels', rules };
      const asking: Asking = { namespace, labels: {}, serviceNamespace };
      const rule = rules.length === 0 ? undefined : effectiveRule(world.meshConfig(), rules, asking);
      return { kind: 'for-all', rule };
    },
  );
  if (answer.kind === 'for-all') return answer.rule;
  return effectiveRule(world.meshConfig(), answer.rules, { namespace, labels, serviceNamespace });
}

/**
 * Every port and subset of a service asks, and to join thousands of rules takes its time. A rule that others hide
 * changes no answer, and whoever asked is left alone.
 */
type Answer =
  /** Without selectors all workloads of a namespace get the same answer. */
  | { readonly kind: 'for-all'; readonly rule: EffectiveDestinationRule | undefined }
  | { readonly kind: 'by-labels'; readonly rules: readonly DestinationRuleConfig[] };

interface Asking {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceNamespace: string | undefined;
}

function effectiveRule(
  mesh: MeshConfig,
  rules: readonly DestinationRuleConfig[],
  { namespace, labels, serviceNamespace }: Asking,
): EffectiveDestinationRule | undefined {
  const { rootNamespace, domainSuffix, defaultDestinationRuleExportTo } = mesh;
  const within = (owner: string, keep: (rule: DestinationRuleConfig) => boolean) =>
    mostSpecific(
      rules.filter((rule) => rule.namespace === owner && keep(rule)),
      domainSuffix,
    );
  const isPrivate = (rule: DestinationRuleConfig): boolean =>
    exportsOf(rule, defaultDestinationRuleExportTo).every((to) => to === '.' || to === rule.namespace);
  const hasNoSelector = (rule: DestinationRuleConfig): boolean => selectorOf(rule) === undefined;
  const candidates = [
    () => within(namespace, namespace === rootNamespace ? isPrivate : () => true),
    () => (serviceNamespace === undefined ? [] : within(serviceNamespace, hasNoSelector)),
    () => within(rootNamespace, hasNoSelector),
  ];
  for (const candidate of candidates) {
    const found = candidate();
    if (found.length > 0) return choose(found, namespace, labels, domainSuffix);
  }
  return undefined;
}

function selectorOf(rule: DestinationRuleConfig): Readonly<Record<string, string>> | undefined {
  const { workloadSelector } = rule.spec;
  return workloadSelector === undefined ? undefined : (workloadSelector.matchLabels ?? {});
}

function exportsOf(rule: DestinationRuleConfig, defaults: readonly string[]): readonly string[] {
  if (selectorOf(rule) !== undefined) return ['.'];
  const { exportTo } = rule.spec;
  return exportTo === undefined || exportTo.length === 0 ? defaults : exportTo;
}

/** Those whose host is the most specific one; all of them cover the service already. */
function mostSpecific(
  rules: readonly DestinationRuleConfig[],
  domainSuffix: string,
): readonly DestinationRuleConfig[] {
  const hosts = rules.map((rule) => hostOf(rule, domainSuffix));
  const best = [...hosts].sort(compareSpecificity)[0];
  return rules.filter((_rule, index) => hosts[index] === best);
}

function hostOf(rule: DestinationRuleConfig, domainSuffix: string): Hostname {
  return resolveHost(rule.spec.host ?? '', rule.namespace, domainSuffix);
}

/** Of rules for one host: those selecting the workload, else those for everybody. */
function choose(
  rules: readonly DestinationRuleConfig[],
  namespace: string,
  labels: Readonly<Record<string, string>>,
  domainSuffix: string,
): EffectiveDestinationRule | undefined {
  const selecting = rules.filter((rule) => {
    const selector = selectorOf(rule);
    return rule.namespace === namespace && selector !== undefined && labelsMatch(selector, labels);
  });
  const first = selecting[0];
  if (first !== undefined) {
    // Only rules with the same selector are merged.
    const same = selecting.filter((rule) => sameLabels(selectorOf(rule) ?? {}, selectorOf(first) ?? {}));
    return merge(same, domainSuffix);
  }
  const groups: DestinationRuleConfig[][] = [];
  for (const rule of rules) {
    if (selectorOf(rule) !== undefined) continue;
    const group = groups.find(([oldest]) => oldest !== undefined && mayJoin(rule, oldest));
    if (group === undefined) groups.push([rule]);
    else group.push(rule);
  }
  // Rules that cannot be merged stand apart, and the youngest of those is taken (Istio: `SidecarScope.DestinationRule`).
  const last = groups.at(-1);
  return last === undefined ? undefined : merge(last, domainSuffix);
}

/** Whether whoever sees `oldest` sees `rule`, as far as the written lists tell. */
function mayJoin(rule: DestinationRuleConfig, oldest: DestinationRuleConfig): boolean {
  const exports = rule.spec.exportTo ?? [];
  const others = oldest.spec.exportTo ?? [];
  if (others.length === 0) return exports.length === 0;
  return others.every((namespace) => exports.includes(namespace));
}

/**
 * The oldest trafficPolicy is kept, but a backend policy's fills what users left open; subsets are added, of two with
 * one name the older stays.
 */
function merge(
  rules: readonly DestinationRuleConfig[],
  domainSuffix: string,
): EffectiveDestinationRule | undefined {
  const oldest = rules[0];
  if (oldest === undefined) return undefined;
  const trafficPolicy = mergedPolicy(rules);
  const subsets = new Map<string, Subset>();
  const duplicateSubsets: string[] = [];
  for (const rule of rules) {
    for (const [index, subset] of (rule.spec.subsets ?? []).entries()) {
      const name = subset.name ?? '';
      if (subsets.has(name)) {
        duplicateSubsets.push(name);
        continue;
      }
      const origin = originOf(rule, 'spec', 'subsets', index);
      const { trafficPolicy: own } = subset;
      subsets.set(name, {
        name,
        labels: subset.labels ?? {},
        origin,
        ...(own === undefined
          ? {}
          : { trafficPolicy: { policy: own, origin: originAt(origin, 'trafficPolicy') } }),
      });
    }
  }
  return {
    namespace: oldest.namespace,
    name: oldest.name,
    version: oldest.version,
    host: hostOf(oldest, domainSuffix),
    ...(trafficPolicy === undefined ? {} : { trafficPolicy }),
    subsets: [...subsets.values()],
    duplicateSubsets,
    isForChosenWorkloads: selectorOf(oldest) !== undefined,
    origins: rules.map((rule) => originOf(rule)),
  };
}

/** Source: Istio `mergeBackendPolicyTrafficPolicy`. */
function mergedPolicy(rules: readonly DestinationRuleConfig[]): SourcedPolicy | undefined {
  const oldestOf = (isBackendPolicy: boolean): SourcedPolicy | undefined => {
    const rule = rules.find(
      (each) => (each.madeOf !== undefined) === isBackendPolicy && each.spec.trafficPolicy !== undefined,
    );
    const policy = rule?.spec.trafficPolicy;
    return rule === undefined || policy === undefined
      ? undefined
      : { policy, origin: originOf(rule, 'spec', 'trafficPolicy') };
  };
  const user = oldestOf(false);
  const backend = oldestOf(true);
  return user === undefined || backend === undefined ? (user ?? backend) : fillGaps(user, backend);
}

function fillGaps(user: SourcedPolicy, { policy: backend, origin }: SourcedPolicy): SourcedPolicy {
  const filled: Record<string, Origin> = {};
  const fill = <Block extends object>(
    own: Block,
    other: Block,
    ...path: readonly (string | number)[]
  ): Block => {
    for (const block of Object.keys(other)) if (!(block in own)) filled[[...path, block].join('/')] = origin;
    return { ...other, ...own };
  };
  const { portLevelSettings: ports = [], ...blocks } = user.policy;
  const { portLevelSettings: others = [], ...otherBlocks } = backend;
  const merged = ports.map((port, index) => {
    const other = others.find((each) => each.port?.number === port.port?.number);
    return other === undefined ? port : fill(port, other, 'portLevelSettings', index);
  });
  for (const other of others)
    if (!ports.some((each) => each.port?.number === other.port?.number))
      merged.push(fill({}, other, 'portLevelSettings', merged.length));
  const policy: TrafficPolicy = {
    ...fill(blocks, otherBlocks),
    ...(merged.length === 0 ? {} : { portLevelSettings: merged }),
  };
  return { policy, origin: user.origin, filled };
}
