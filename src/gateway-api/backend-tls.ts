// BackendTLSPolicies -> the TLS settings of DestinationRules; and what is to be said of each policy.
import type { DestinationRuleSpec } from '../api/gen/istio-types.js';
import type { DestinationRuleConfig } from '../config/config.ts';
import { gatewayApiGroup, kubeGatewayKind, madeConfig, originOf } from '../config/config.ts';
import type {
  BackendTlsPolicyConfig,
  ParentReference,
  PolicyTargetReference,
} from '../config/gateway-api-types.ts';
import { annotationsOfGateways } from '../model/gateway-origin.ts';
import { serviceHostname } from '../model/hostname.ts';
import { configMapEntries, rootProblem } from '../config/credentials.ts';
import { gatewayController, meshController } from './classes.ts';
import type { Condition, Problem, Verdict } from './conditions.ts';
import { joinConditions } from './conditions.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { objectKey } from './objects.ts';
import { parentKey } from './parents.ts';
import { referredKind } from './references.ts';

export interface PolicyAncestorStatus {
  readonly ancestorRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface PolicyStatus {
  readonly ancestors: readonly PolicyAncestorStatus[];
}

type ClientTls = NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['tls']>;
type PortSettings = NonNullable<
  NonNullable<DestinationRuleSpec['trafficPolicy']>['portLevelSettings']
>[number];

/** Policies say how many ancestors their status may name. */
const ancestorsMax = 16;

/** The Services and ServiceEntries that a policy means, as `ObjectKey`s. */
export function policyTargets({ namespace, spec }: BackendTlsPolicyConfig): readonly ObjectKey[] {
  return spec.targetRefs.flatMap((target) => targetKey(target, namespace) ?? []);
}

/**
 * The DestinationRules of one Service or ServiceEntry: one for each of its hosts. Of several policies for the same
 * port the oldest counts. Source: Istio `DestinationRuleCollection`.
 */
export function backendRules(
  objects: GatewayApiObjects,
  target: ObjectKey,
): readonly DestinationRuleConfig[] {
  const found = findTarget(objects, target);
  if (found === undefined) return [];
  const policies = objects
    .tlsPoliciesOf(target)
    .filter((policy) => !isIgnored(policy))
    .sort(comparePolicies);
  let whole: ClientTls | undefined;
  const ports = new Map<number, PortSettings>();
  const used: BackendTlsPolicyConfig[] = [];
  for (const policy of policies) {
    const references = policy.spec.targetRefs.filter(
      (each) => keyText(targetKey(each, policy.namespace)) === objectKey(target),
    );
    for (const reference of references) {
      if (targetProblem(objects, policy, reference) !== undefined) continue;
      const { tls } = clientTls(objects, policy);
      const { sectionName = '' } = reference;
      const port = sectionName === '' ? undefined : found.ports.get(sectionName);
      if (port === undefined) whole ??= tls;
      else if (!ports.has(port)) ports.set(port, { port: { number: port }, tls });
      if (!used.includes(policy)) used.push(policy);
    }
  }
  const [first] = used;
  if (first === undefined) return [];
  const portLevelSettings = [...ports].sort(([a], [b]) => a - b).map(([, settings]) => settings);
  return found.hosts.map((host) =>
    madeConfig({
      kind: 'DestinationRule',
      namespace: target.namespace,
      name: ruleName(target, host),
      creationTimeMs: 0,
      annotations: {
        [annotationsOfGateways.parents]: used
          .map(({ namespace, name }) => `BackendTLSPolicy/${namespace}.${name}`)
          .join(','),
      },
      spec: {
        host,
        trafficPolicy: {
          ...(whole === undefined ? {} : { tls: whole }),
          ...(portLevelSettings.length === 0 ? {} : { portLevelSettings }),
        },
      },
      madeOf: { whole: originOf(first, 'spec', 'validation'), parts: {} },
    }),
  );
}

/** For the mesh each target is named, then each Gateway whose routes lead to one. Source: Istio `BackendTLSPolicyCollection`. */
export function backendTlsPolicyStatus(
  objects: GatewayApiObjects,
  policy: BackendTlsPolicyConfig,
): PolicyStatus {
  const before = ((policy.status ?? {}) as Partial<PolicyStatus>).ancestors ?? [];
  const ancestor = (
    ancestorRef: ParentReference,
    controllerName: string,
    verdicts: Readonly<Record<string, Verdict>>,
  ): PolicyAncestorStatus => {
    const known = before.find((each) => sameAncestor(each.ancestorRef, ancestorRef));
    return {
      ancestorRef,
      controllerName,
      conditions: joinConditions(known?.conditions, verdicts, policy.generation),
    };
  };
  if (isIgnored(policy)) {
    const problem = {
      reason: 'IgnoredByIstio',
      message: `Ignored by Istio due to annotation ${ignoreAnnotation}=true`,
    };
    const accepted = { Accepted: { ...problem, problem } };
    return joinAncestors(
      before,
      policy.spec.targetRefs.map((target) => ancestor(target, meshController, accepted)),
    );
  }
  const { resolved, accepted, warning } = clientTls(objects, policy);
  const valid = 'Configuration is valid';
  const verdicts: { Accepted: Verdict; ResolvedRefs: Verdict } = {
    Accepted: { reason: 'Accepted', message: `${valid}${warning ?? ''}`, problem: accepted },
    ResolvedRefs: { reason: 'ResolvedRefs', message: valid, problem: resolved },
  };
  const ancestors: PolicyAncestorStatus[] = [];
  const gateways = new Map<string, ObjectKey>();
  for (const target of policy.spec.targetRefs) {
    const problem = targetProblem(objects, policy, target);
    // What is wrong with one target is said of those that follow it, too, as in Istio.
    if (problem !== undefined) verdicts.Accepted = { ...verdicts.Accepted, problem };
    ancestors.push(ancestor(target, meshController, { ...verdicts }));
    const key = targetKey(target, policy.namespace);
    if (key !== undefined && problem?.reason !== 'TargetNotFound')
      for (const gateway of gatewaysLeadingTo(objects, key)) gateways.set(objectKey(gateway), gateway);
  }
  for (const [, { name }] of [...gateways].sort(([a], [b]) => (a < b ? -1 : 1)))
    ancestors.push(
      ancestor({ group: gatewayApiGroup, kind: 'Gateway', name }, gatewayController, { ...verdicts }),
    );
  return joinAncestors(before, ancestors);
}

const ignoreAnnotation = 'istio.io/ignore-policy-attachment';

function isIgnored({ annotations }: BackendTlsPolicyConfig): boolean {
  return annotations[ignoreAnnotation]?.toLowerCase() === 'true';
}

function targetKey({ group, kind, name }: PolicyTargetReference, namespace: string): ObjectKey | undefined {
  const known = referredKind({ group, kind }, '', '');
  return known === 'Service' || known === 'ServiceEntry' ? { kind: known, namespace, name } : undefined;
}

function keyText(key: ObjectKey | undefined): string {
  return key === undefined ? '' : objectKey(key);
}

interface Target {
  readonly hosts: readonly string[];
  /** By name. */
  readonly ports: ReadonlyMap<string, number>;
}

function findTarget(objects: GatewayApiObjects, { kind, namespace, name }: ObjectKey): Target | undefined {
  if (kind === 'Service') {
    const service = objects.service(namespace, name);
    if (service === undefined) return undefined;
    return {
      hosts: [serviceHostname(name, namespace, objects.domainSuffix())],
      ports: new Map((service.spec.ports ?? []).map((port) => [port.name ?? '', port.port])),
    };
  }
  const entry = objects.serviceEntry(namespace, name);
  if (entry === undefined) return undefined;
  const ports = (entry.spec.ports ?? []).map((port): [string, number] => [port.name ?? '', port.number ?? 0]);
  return { hosts: entry.spec.hosts ?? [], ports: new Map(ports) };
}

/** Why a policy does not hold for one of its targets; undefined: it does. */
function targetProblem(
  objects: GatewayApiObjects,
  policy: BackendTlsPolicyConfig,
  target: PolicyTargetReference,
): Problem | undefined {
  const { namespace } = policy;
  const notFound = (message: string): Problem => ({
    reason: 'TargetNotFound',
    message: `targetRefs invalid: ${message}`,
  });
  const key = targetKey(target, namespace);
  if (key === undefined) return notFound(`unsupported reference kind: ${target.kind}`);
  const found = findTarget(objects, key);
  if (found === undefined)
    return notFound(`reference ${namespace}/${target.name} (of kind ${target.kind}) not found`);
  const { sectionName = '' } = target;
  if (sectionName !== '' && !found.ports.has(sectionName))
    return notFound(
      `sectionName "${sectionName}" does not exist in ${target.kind} ${namespace}/${target.name}`,
    );
  const winner = objects
    .tlsPoliciesOf(key)
    .filter((other) => !isIgnored(other) && other.name !== policy.name && comparePolicies(other, policy) < 0)
    .find((other) =>
      other.spec.targetRefs.some(
        (each) =>
          keyText(targetKey(each, other.namespace)) === objectKey(key) &&
          each.sectionName === target.sectionName,
      ),
    );
  return winner === undefined
    ? undefined
    : {
        reason: 'Conflicted',
        message: `Conflicts with BackendTLSPolicy "${winner.name}" targeting the same backend`,
      };
}

function comparePolicies(a: BackendTlsPolicyConfig, b: BackendTlsPolicyConfig): number {
  return a.creationTimeMs - b.creationTimeMs || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

interface PolicyTls {
  readonly tls: ClientTls;
  readonly resolved?: Problem;
  readonly accepted?: Problem;
  readonly warning?: string;
}

/** Where the CA cannot be found, connections must fail rather than trust anybody. Source: Istio `getBackendTLSCredentialName`. */
function clientTls(objects: GatewayApiObjects, { namespace, spec }: BackendTlsPolicyConfig): PolicyTls {
  const { hostname, subjectAltNames = [], wellKnownCACertificates, caCertificateRefs = [] } = spec.validation;
  const names = subjectAltNames.flatMap(
    ({ type, hostname: host, uri }) => (type === 'Hostname' ? host : uri) ?? [],
  );
  const tls: ClientTls = {
    mode: 'SIMPLE',
    sni: hostname,
    ...(names.length === 0 ? {} : { subjectAltNames: names }),
  };
  if (wellKnownCACertificates !== undefined) {
    if (wellKnownCACertificates === 'System') return { tls };
    const message = `Unknown wellKnownCACertificates: ${wellKnownCACertificates}`;
    return { tls, accepted: { reason: 'Invalid', message } };
  }
  const [reference] = caCertificateRefs;
  if (reference === undefined) return { tls };
  const warning =
    caCertificateRefs.length > 1
      ? { warning: '; warning: only the first caCertificateRefs will be used' }
      : {};
  const bad = (reason: string, prefix: string, message: string): PolicyTls => ({
    tls: { ...tls, credentialName: 'invalid://' },
    resolved: { reason, message: `${prefix}: ${message}` },
    accepted: { reason: 'NoValidCACertificate', message: `Certificate reference invalid: ${message}` },
    ...warning,
  });
  const { kind = '', name } = reference;
  const known = referredKind(reference, '', '');
  if (known === undefined)
    return bad('InvalidKind', 'Certificate reference not supported', `unsupported kind ${kind}`);
  const isThere =
    known === 'ConfigMap'
      ? objects.configMap(namespace, name)
      : known === 'Secret'
        ? objects.secret(namespace, name)
        : undefined;
  if (isThere === undefined)
    return bad(
      'InvalidCACertificateRef',
      'Certificate reference not found',
      `reference ${namespace}/${name} (of kind ${kind}) not found`,
    );
  if (known !== 'ConfigMap')
    return bad('InvalidKind', 'Certificate reference invalid', `unsupported reference kind: ${kind}`);
  const problem = rootProblem(configMapEntries(objects.configMap(namespace, name)?.spec ?? {}));
  if (problem !== undefined) return bad('InvalidCACertificateRef', 'Certificate invalid', problem);
  return { tls: { ...tls, credentialName: `configmap://${namespace}/${name}` }, ...warning };
}

/** Gateways that are parents of routes to a Service or ServiceEntry. */
function gatewaysLeadingTo(objects: GatewayApiObjects, target: ObjectKey): readonly ObjectKey[] {
  return objects.routesTo(target).flatMap((route) =>
    (route.spec.parentRefs ?? []).flatMap((reference) => {
      const key = parentKey(reference, route.namespace);
      return key?.kind === kubeGatewayKind ? [key] : [];
    }),
  );
}

function ruleName({ kind, name }: ObjectKey, host: string): string {
  const suffix = 'istio-autogenerated-k8s-gateway';
  return kind === 'ServiceEntry' ? `${name}~${host.replaceAll('.', '-')}~${suffix}` : `${name}~${suffix}`;
}

/** What other controllers say stays; ours is replaced in its place, taken away, or added at the end. */
function joinAncestors(
  before: readonly PolicyAncestorStatus[],
  now: readonly PolicyAncestorStatus[],
): PolicyStatus {
  const left = [...now];
  const kept = before.flatMap((each) => {
    if (each.controllerName !== gatewayController && each.controllerName !== meshController) return [each];
    const index = left.findIndex((one) => sameAncestor(one.ancestorRef, each.ancestorRef));
    return index < 0 ? [] : left.splice(index, 1);
  });
  return { ancestors: [...kept, ...left].slice(0, ancestorsMax) };
}

function sameAncestor(a: ParentReference, b: ParentReference): boolean {
  return (['group', 'kind', 'name', 'namespace', 'sectionName', 'port'] as const).every(
    (field) => a[field] === b[field],
  );
}
