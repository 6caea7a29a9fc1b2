// What /debug/revisions says. Shapes are ours; see docs/distribution.md for the words.
import type { JsonObject } from '@bufbuild/protobuf';
import type { Config } from '../../config/config.ts';
import { configKey, formatDiagnostic, kindName } from '../../config/config.ts';
import { configDigest } from '../../config/config-digest.ts';
import { formatFieldPath } from '../../model/origin.ts';
import { originsIn } from '../delivery/blame.ts';
import type { StandingRefusal } from '../delivery/delivery.ts';
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import { positionOf } from '../source-position.ts';
import type { LaggingResource, ProxyState } from './proxy-state.ts';
import type { ChangedObject, Revision } from './revisions.ts';

/** Proxies, and resources of each, that are listed; counts are of all. */
const proxiesMax = 100;
const resourcesMax = 10;

/** How many proxies are in which state, and how many of their types have arrived. */
interface Counts {
  connected: number;
  affected: number;
  acked: number;
  lagging: number;
  refused: number;
  forgotten: number;
  /** Types that the revision changed, over all affected proxies; `present`: those that are acknowledged. */
  configurations: number;
  present: number;
}

/** The newest `limit` revisions with counts, oldest first. */
export function revisionList(pilot: PilotServer, limit: number): JsonObject {
  const { ledger } = pilot;
  const revisions = ledger.last(limit).map((revision): JsonObject => ({
    ...headOf(revision),
    ...countsJson(revision, [...pilot.connections]),
  }));
  return { ...ledgerHead(pilot), revisions };
}

/** All of one revision. `only`: the one proxy to look at. */
export function revisionReport(
  pilot: PilotServer,
  number: number,
  only: ProxyConnection | undefined,
): JsonObject {
  const { ledger } = pilot;
  const head: JsonObject = { ...ledgerHead(pilot), revision: number };
  if (number > ledger.latest) return { ...head, accepted: false };
  const known = ledger.get(number);
  const revision: Revision = known ?? {
    revision: number,
    acceptedAtMs: 0,
    acceptedMonotonicMs: 0,
    objects: [],
    objectCount: 0,
    relevantThrough: number,
  };
  const connections = only === undefined ? [...pilot.connections] : [only];
  return {
    ...head,
    accepted: true,
    ...(known === undefined ? { coalesced: true } : headOf(known)),
    ...countsJson(revision, connections),
    ...listsOf(pilot, revision, connections),
  };
}

/** Where an object stands, what its present form is, and how far that is. */
export function objectReport(
  pilot: PilotServer,
  object: { readonly kind: string; readonly namespace: string; readonly name: string },
  only: ProxyConnection | undefined,
): JsonObject {
  const { ledger, options } = pilot;
  const key = configKey(object);
  const config = options.store.getByKey(key);
  const known = ledger.ofObject(key);
  const complaints = options.store
    .diagnostics()
    .filter((diagnostic) => diagnostic.object !== undefined && configKey(diagnostic.object) === key);
  return {
    object: {
      kind: kindName(object.kind),
      namespace: object.namespace,
      name: object.name,
      inForce: config !== undefined,
      ...(known === undefined
        ? {}
        : { revision: known.revision, generation: generationOf(config, known.generation) }),
      ...(config === undefined ? {} : formOf(config)),
      diagnostics: complaints.slice(0, resourcesMax).map((diagnostic) => ({
        severity: diagnostic.severity,
        text: formatDiagnostic(diagnostic),
        file: diagnostic.position.file,
        line: diagnostic.position.line,
      })),
    },
    ...(known === undefined ? ledgerHead(pilot) : revisionReport(pilot, known.revision, only)),
  };
}

function formOf(config: Config): JsonObject {
  const { file, line, column } = config.locate([]);
  return {
    apiVersion: config.group === '' ? config.version : `${config.group}/${config.version}`,
    digest: configDigest(config),
    file,
    line,
    column,
  };
}

/** What the object says of itself counts; else the forms that were accepted since the start. */
function generationOf(config: Config | undefined, counted: number): number {
  return config?.generation ?? counted;
}

function ledgerHead({ ledger }: PilotServer): JsonObject {
  return {
    latest: ledger.latest,
    oldest: ledger.oldest,
    startedAt: new Date(ledger.startedAtMs).toISOString(),
  };
}

function headOf({ revision, acceptedAtMs, objects, objectCount }: Revision): JsonObject {
  return {
    revision,
    acceptedAt: new Date(acceptedAtMs).toISOString(),
    objects: objects.map(objectJson),
    objectCount,
  };
}

function objectJson({ key, change }: ChangedObject): JsonObject {
  const [kind = '', namespace = '', name = ''] = key.split('/');
  return { kind: kindName(kind), namespace, name, change };
}

function countsOf(revision: Revision, connections: readonly ProxyConnection[]): Counts {
  const counts: Counts = {
    connected: connections.length,
    affected: 0,
    acked: 0,
    lagging: 0,
    refused: 0,
    forgotten: 0,
    configurations: 0,
    present: 0,
  };
  for (const { distribution } of connections) {
    const state = distribution.stateAt(revision);
    if (state.state === 'unaffected') continue;
    if (state.state === 'forgotten') {
      counts.forgotten++;
      continue;
    }
    counts.affected++;
    counts[state.state]++;
    counts.configurations += state.types;
    counts.present += state.state === 'acked' ? state.types : state.ackedTypes;
  }
  return counts;
}

function countsJson(revision: Revision, connections: readonly ProxyConnection[]): JsonObject {
  return { ...countsOf(revision, connections) };
}

function listsOf(
  pilot: PilotServer,
  revision: Revision,
  connections: readonly ProxyConnection[],
): JsonObject {
  const ackedBy: JsonObject[] = [];
  const laggingBy: JsonObject[] = [];
  const refusedBy: JsonObject[] = [];
  const sorted = connections.toSorted((a, b) => (a.stream.id < b.stream.id ? -1 : 1));
  for (const connection of sorted) {
    const state = connection.distribution.stateAt(revision);
    const proxy = `${connection.node.podName}.${connection.node.namespace}`;
    if (state.state === 'acked') {
      const at = new Date(state.ackedAtMs).toISOString();
      const tookMs = Math.max(0, state.ackedAtMs - revision.acceptedAtMs);
      add(ackedBy, () => ({ proxy, at, tookMs, types: state.types, resources: state.resources }));
    } else if (state.state === 'lagging') add(laggingBy, () => ({ proxy, ...laggingJson(pilot, state) }));
    else if (state.state === 'refused')
      add(refusedBy, () => ({
        proxy,
        refusals: state.refusals
          .slice(0, resourcesMax)
          .map((refusal) => refusalJson(pilot, refusal, revision)),
        resources: state.resources.slice(0, resourcesMax).map((each) => lagJson(pilot, each)),
      }));
  }
  return { ackedBy, laggingBy, refusedBy };
}

function add(list: JsonObject[], make: () => JsonObject): void {
  if (list.length < proxiesMax) list.push(make());
}

function laggingJson(pilot: PilotServer, state: Extract<ProxyState, { state: 'lagging' }>): JsonObject {
  return {
    reason: state.reason,
    since: sinceText(pilot, state.sinceMs),
    resourceCount: state.resources.length,
    resources: state.resources.slice(0, resourcesMax).map((each) => lagJson(pilot, each)),
  };
}

function lagJson(
  pilot: PilotServer,
  { typeUrl, name, reason, sinceMs, waitsFor }: LaggingResource,
): JsonObject {
  return {
    type: pilot.resources.shortName(typeUrl),
    name,
    reason,
    since: sinceText(pilot, sinceMs),
    ...(waitsFor === undefined ? {} : { waitsFor: waitsFor.slice(0, resourcesMax) }),
  };
}

function refusalJson(
  pilot: PilotServer,
  { typeUrl, resource, message, atMs }: StandingRefusal,
  { objects }: Revision,
): JsonObject {
  const changed = new Set(objects.map(({ key }) => key));
  const origins = originsIn(message, resource.provenance);
  // What the revision changed is the likelier culprit.
  const own = resource.provenance
    .map(({ origin }) => origin)
    .filter((origin) => changed.has(configKey(origin)));
  const likely = origins.some((origin) => changed.has(configKey(origin)))
    ? origins.filter((origin) => changed.has(configKey(origin)))
    : [...own.slice(0, 1), ...origins];
  const rows = new Map(
    likely.map((origin) => [`${configKey(origin)} ${formatFieldPath(origin.fieldPath)}`, origin]),
  );
  return {
    type: pilot.resources.shortName(typeUrl),
    name: resource.name,
    message,
    since: new Date(atMs).toISOString(),
    from: [...rows.values()].map((origin) => {
      const position = positionOf(pilot.options.store, origin);
      return {
        kind: kindName(origin.kind),
        namespace: origin.namespace,
        name: origin.name,
        field: formatFieldPath(origin.fieldPath),
        file: position?.file ?? '',
        line: position?.line ?? 0,
        column: position?.column ?? 0,
      };
    }),
  };
}

/** A moment of the monotonic clock, as people read it. */
function sinceText({ clock }: PilotServer, monotonicMs: number): string {
  return new Date(clock.now() - (clock.monotonicMs() - monotonicMs)).toISOString();
}
