// What a change of the YAML has led to, looked at once things have come to rest: references that lead nowhere,
// and whether the way in from this machine is open.
import type { Clock, Timer } from '../base/clock.ts';
import type { Diagnostic } from '../config/config.ts';
import { kubeGatewayKind } from '../config/config.ts';
import { findDanglingReferences } from '../config/references.ts';
import type { ConfigStore } from '../config/store.ts';
import { unservedGateways } from './unserved-gateways.ts';

export interface ConfigReviewOptions {
  readonly store: ConfigStore;
  readonly clock: Clock;
  readonly domainSuffix: string;
  readonly rootNamespace: string;
  /** Called with what is dangling now; the same may come again. */
  readonly onReferences: (dangling: readonly Diagnostic[]) => void;
  /** Called after each rest that follows a change, once the references have been looked at. */
  readonly onRest: () => void;
}

/** Objects that refer to others, or that others refer to. Pods change too often, and nobody names them. */
const kinds: ReadonlySet<string> = new Set([
  'VirtualService',
  'DestinationRule',
  'Gateway',
  kubeGatewayKind,
  'GRPCRoute',
  'HTTPRoute',
  'Ingress',
  'ListenerSet',
  'Service',
  'ServiceEntry',
  'TCPRoute',
  'TLSRoute',
]);
/** Editors and `git checkout` change several files one after the other: between them much is missing. */
const restMs = 500;

export class ConfigReview {
  readonly #options: ConfigReviewOptions;
  readonly #unsubscribe: () => void;
  #timer: Timer | undefined;

  /** Starts at once: what is there already is looked at after the first rest. */
  constructor(options: ConfigReviewOptions) {
    this.#options = options;
    this.#unsubscribe = options.store.subscribe((changes) => {
      if (changes.some(({ key }) => kinds.has(key.slice(0, key.indexOf('/'))))) this.#wait();
    });
    this.#wait();
  }

  close(): void {
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(restMs, () => this.#look());
  }

  #look(): void {
    const { store, domainSuffix, rootNamespace, onReferences, onRest } = this.#options;
    onReferences([
      ...findDanglingReferences(
        [...kinds].flatMap((kind) => store.list(kind)),
        domainSuffix,
      ),
      ...unservedGateways(store, rootNamespace),
    ]);
    onRest();
  }
}
