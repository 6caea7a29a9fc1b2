// State of the world: a request says all names, a response of a wildcard type holds all resources.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Answer, Dialect, SubscriptionState } from './dialect.ts';
import { errorDetail, refuseUnreadable, sameNames } from './dialect.ts';
import type { XdsResponse } from './resource.ts';
import { readAll, unwrapResource } from './resource.ts';

export const sotw: Dialect = {
  name: 'sotw',
  decode(bytes) {
    const response = fromBinary(DiscoveryResponseSchema, bytes);
    return {
      typeUrl: response.typeUrl,
      nonce: response.nonce,
      versionInfo: response.versionInfo,
      controlPlane: response.controlPlane?.identifier ?? '',
      ...readAll(response.resources, (any) => unwrapResource(any, response.versionInfo)),
      removed: undefined,
    };
  },
  createSubscription: (typeUrl, wildcard) => new SotwSubscription(typeUrl, wildcard),
};

class SotwSubscription implements SubscriptionState {
  readonly #typeUrl: string;
  readonly #wildcard: boolean;
  #names: ReadonlySet<string> = new Set();
  /** Of the last response that was accepted; lives on over streams. */
  #version = '';
  /** Of the last response on this stream. */
  #nonce = '';
  /** A request was sent on this stream: an empty list of names must now be said aloud. */
  #requested = false;
  #changed = false;

  constructor(typeUrl: string, wildcard: boolean) {
    this.#typeUrl = typeUrl;
    this.#wildcard = wildcard;
  }

  get pending(): boolean {
    return this.#requested ? this.#changed : this.#wildcard || this.#names.size > 0;
  }

  restart(): void {
    this.#nonce = '';
    this.#requested = false;
  }

  setNames(names: ReadonlySet<string>): void {
    if (sameNames(this.#names, names)) return;
    this.#names = new Set(names);
    this.#changed = true;
  }

  check(response: XdsResponse): void {
    refuseUnreadable(response);
  }

  accept(response: XdsResponse): void {
    this.#version = response.versionInfo;
  }

  encodeRequest(answer: Answer | undefined, node: Node | undefined): Uint8Array {
    if (answer !== undefined) this.#nonce = answer.nonce;
    const names = [...this.#names].sort((a, b) => (a < b ? -1 : 1));
    const request = create(DiscoveryRequestSchema, {
      typeUrl: this.#typeUrl,
      versionInfo: this.#version,
      responseNonce: this.#nonce,
      // Without names it would mean "all and nothing else"; with names the wildcard must be among them.
      resourceNames: this.#wildcard && names.length > 0 ? ['*', ...names] : names,
    });
    if (node !== undefined) request.node = node;
    if (answer?.error !== undefined) request.errorDetail = errorDetail(answer.error);
    this.#requested = true;
    this.#changed = false;
    return toBinary(DiscoveryRequestSchema, request);
  }
}
