// What is to be known of a connected proxy, and how far it can be with a revision. See docs/distribution.md.
import type { HeldResource, StandingRefusal } from '../delivery/delivery.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';

/** A response that is not answered. */
export interface OpenResponse {
  readonly names: readonly string[];
  /** Those of them whose content was new to the proxy. */
  readonly changed: readonly string[];
  /** Monotonic. */
  readonly atMs: number;
}

/** What is to be known of a connected proxy. */
export interface ProxyView {
  /** The client has not read what was written to it. */
  readonly busy: boolean;
  /** Nothing is under way or waiting. */
  readonly idle: boolean;
  /** By type URL. */
  readonly subscriptions: ReadonlyMap<
    string,
    { readonly wildcard: boolean; readonly names: ReadonlySet<string> }
  >;
  /** What it should have of a type; undefined where that cannot be said. */
  target(typeUrl: string): Snapshot | undefined;
  /** What it has accepted under a name. */
  inUseOf(typeUrl: string, name: string): Encoded | undefined;
  inFlight(typeUrl: string): OpenResponse | undefined;
  /** Whether a name is one of those that are sent one by one to find out which is refused. */
  isIsolating(typeUrl: string, name: string): boolean;
  held(): readonly HeldResource[];
  refusals(): readonly StandingRefusal[];
}

/** Why a resource is not acknowledged. See docs/distribution.md. */
export type LagReason =
  | 'queued'
  | 'connecting'
  | 'reading'
  | 'earlier'
  | 'held'
  | 'sent'
  | 'asking'
  | 'isolating';

export interface LaggingResource {
  readonly typeUrl: string;
  readonly name: string;
  readonly reason: LagReason;
  /** Monotonic. */
  readonly sinceMs: number;
  /** Of `held`: for which clusters. Of `asking`: what is not acknowledged. */
  readonly waitsFor?: readonly string[];
}

/** How far a proxy is with a revision. */
export type ProxyState =
  | { readonly state: 'unaffected' }
  /** So long ago that it is not known any more. */
  | { readonly state: 'forgotten' }
  | {
      readonly state: 'acked';
      readonly ackedAtMs: number;
      readonly types: number;
      readonly resources: number;
    }
  | {
      readonly state: 'lagging';
      readonly reason: LagReason;
      /** Monotonic. */
      readonly sinceMs: number;
      readonly types: number;
      readonly ackedTypes: number;
      readonly resources: readonly LaggingResource[];
    }
  | {
      readonly state: 'refused';
      readonly types: number;
      readonly ackedTypes: number;
      readonly refusals: readonly StandingRefusal[];
      readonly resources: readonly LaggingResource[];
    };

/** What tells most, first. */
export const lagOrder: readonly LagReason[] = ['reading', 'sent', 'held', 'isolating', 'earlier', 'asking'];
