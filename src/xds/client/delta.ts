// Incremental xDS: requests say what changed of the names, responses what changed of the resources. The rules are
// Envoy's, which servers have been tested with:
// https://github.com/envoyproxy/envoy/blob/v1.33.0/source/extensions/config_subscription/grpc/delta_subscription_state.cc
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Answer, Dialect, SubscriptionState } from './dialect.ts';
import { errorDetail, refuseUnreadable } from './dialect.ts';
import type { XdsResponse } from './resource.ts';
import { fromWrapper, readAll } from './resource.ts';

const wildcardName = '*';

export const delta: Dialect = {
  name: 'delta',
  decode(bytes) {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    return {
      typeUrl: response.typeUrl,
      nonce: response.nonce,
      versionInfo: response.systemVersionInfo,
      controlPlane: response.controlPlane?.identifier ?? '',
      ...readAll(response.resources, (resource) => fromWrapper(resource, resource.version)),
      removed: response.removedResources,
    };
  },
  createSubscription: (typeUrl, wildcard) => new DeltaSubscription(typeUrl, wildcard),
};

class DeltaSubscription implements SubscriptionState {
  readonly #typeUrl: string;
  readonly #wildcard: boolean;
  #names: ReadonlySet<string> = new Set();
  /** Of what is held, as the server gave them; they live on over streams. */
  readonly #versions = new Map<string, string>();
  /** What the server has not heard of yet. A name that went and came back is asked for anew. */
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();
  /** The names that were said on this stream. */
  #told: ReadonlySet<string> = new Set();
  /** No request was sent on this stream. */
  #fresh = true;

  constructor(typeUrl: string, wildcard: boolean) {
    this.#typeUrl = typeUrl;
    this.#wildcard = wildcard;
  }

  get pending(): boolean {
    if (this.#fresh) return this.#wildcard || this.#names.size > 0;
    return this.#added.size > 0 || this.#removed.size > 0;
  }

  restart(): void {
    this.#fresh = true;
    this.#told = new Set();
    this.#removed.clear();
  }

  setNames(names: ReadonlySet<string>): void {
    for (const name of names) {
      if (this.#names.has(name)) continue;
      this.#removed.delete(name);
      this.#added.add(name);
    }
    for (const name of this.#names) {
      if (names.has(name)) continue;
      this.#added.delete(name);
      if (this.#told.has(name)) this.#removed.add(name);
      // Under a wildcard it may still be held: the server says so if it is not.
      if (!this.#wildcard) this.#versions.delete(name);
    }
    this.#names = new Set(names);
  }

  check(response: XdsResponse): void {
    refuseUnreadable(response);
    const seen = new Set<string>();
    for (const name of [
      ...response.resources.map((resource) => resource.name ?? ''),
      ...(response.removed ?? []),
    ]) {
      if (seen.has(name))
        throw new Error(`duplicate name ${name} found in one response of ${response.typeUrl}`);
      seen.add(name);
    }
  }

  accept(response: XdsResponse): void {
    for (const { name = '', version } of response.resources) {
      if (this.#wildcard || this.#names.has(name)) this.#versions.set(name, version);
    }
    for (const name of response.removed ?? []) this.#versions.delete(name);
  }

  encodeRequest(answer: Answer | undefined, node: Node | undefined): Uint8Array {
    const request = create(DeltaDiscoveryRequestSchema, {
      typeUrl: this.#typeUrl,
      responseNonce: answer?.nonce ?? '',
      ...(this.#fresh ? this.#wholeInterest() : this.#changedInterest()),
    });
    if (node !== undefined) request.node = node;
    if (answer?.error !== undefined) request.errorDetail = errorDetail(answer.error);
    this.#fresh = false;
    this.#told = this.#names;
    this.#added.clear();
    this.#removed.clear();
    return toBinary(DeltaDiscoveryRequestSchema, request);
  }

  /** A server that may be another one is told everything. Nothing but the wildcard is said by saying no name. */
  #wholeInterest(): object {
    const names = sorted(this.#names);
    return {
      resourceNamesSubscribe: this.#wildcard && names.length > 0 ? [wildcardName, ...names] : names,
      initialResourceVersions: Object.fromEntries(this.#versions),
    };
  }

  #changedInterest(): object {
    return {
      resourceNamesSubscribe: sorted(this.#added),
      resourceNamesUnsubscribe: sorted(this.#removed),
    };
  }
}

function sorted(names: ReadonlySet<string>): string[] {
  return [...names].sort((a, b) => (a < b ? -1 : 1));
}
