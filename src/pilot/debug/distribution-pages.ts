// /debug/revisions, /debug/pushes, /debug/config_sources: who was sent what, why, and whether it arrived.
import { kindKey } from '../../config/config.ts';
import { kinds } from '../../config/kinds.ts';
import { objectReport, revisionList, revisionReport } from '../distribution/report.ts';
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import type { Answer, DebugPage } from './answers.ts';
import { connectionOf, json, plain } from './answers.ts';

const limitDefault = 50;
const limitMax = 1000;

export const distributionPages: readonly DebugPage[] = [
  {
    path: '/debug/config_sources',
    help: 'Directories and files from which configuration is read',
    answer: (pilot, query) => json({ sources: [...(pilot.options.configSources ?? [])] }, query),
  },
  {
    path: '/debug/pushes',
    help: 'The last pushes: trigger, proxies, responses, bytes, ms; newest last; ?proxyID=, ?limit=',
    answer: pushes,
  },
  {
    path: '/debug/revisions',
    help: 'Who has acknowledged what: ?revision=, or ?kind=&namespace=&name=, with ?proxyID=; or the last ?limit=',
    answer: revisions,
  },
];

function revisions(pilot: PilotServer, query: URLSearchParams): Answer {
  const only = query.has('proxyID') ? connectionOf(pilot, query) : undefined;
  if (isAnswer(only)) return only;
  const kind = query.get('kind');
  if (kind !== null) {
    const known = knownKind(kind);
    if (known === undefined) return plain(400, `kind ${JSON.stringify(kind)} is not one that is read`);
    const name = query.get('name') ?? '';
    if (name === '') return plain(400, 'You must provide a name beside the kind in the query string');
    const namespace = known.isNamespaced ? (query.get('namespace') ?? 'default') : '';
    return json(objectReport(pilot, { kind: known.kind, namespace, name }, only), query);
  }
  const written = query.get('revision');
  if (written === null) {
    const limit = wholeNumber(query.get('limit') ?? String(limitDefault));
    if (limit === undefined) return plain(400, 'limit must be a whole number');
    return json(revisionList(pilot, Math.min(limit, limitMax)), query);
  }
  const revision = wholeNumber(written);
  if (revision === undefined || revision === 0)
    return plain(400, `revision ${JSON.stringify(written)} is not a whole number from 1`);
  return json(revisionReport(pilot, revision, only), query);
}

function pushes(pilot: PilotServer, query: URLSearchParams): Answer {
  const limit = wholeNumber(query.get('limit') ?? String(limitMax));
  if (limit === undefined) return plain(400, 'limit must be a whole number');
  let proxy: string | undefined;
  if (query.has('proxyID')) {
    // A proxy that is gone still stands in the log.
    const found = connectionOf(pilot, query);
    proxy = isAnswer(found) ? (query.get('proxyID') ?? '') : `${found.node.podName}.${found.node.namespace}`;
  }
  const records = pilot.pushLog.records(proxy).slice(limit === 0 ? Number.POSITIVE_INFINITY : -limit);
  return json(
    {
      pushes: records.map((record) => ({
        push: record.id,
        version: record.version,
        revision: record.revision,
        startedAt: new Date(record.startedAtMs).toISOString(),
        reasons: record.reasons,
        objects: record.objects,
        objectCount: record.objectCount,
        connected: record.connected,
        waiting: record.waiting,
        proxies: proxy === undefined ? record.proxies : [proxy],
        proxyCount: record.proxyCount,
        responses: record.responses.filter((each) => proxy === undefined || each.proxy === proxy),
        responseCount: record.responseCount,
        resources: record.resources,
        bytes: record.bytes,
        firstSentMs: rounded(record.firstSentMs),
        lastSentMs: rounded(record.lastSentMs),
        answeredMs: rounded(record.answeredMs),
      })),
    },
    query,
  );
}

function isAnswer(found: ProxyConnection | Answer | undefined): found is Answer {
  return found !== undefined && 'body' in found;
}

/** `virtualservice`, `virtual-service`, `VirtualService`; the Gateway API's Gateway by its long name. */
function knownKind(written: string): { readonly kind: string; readonly isNamespaced: boolean } | undefined {
  const wanted = written.replaceAll('-', '').toLowerCase();
  const found = [...kinds.values()].find(({ kind }) => kind.toLowerCase() === wanted);
  if (found !== undefined) return found;
  return wanted === 'meshconfig' ? { kind: kindKey('', 'MeshConfig'), isNamespaced: false } : undefined;
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function rounded(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 1000) / 1000;
}
