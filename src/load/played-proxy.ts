// One played proxy: what Envoy would say on its ADS stream, in either dialect, at a fraction of the cost. It keeps
// names and versions, never resources.
import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { isWildcardType, typeUrls } from '../xds/types.ts';
import { readCluster, readListener, readName } from './follow.ts';
import type { NameList, NamePool } from './names.ts';
import { noNames } from './names.ts';
import { MalformedMessage } from '../api/wire-format.ts';
import { deltaRequest, sotwRequest } from './request.ts';
import type { SeenResponse } from './response.ts';
import { readDeltaResponse, readSotwResponse, resourceInAny, resourceInWrapper } from './response.ts';
import type { LoadStream, LoadWire } from './wire.ts';

export type Dialect = 'sotw' | 'delta';

export interface Behaviour {
  /** A response is answered so long after it came. */
  readonly ackAfterMs: number;
  /** Refuses every so many-th response; 0: none. */
  readonly nackEvery: number;
  /** Refuses responses that hold a resource of this name. */
  readonly nackResource?: string | undefined;
  /** Says on a new stream what it has, as a proxy that lost its connection; otherwise as one that has restarted. */
  readonly keepsVersions: boolean;
}

/** Who is told of what proxies see and do. */
export interface LoadObserver {
  /** A response of `bytes`; `names` are not known. */
  received(typeUrl: string, bytes: number, resources: number, removed: number): void;
  requested(bytes: number): void;
  answered(proxy: PlayedProxy, typeUrl: string, isAck: boolean): void;
  /** For the first time on this stream it has all that it asked for. */
  converged(proxy: PlayedProxy, sinceOpenMs: number): void;
  /** The stream ended, and not by the proxy. */
  ended(proxy: PlayedProxy, reason: string): void;
}

export interface PlayedProxyOptions {
  readonly index: number;
  readonly dialect: Dialect;
  /** An encoded Node. */
  readonly node: Uint8Array;
  readonly behaviour: Behaviour;
  readonly wire: LoadWire;
  readonly clock: Clock;
  readonly random: Random;
  readonly pool: NamePool;
  readonly observer: LoadObserver;
}

interface TypeState {
  readonly typeUrl: string;
  /** What is asked for; wildcard types have none. */
  names: NameList;
  /** State of the world: of the last response that was accepted. */
  version: string;
  nonce: string;
  /** Asked for, and not there yet. Undefined: all has come that was asked for. */
  missing: Set<string> | undefined;
  /** A response has come on this stream. */
  answered: boolean;
  /** Delta: what it has, by name. */
  readonly held: Map<string, Held>;
}

interface Held {
  readonly version: string;
  /** Of a cluster its endpoints, of a listener its routes. */
  readonly wants: readonly string[];
}

const service = '/envoy.service.discovery.v3.AggregatedDiscoveryService/';
const methods: Readonly<Record<Dialect, string>> = {
  sotw: `${service}StreamAggregatedResources`,
  delta: `${service}DeltaAggregatedResources`,
};
/** Envoy's back-off between streams. */
const backOffFirstMs = 500;
const backOffMaxMs = 30_000;

export class PlayedProxy {
  readonly #options: PlayedProxyOptions;
  /** In the order in which they were first asked for. */
  readonly #types = new Map<string, TypeState>();
  #stream: LoadStream | undefined;
  #retry: Timer | undefined;
  #openedMs = 0;
  #nodeSent = false;
  #hasConverged = false;
  #responses = 0;
  #backOffMs = backOffFirstMs;
  /** Counts streams, so that a late answer to an old one is dropped. */
  #streamNumber = 0;

  constructor(options: PlayedProxyOptions) {
    this.#options = options;
  }

  get index(): number {
    return this.#options.index;
  }

  /** Whether everything that it asked for on this stream has come. */
  get hasConverged(): boolean {
    return this.#hasConverged;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** `forgets`: as a proxy that has restarted, whatever its behaviour is otherwise. */
  open(forgets = false): void {
    const { behaviour, wire, dialect, index, clock } = this.#options;
    this.#retry?.cancel();
    this.#retry = undefined;
    if (forgets || !behaviour.keepsVersions) this.#types.clear();
    this.#openedMs = clock.monotonicMs();
    this.#nodeSent = false;
    this.#hasConverged = false;
    const number = ++this.#streamNumber;
    this.#stream = wire.open(index, methods[dialect], {
      onMessage: (message) => this.#take(message, number),
      onEnd: (reason) => this.#ended(reason, number),
    });
    if (this.#types.size === 0) this.#subscribe(typeUrls.cluster, noNames);
    else for (const state of this.#types.values()) this.#resubscribe(state);
    // Who says in delta what it has may be told nothing at all: what it has is right.
    if (dialect === 'delta' && this.#types.size > 0) this.#hasConverged = this.#hasAll();
  }

  /** Ends the stream; `reconnect` opens the next. */
  close(): void {
    this.#retry?.cancel();
    this.#streamNumber++;
    this.#stream?.close();
    this.#stream = undefined;
  }

  reconnect(): void {
    this.close();
    this.open();
  }

  #ended(reason: string, number: number): void {
    if (number !== this.#streamNumber) return;
    const { observer, clock, random } = this.#options;
    this.#stream = undefined;
    this.#streamNumber++;
    this.#hasConverged = false;
    observer.ended(this, reason);
    this.#retry = clock.after(random() * this.#backOffMs, () => this.open());
    this.#backOffMs = Math.min(this.#backOffMs * 2, backOffMaxMs);
  }

  #take(message: Uint8Array, number: number): void {
    const { ackAfterMs } = this.#options.behaviour;
    if (ackAfterMs <= 0) {
      this.#apply(message, number);
      return;
    }
    // It is held as long as a proxy that is busy would hold it.
    this.#options.clock.after(ackAfterMs, () => this.#apply(message, number));
  }

  #apply(message: Uint8Array, number: number): void {
    if (number !== this.#streamNumber) return;
    try {
      this.#process(message, number);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#stream?.close();
      this.#ended(`a response cannot be read: ${error.message}`, number);
    }
  }

  #process(message: Uint8Array, number: number): void {
    this.#backOffMs = backOffFirstMs;
    const { dialect, observer } = this.#options;
    const response = dialect === 'sotw' ? readSotwResponse(message) : readDeltaResponse(message);
    observer.received(response.typeUrl, message.length, response.places.length / 2, response.removed.length);
    const state = this.#types.get(response.typeUrl);
    if (state === undefined) return;
    state.nonce = response.nonce;
    const error = this.#refusal(response);
    if (error === undefined) {
      state.version = response.version;
      state.answered = true;
      if (dialect === 'sotw') this.#applySotw(state, response, number);
      else this.#applyDelta(state, response);
    } else this.#answer(state, error);
    this.#checkConverged();
  }

  #refusal(response: SeenResponse): string | undefined {
    const { nackEvery, nackResource } = this.#options.behaviour;
    this.#responses++;
    if (nackEvery > 0 && this.#responses % nackEvery === 0) return 'played: every so many-th is refused';
    if (nackResource === undefined) return undefined;
    const isNamed = this.#names(response).includes(nackResource);
    return isNamed ? `played: ${nackResource} is refused` : undefined;
  }

  #applySotw(state: TypeState, response: SeenResponse, number: number): void {
    const { pool } = this.#options;
    const { bytes, places, typeUrl } = response;
    this.#answer(state, undefined);
    if (typeUrl === typeUrls.cluster) {
      const names: string[] = [];
      for (let at = 0; at < places.length; at += 2) {
        const { start, end } = resourceInAny(bytes, places[at] ?? 0, places[at + 1] ?? 0);
        const { endpointsName } = readCluster(bytes, start, end);
        if (endpointsName !== undefined) names.push(pool.text(endpointsName));
      }
      // Envoy asks again after each change of clusters: those that changed warm until it is answered.
      this.#subscribe(typeUrls.endpoint, pool.list(names));
      this.#subscribeListeners();
    } else if (typeUrl === typeUrls.listener) {
      const names: string[] = [];
      for (let at = 0; at < places.length; at += 2) {
        const { start, end } = resourceInAny(bytes, places[at] ?? 0, places[at + 1] ?? 0);
        for (const name of readListener(bytes, start, end).routeNames) names.push(pool.text(name));
      }
      const list = pool.list(names);
      if (list !== this.#types.get(typeUrls.route)?.names) this.#subscribe(typeUrls.route, list);
    } else if (state.missing !== undefined) {
      this.#came(state, this.#names(response));
    }
    if (number === this.#streamNumber && typeUrl === typeUrls.endpoint) this.#subscribeListeners();
  }

  #applyDelta(state: TypeState, response: SeenResponse): void {
    const { pool } = this.#options;
    const { bytes, places, typeUrl, removed } = response;
    const keeps = this.#options.behaviour.keepsVersions;
    const names: string[] = [];
    for (let at = 0; at < places.length; at += 2) {
      const seen = resourceInWrapper(bytes, places[at] ?? 0, places[at + 1] ?? 0);
      const name = pool.text(seen.name);
      names.push(name);
      if (typeUrl === typeUrls.cluster) {
        const { endpointsName } = readCluster(bytes, seen.start, seen.end);
        const wants = endpointsName === undefined ? [] : [pool.text(endpointsName)];
        state.held.set(name, { version: keeps ? pool.text(seen.version) : '', wants });
      } else if (typeUrl === typeUrls.listener) {
        const wants = readListener(bytes, seen.start, seen.end).routeNames.map((each) => pool.text(each));
        state.held.set(name, { version: keeps ? pool.text(seen.version) : '', wants });
      } else if (keeps) state.held.set(name, { version: pool.text(seen.version), wants: [] });
    }
    for (const name of removed) state.held.delete(name);
    this.#answer(state, undefined);
    if (state.missing !== undefined) this.#came(state, [...names, ...removed]);
    const dependent =
      typeUrl === typeUrls.cluster
        ? typeUrls.endpoint
        : typeUrl === typeUrls.listener
          ? typeUrls.route
          : undefined;
    if (dependent !== undefined)
      this.#subscribe(dependent, pool.list([...state.held.values()].flatMap(({ wants }) => wants)));
    this.#subscribeListeners();
  }

  /** Envoy asks for listeners once its first clusters are warm. */
  #subscribeListeners(): void {
    if (this.#types.has(typeUrls.listener)) return;
    const clusters = this.#types.get(typeUrls.cluster);
    if (clusters?.answered !== true) return;
    if (this.#types.get(typeUrls.endpoint)?.missing !== undefined) return;
    this.#subscribe(typeUrls.listener, noNames);
  }

  #came(state: TypeState, names: Iterable<string>): void {
    for (const name of names) state.missing?.delete(name);
    if (state.missing?.size === 0) state.missing = undefined;
  }

  #names({ bytes, places }: SeenResponse): readonly string[] {
    const names: string[] = [];
    for (let at = 0; at < places.length; at += 2) {
      const [from = 0, to = 0] = [places[at], places[at + 1]];
      if (this.#options.dialect === 'delta') {
        names.push(resourceInWrapper(bytes, from, to).name);
        continue;
      }
      const { name, start, end } = resourceInAny(bytes, from, to);
      names.push(name === '' ? readName(bytes, start, end) : name);
    }
    return names;
  }

  /** Asks for exactly these names. A type is asked for the first time even without any, if it has a wildcard. */
  #subscribe(typeUrl: string, names: NameList): void {
    const before = this.#types.get(typeUrl);
    const isWildcard = isWildcardType(typeUrl);
    if (before === undefined && names === noNames && !isWildcard) return;
    const state = before ?? newType(typeUrl);
    this.#types.set(typeUrl, state);
    const had = state.names;
    state.names = names;
    if (!isWildcard && names !== had) this.#miss(state, had);
    if (this.#options.dialect === 'sotw') {
      this.#sendSotw(state, undefined);
      return;
    }
    if (before !== undefined && names === had) return;
    const old = new Set(had.names);
    const fresh = new Set(names.names);
    for (const name of old) if (!fresh.has(name)) state.held.delete(name);
    this.#send(
      deltaRequest({
        typeUrl,
        nonce: '',
        subscribe: names.names.filter((name) => !old.has(name)),
        unsubscribe: had.names.filter((name) => !fresh.has(name)),
        node: this.#nodeOnce(),
      }),
    );
  }

  /** Names that are new are awaited, those that are gone are not. */
  #miss(state: TypeState, had: NameList): void {
    const old = new Set(had.names);
    const missing = state.missing ?? new Set<string>();
    const fresh = new Set(state.names.names);
    for (const name of missing) if (!fresh.has(name)) missing.delete(name);
    for (const name of fresh) if (!old.has(name)) missing.add(name);
    state.missing = missing.size === 0 ? undefined : missing;
  }

  /** On a new stream: what it had before, with versions. */
  #resubscribe(state: TypeState): void {
    state.nonce = '';
    state.answered = false;
    if (this.#options.dialect === 'sotw') {
      state.missing = state.names === noNames ? undefined : new Set(state.names.names);
      this.#sendSotw(state, undefined);
      return;
    }
    // What it has is not sent again: only the rest is awaited.
    const rest = state.names.names.filter((name) => !state.held.has(name));
    state.missing = rest.length === 0 ? undefined : new Set(rest);
    this.#send(
      deltaRequest({
        typeUrl: state.typeUrl,
        nonce: '',
        subscribe: state.names.names,
        initialVersions: new Map([...state.held].map(([name, { version }]) => [name, version])),
        node: this.#nodeOnce(),
      }),
    );
  }

  #answer(state: TypeState, error: string | undefined): void {
    if (this.#options.dialect === 'sotw') this.#sendSotw(state, error);
    else this.#send(deltaRequest({ typeUrl: state.typeUrl, nonce: state.nonce, error }));
    this.#options.observer.answered(this, state.typeUrl, error === undefined);
  }

  #sendSotw({ typeUrl, version, nonce, names }: TypeState, error: string | undefined): void {
    this.#send(sotwRequest({ typeUrl, version, nonce, names, node: this.#nodeOnce(), error }));
  }

  #nodeOnce(): Uint8Array | undefined {
    if (this.#nodeSent) return undefined;
    this.#nodeSent = true;
    return this.#options.node;
  }

  #send(message: Buffer): void {
    this.#options.observer.requested(message.length);
    this.#stream?.send(message);
  }

  #checkConverged(): void {
    if (this.#hasConverged || !this.#hasAll()) return;
    this.#hasConverged = true;
    this.#options.observer.converged(this, this.#options.clock.monotonicMs() - this.#openedMs);
  }

  #hasAll(): boolean {
    const keptByDelta = this.#options.dialect === 'delta' && this.#options.behaviour.keepsVersions;
    for (const typeUrl of [typeUrls.cluster, typeUrls.listener]) {
      const state = this.#types.get(typeUrl);
      if (state === undefined || !(state.answered || (keptByDelta && state.held.size > 0))) return false;
    }
    for (const { missing } of this.#types.values()) if (missing !== undefined) return false;
    return true;
  }
}

function newType(typeUrl: string): TypeState {
  return {
    typeUrl,
    names: noNames,
    version: '',
    nonce: '',
    missing: undefined,
    answered: false,
    held: new Map(),
  };
}
