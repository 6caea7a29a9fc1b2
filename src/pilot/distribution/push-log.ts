// The push log: what triggered a push, which proxies were sent what for it, and how long it took.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { PushRequest } from '../push/push-request.ts';

/** One response that was sent for a push. */
export interface LoggedResponse {
  /** `pod.namespace` */
  readonly proxy: string;
  /** `CDS` */
  readonly type: string;
  readonly resources: number;
  /** Names that it takes back (delta). */
  readonly removed: number;
  readonly bytes: number;
  /** From the first change to the send. */
  readonly afterMs: number;
}

/** One push, as far as it has come. */
export interface PushRecord {
  readonly id: number;
  readonly version: string;
  /** The newest revision that it holds. */
  readonly revision: number;
  /** Wall time. */
  readonly startedAtMs: number;
  /** Monotonic: when the first of its changes came. */
  readonly startMs: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** Keys of the first objects; `objectCount` is of all. */
  readonly objects: readonly string[];
  readonly objectCount: number;
  readonly connected: number;
  /** Proxies that are still to be looked at. */
  waiting: number;
  /** Names of the proxies that were sent something: the first ones; `proxyCount` is of all. */
  readonly proxies: readonly string[];
  proxyCount: number;
  /** The first ones; `responseCount` is of all. */
  readonly responses: readonly LoggedResponse[];
  responseCount: number;
  resources: number;
  bytes: number;
  /** From the first change, in milliseconds; undefined: not yet. */
  firstSentMs: number | undefined;
  lastSentMs: number | undefined;
  /** When every proxy that was sent something had answered all of it. */
  answeredMs: number | undefined;
}

/** A connection, as the log sees it. */
export interface LoggedConnection {
  /** Unique. */
  readonly id: string;
  /** `pod.namespace` */
  readonly name: string;
}

interface OpenRecord extends PushRecord {
  readonly proxies: string[];
  readonly responses: LoggedResponse[];
  /** Connections that were sent something, and have not answered it all. */
  readonly open: Set<string>;
  readonly isOfOneProxy: boolean;
}

interface ConnectionState {
  readonly name: string;
  record: OpenRecord;
  /** Looked at for every push up to this one. */
  through: number;
}

export interface PushLogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** For the log line. */
  readonly services: () => number;
}

const recordsMax = 200;
const responsesMax = 100;
const objectsMax = 20;

export class PushLog {
  readonly #options: PushLogOptions;
  /** By id, oldest first. */
  readonly #pushes = new Map<number, OpenRecord>();
  /** What proxies were sent because they asked. */
  readonly #requests: OpenRecord[] = [];
  readonly #connections = new Map<string, ConnectionState>();
  #ids = 0;
  #latestPush = 0;

  constructor(options: PushLogOptions) {
    this.#options = options;
  }

  /** Notes a push that is about to be queued for every connection; returns its id. */
  begin(request: PushRequest, version: string, revision: number): number {
    const record = this.#newRecord(request, version, revision, false);
    this.#pushes.set(record.id, record);
    this.#latestPush = record.id;
    for (const oldest of this.#pushes.keys()) {
      if (this.#pushes.size <= recordsMax) break;
      this.#pushes.delete(oldest);
    }
    return record.id;
  }

  connected({ id, name }: LoggedConnection, version: string, revision: number): void {
    const startMs = this.#options.clock.monotonicMs();
    const request: PushRequest = {
      reasons: new Map(),
      configs: new Set(),
      isForced: false,
      startMs,
    };
    const record = this.#newRecord(request, version, revision, true);
    this.#requests.push(record);
    if (this.#requests.length > recordsMax) this.#requests.shift();
    this.#connections.set(id, { name, record, through: this.#latestPush });
  }

  disconnected(id: string): void {
    const state = this.#connections.get(id);
    if (state === undefined) return;
    this.#connections.delete(id);
    this.#passed(state, this.#latestPush);
    this.#answered(state.record, id);
  }

  /** From now on what this connection is sent belongs to this push. */
  reached(id: string, pushId: number | undefined): void {
    const state = this.#connections.get(id);
    const record = pushId === undefined ? undefined : this.#pushes.get(pushId);
    if (state === undefined || record === undefined) return;
    // What is open of the push before goes on as part of this one.
    if (state.record.open.delete(id)) record.open.add(id);
    this.#finish(state.record);
    state.record = record;
  }

  /** The connection has been looked at for a push, and was sent what can be sent at once. */
  passed(id: string, pushId: number | undefined): void {
    const state = this.#connections.get(id);
    if (state !== undefined && pushId !== undefined) this.#passed(state, pushId);
  }

  sent(id: string, response: Omit<LoggedResponse, 'proxy' | 'afterMs'>): void {
    const state = this.#connections.get(id);
    if (state === undefined) return;
    const { record, name } = state;
    const afterMs = this.#options.clock.monotonicMs() - record.startMs;
    record.firstSentMs ??= afterMs;
    record.lastSentMs = afterMs;
    record.answeredMs = undefined;
    record.responseCount++;
    record.resources += response.resources;
    record.bytes += response.bytes;
    if (record.responses.length < responsesMax)
      record.responses.push({ proxy: name, ...response, afterMs: round(afterMs) });
    if (!record.open.has(id)) {
      record.open.add(id);
      if (!record.proxies.includes(name)) {
        record.proxyCount++;
        if (record.proxies.length < responsesMax) record.proxies.push(name);
      }
    }
    const { logger } = this.#options;
    if (logger.enabled('debug')) {
      const { type, resources, bytes } = response;
      logger.debug(
        `${type}: PUSH${reasonText(record)} for node:${name} resources:${resources} size:${byteCount(bytes)}`,
      );
    }
  }

  /** The connection has answered all that it was sent. */
  answered(id: string): void {
    const state = this.#connections.get(id);
    if (state !== undefined) this.#answered(state.record, id);
  }

  /** Oldest first: pushes, and what proxies were sent because they asked, that were sent to anyone. */
  records(proxy?: string): readonly PushRecord[] {
    const all = [
      ...this.#pushes.values(),
      ...this.#requests.filter(({ responseCount }) => responseCount > 0),
    ];
    const wanted =
      proxy === undefined ? all : all.filter(({ proxies }) => proxies.some((name) => name === proxy));
    return wanted.sort((a, b) => a.id - b.id);
  }

  #newRecord(request: PushRequest, version: string, revision: number, isOfOneProxy: boolean): OpenRecord {
    const reasons = isOfOneProxy ? { proxyrequest: 1 } : Object.fromEntries(request.reasons);
    return {
      id: ++this.#ids,
      version,
      revision,
      startedAtMs: this.#options.clock.now(),
      startMs: request.startMs,
      reasons,
      objects: [...request.configs].slice(0, objectsMax),
      objectCount: request.configs.size,
      connected: this.#connections.size,
      waiting: isOfOneProxy ? 0 : this.#connections.size,
      proxies: [],
      proxyCount: 0,
      responses: [],
      responseCount: 0,
      resources: 0,
      bytes: 0,
      firstSentMs: undefined,
      lastSentMs: undefined,
      answeredMs: undefined,
      open: new Set(),
      isOfOneProxy,
    };
  }

  #passed(state: ConnectionState, pushId: number): void {
    if (pushId <= state.through) return;
    for (const [id, record] of this.#pushes) {
      if (id <= state.through || id > pushId) continue;
      record.waiting--;
      if (record.waiting === 0) this.#tell(record);
      this.#finish(record);
    }
    state.through = pushId;
  }

  #answered(record: OpenRecord, id: string): void {
    if (record.open.delete(id)) this.#finish(record);
  }

  #finish(record: OpenRecord): void {
    if (record.waiting > 0 || record.open.size > 0 || record.responseCount === 0) return;
    record.answeredMs ??= this.#options.clock.monotonicMs() - record.startMs;
  }

  /** One line a push, where something was sent; it begins as istiod's. */
  #tell(record: OpenRecord): void {
    const { logger, services, clock } = this.#options;
    if (record.responseCount === 0 || !logger.enabled('info')) return;
    const shown = record.objects.slice(0, 3).join(',');
    const more = record.objectCount > 3 ? `,+${record.objectCount - 3}` : '';
    logger.info(
      `XDS: Pushing Services:${services()} ConnectedEndpoints:${record.connected} Version:${record.version}` +
        ` Revision:${record.revision}${reasonText(record)} trigger:${shown === '' ? '-' : shown + more}` +
        ` proxies:${record.proxyCount} responses:${record.responseCount} resources:${record.resources}` +
        ` size:${byteCount(record.bytes)} time:${round(clock.monotonicMs() - record.startMs)}ms`,
    );
  }
}

function reasonText({ reasons }: PushRecord): string {
  const words = Object.keys(reasons);
  return words.length === 0 ? '' : ` reason:${words.join(',')}`;
}

/** Milliseconds with three digits after the point. */
function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** `512B`, `1.2kB`, `3.4MB`: as istiod's log lines have it. */
export function byteCount(bytes: number): string {
  if (bytes < 1000) return `${bytes}B`;
  const units = ['kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 'B';
  for (const next of units) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return `${value.toFixed(1)}${unit}`;
}
