import type { JsonValue } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { messageFromJson } from '../../api/any.ts';
import { CircuitBreakersSchema } from '../../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import { StatsStore } from '../stats/stats.ts';
import { compileCircuitBreakers } from './circuit-breakers.ts';

function compiled(config: JsonValue | undefined) {
  const stats = new StatsStore();
  const limits = compileCircuitBreakers(
    config === undefined ? undefined : messageFromJson(CircuitBreakersSchema, config),
    stats.scope('c'),
  );
  const gauge = (name: string): number | undefined =>
    [...stats.gauges()].find(({ id }) => id.name === `c.circuit_breakers.${name}`)?.value;
  return { limits, gauge };
}

test('compileCircuitBreakers: 1024, 1024, 1024 and 3 where nothing is written, for each priority (D6.06)', () => {
  const { limits, gauge } = compiled(undefined);
  for (const priority of [limits.default, limits.high]) {
    const { connections, pendingRequests, requests, retries } = priority;
    expect([connections.max, pendingRequests.max, requests.max]).toEqual([1024, 1024, 1024]);
    for (let retry = 0; retry < 3; retry++) retries.acquire();
    expect(retries.available).toBe(false);
    retries.release();
    expect(retries.available).toBe(true);
  }
  expect(gauge('default.remaining_rq')).toBeUndefined();
});

test('compileCircuitBreakers: track_remaining says what is left, never less than nothing (D6.06)', () => {
  const { limits, gauge } = compiled({
    thresholds: [
      {
        maxConnections: 1,
        maxPendingRequests: 5,
        maxRequests: 4294967295,
        maxRetries: 2,
        trackRemaining: true,
      },
    ],
  });
  const { connections, requests, retries } = limits.default;
  expect(gauge('default.remaining_rq')).toBe(4294967295);
  expect(gauge('default.remaining_pending')).toBe(5);
  requests.acquire();
  retries.acquire();
  // The first connection of a host is made whatever the limit is.
  connections.acquire();
  connections.acquire();
  expect(gauge('default.remaining_rq')).toBe(4294967294);
  expect(gauge('default.remaining_retries')).toBe(1);
  expect(gauge('default.remaining_cx')).toBe(0);
  connections.release();
  connections.release();
  expect(gauge('default.remaining_cx')).toBe(1);
  expect(gauge('high.remaining_rq')).toBeUndefined();
});

test('compileCircuitBreakers: a retry budget is a share of what is under way, and some always (D6.06)', () => {
  const { limits } = compiled({ thresholds: [{ retryBudget: { budgetPercent: { value: 20 } } }] });
  const { requests, retries } = limits.default;
  const room = (): number => {
    let count = 0;
    for (; retries.available; count++) retries.acquire();
    for (let left = count; left > 0; left--) retries.release();
    return count;
  };
  expect(room()).toBe(3);
  for (let request = 0; request < 50; request++) requests.acquire();
  expect(room()).toBe(10);
});
