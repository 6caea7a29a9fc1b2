// What must hold on every xDS stream, whatever is in it: fed with a recorded stream, it says what does not.

export interface RecordedRequest {
  readonly typeUrl: string;
  readonly nonce?: string;
  readonly error?: string | undefined;
  /** State of the world: the names of the request. */
  readonly names?: readonly string[];
  /** Delta. */
  readonly subscribe?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly versions?: ReadonlyMap<string, string>;
}

export interface RecordedResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  /** `<time>/<counter>`; left out where there is none to look at. */
  readonly version?: string;
  /** Versions of the resources where the dialect has them. */
  readonly resources: readonly { readonly name: string; readonly version?: string | undefined }[];
  readonly removed?: readonly string[];
}

export interface InvariantOptions {
  readonly dialect: 'sotw' | 'delta';
  /** Types whose first request without names means all of them. */
  readonly wildcardTypes: readonly string[];
  /** Types of which an unchanged resource may come again: something else made it necessary (endpoints of a changed cluster). */
  readonly repeatable?: readonly string[];
}

interface TypeState {
  wildcard: boolean;
  readonly names: Set<string>;
  /** What the client holds, as far as it was sent or said. */
  readonly held: Map<string, string | undefined>;
  /** Asked for since they were sent last, or refused: they may come again unchanged. */
  readonly wanted: Set<string>;
  inFlight: RecordedResponse | undefined;
}

/** Feed it with the requests and responses of one stream in the order in which the server saw them. */
export class XdsInvariants {
  /** What did not hold, oldest first. */
  readonly violations: string[] = [];
  readonly #options: InvariantOptions;
  readonly #types = new Map<string, TypeState>();
  readonly #nonces = new Set<string>();
  #counter = 0;

  constructor(options: InvariantOptions) {
    this.#options = options;
  }

  request(request: RecordedRequest): void {
    const { typeUrl, nonce = '', error } = request;
    const known = this.#types.get(typeUrl);
    const isFirst = known === undefined;
    const state = known ?? newState();
    this.#types.set(typeUrl, state);
    if (error !== undefined && nonce === '') this.#fail(typeUrl, 'a NACK without nonce');
    const isStale = this.#answer(state, nonce, error);
    if (this.#options.dialect === 'delta') this.#namesOfDelta(state, request, isFirst);
    else if (!isStale) this.#namesOfSotw(state, request, isFirst);
  }

  response(response: RecordedResponse): void {
    const { typeUrl, nonce, resources, removed = [] } = response;
    const state = this.#types.get(typeUrl);
    if (state === undefined) {
      this.#fail(typeUrl, 'a response to a type that was never asked for');
      return;
    }
    if (nonce === '') this.#fail(typeUrl, 'a response without nonce');
    if (this.#nonces.has(nonce)) this.#fail(typeUrl, `the nonce ${nonce} a second time`);
    this.#nonces.add(nonce);
    this.#version(response);
    if (state.inFlight !== undefined) this.#fail(typeUrl, 'two responses under way at a time');
    state.inFlight = response;
    if (
      !state.wildcard &&
      state.names.size === 0 &&
      (resources.length > 0 || this.#options.dialect === 'sotw')
    ) {
      this.#fail(typeUrl, 'a response though nothing is subscribed');
    }
    const names = new Set<string>();
    for (const { name, version } of resources) {
      if (names.has(name)) this.#fail(typeUrl, `${name} twice in a response`);
      names.add(name);
      if (!state.wildcard && !state.names.has(name)) this.#fail(typeUrl, `${name}, which is not subscribed`);
      this.#repetition(state, typeUrl, name, version);
      state.held.set(name, version);
      state.wanted.delete(name);
    }
    if (this.#options.dialect === 'sotw' && removed.length > 0)
      this.#fail(typeUrl, 'removals, which SotW has not');
    for (const name of removed) {
      if (names.has(name)) this.#fail(typeUrl, `${name} sent and removed in one response`);
      if (!state.held.has(name) && !state.names.has(name) && !state.wanted.has(name)) {
        this.#fail(typeUrl, `the removal of ${name}, which was neither sent nor asked for`);
      }
      state.held.delete(name);
      state.wanted.delete(name);
    }
    if (removed.join('\n') !== [...removed].sort().join('\n')) this.#fail(typeUrl, 'removals out of order');
  }

  /** Returns whether the nonce is of an older response than the last. */
  #answer(state: TypeState, nonce: string, error: string | undefined): boolean {
    const { inFlight } = state;
    if (nonce === '' || inFlight === undefined) return false;
    if (nonce !== inFlight.nonce) return this.#nonces.has(nonce);
    state.inFlight = undefined;
    // What was refused is not held; it may come again.
    if (error !== undefined) for (const { name } of inFlight.resources) state.wanted.add(name);
    if (error !== undefined) for (const name of inFlight.removed ?? []) state.held.set(name, undefined);
    return false;
  }

  #namesOfDelta(state: TypeState, request: RecordedRequest, isFirst: boolean): void {
    const { typeUrl, subscribe = [], unsubscribe = [], versions = new Map() } = request;
    if (isFirst) {
      state.wildcard = subscribe.length === 0 && this.#options.wildcardTypes.includes(typeUrl);
      for (const [name, version] of versions) state.held.set(name, version);
    } else if (versions.size > 0) this.#fail(typeUrl, 'initial_resource_versions after the first request');
    for (const name of subscribe) {
      if (name === '*') state.wildcard = true;
      else state.names.add(name);
      if (!isFirst || !state.held.has(name)) state.wanted.add(name);
    }
    for (const name of unsubscribe) {
      if (name === '*') state.wildcard = false;
      else state.names.delete(name);
      // Under the wildcard the client is told whether it keeps the resource.
      if (state.wildcard) state.wanted.add(name);
      else state.held.delete(name);
    }
  }

  #namesOfSotw(state: TypeState, { typeUrl, names = [] }: RecordedRequest, isFirst: boolean): void {
    const hasWildcard = this.#options.wildcardTypes.includes(typeUrl);
    if (names.length > 0) state.wildcard = names.includes('*');
    else if (isFirst) state.wildcard = hasWildcard;
    state.names.clear();
    for (const name of names) if (name !== '*') state.names.add(name);
  }

  #repetition(state: TypeState, typeUrl: string, name: string, version: string | undefined): void {
    if (version === undefined || this.#options.repeatable?.includes(typeUrl) === true) return;
    if (state.wanted.has(name) || state.wanted.has('*')) return;
    if (state.held.get(name) === version) this.#fail(typeUrl, `${name} again, unchanged, and nobody asked`);
  }

  #version({ typeUrl, version }: RecordedResponse): void {
    if (version === undefined) return;
    const counter = Number(/^[^/]+\/(\d+)$/.exec(version)?.[1]);
    if (Number.isNaN(counter)) this.#fail(typeUrl, `the version ${version} is no time and counter`);
    if (counter < this.#counter) this.#fail(typeUrl, `the version ${version} after ${this.#counter}`);
    this.#counter = Math.max(this.#counter, counter);
  }

  #fail(typeUrl: string, what: string): void {
    this.violations.push(`${typeUrl.slice(typeUrl.lastIndexOf('.') + 1)}: ${what}`);
  }
}

function newState(): TypeState {
  return {
    wildcard: false,
    names: new Set(),
    held: new Map(),
    wanted: new Set(),
    inFlight: undefined,
  };
}
