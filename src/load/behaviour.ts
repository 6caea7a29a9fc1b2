// Who behaves how, from shares of all proxies.
import type { Behaviour } from './played-proxy.ts';

export interface BehaviourShares {
  /** Percent of proxies. */
  readonly lagging: number;
  readonly ackAfter: number;
  readonly slowReaders: number;
  /** Bytes a second. */
  readonly readRate: number;
  readonly nacking: number;
  readonly nackEvery: number;
  readonly nackResource?: string | undefined;
  readonly keepsVersions: boolean;
}

export interface BehaviourPlan {
  readonly behaviour: (index: number) => Behaviour;
  readonly bytesPerSecond: (index: number) => number | undefined;
}

/** The same proxies for the same shares, spread evenly; each share on its own, so that some may both lag and refuse. */
export function behaviours(shares: BehaviourShares): BehaviourPlan {
  const { lagging, ackAfter, slowReaders, readRate, nacking, nackEvery, nackResource, keepsVersions } =
    shares;
  return {
    behaviour: (index) => {
      const refuses = isAmong(nacking, index);
      return {
        ackAfterMs: isAmong(lagging, index) ? ackAfter : 0,
        nackEvery: refuses && nackResource === undefined ? nackEvery : 0,
        nackResource: refuses ? nackResource : undefined,
        keepsVersions,
      };
    },
    bytesPerSecond: (index) => (isAmong(slowReaders, index) ? readRate : undefined),
  };
}

/** Of any hundred proxies in a row, `percent` are. */
function isAmong(percent: number, index: number): boolean {
  return Math.floor(((index + 1) * percent) / 100) > Math.floor((index * percent) / 100);
}
