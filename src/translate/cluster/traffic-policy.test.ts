import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import { CircuitBreakersSchema } from '../../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { OutlierDetectionSchema } from '../../api/gen/envoy/config/cluster/v3/outlier_detection_pb.js';
import type { LoadBalancer, OutlierDetection } from '../destination-rule.ts';
import { circuitBreakers, loadBalancing, outlierDetection } from './traffic-policy.ts';

const balancing = (balancer?: LoadBalancer) =>
  messageToJson(ClusterSchema, create(ClusterSchema, loadBalancing(balancer)));

test('loadBalancing: LEAST_REQUEST by default and for LEAST_CONN (partly C3.08, T06)', () => {
  for (const balancer of [undefined, {}, { simple: 'LEAST_CONN' }, { simple: 'UNSPECIFIED' }] as const)
    expect(balancing(balancer)).toEqual({ lbPolicy: 'LEAST_REQUEST' });
  expect(balancing({ simple: 'RANDOM' })).toEqual({ lbPolicy: 'RANDOM' });
  expect(balancing({ simple: 'PASSTHROUGH' })).toEqual({ lbPolicy: 'CLUSTER_PROVIDED' });
  // Envoy's zero.
  expect(balancing({ simple: 'ROUND_ROBIN' })).toEqual({});
});

test('loadBalancing: consistent hashing by ring or Maglev, warm-up as slow start (partly C3.08)', () => {
  expect(balancing({ consistentHash: { useSourceIp: true } })).toEqual({
    lbPolicy: 'RING_HASH',
    ringHashLbConfig: { minimumRingSize: '1024' },
  });
  expect(balancing({ consistentHash: { ringHash: { minimumRingSize: 5 } } })).toMatchObject({
    ringHashLbConfig: { minimumRingSize: '5' },
  });
  expect(balancing({ consistentHash: { maglev: {} } })).toEqual({ lbPolicy: 'MAGLEV' });
  expect(balancing({ simple: 'ROUND_ROBIN', warmup: { duration: '10s' } })).toEqual({
    roundRobinLbConfig: {
      slowStartConfig: {
        slowStartWindow: '10s',
        aggression: { defaultValue: 1, runtimeKey: '(' },
        minWeightPercent: { value: 10 },
      },
    },
  });
});

test('circuitBreakers: no limits but those that are set; a retry budget is 20 %, at least 3 (C3.06, T05)', () => {
  const breakers = (...parts: Parameters<typeof circuitBreakers>) =>
    messageToJson(CircuitBreakersSchema, create(CircuitBreakersSchema, circuitBreakers(...parts)));
  const none = 4_294_967_295;
  expect(breakers({ http: { maxRetries: 2 } }, {})).toEqual({
    thresholds: [
      {
        maxConnections: none,
        maxPendingRequests: none,
        maxRequests: none,
        maxRetries: 2,
        trackRemaining: true,
        retryBudget: { budgetPercent: { value: 20 }, minRetryConcurrency: 3 },
      },
    ],
  });
  expect(breakers({}, { percent: 0.2, minRetryConcurrency: 7 })).toMatchObject({
    thresholds: [{ retryBudget: { budgetPercent: { value: 0.2 }, minRetryConcurrency: 7 } }],
  });
});

test('outlierDetection: none unless set; counts of 0 switch a check off; local failures apart on demand (C3.10)', () => {
  const detection = (outlier: OutlierDetection) =>
    messageToJson(OutlierDetectionSchema, create(OutlierDetectionSchema, outlierDetection(outlier) ?? {}));
  expect(outlierDetection(undefined)).toBeUndefined();
  expect(detection({})).toEqual({ enforcingSuccessRate: 0 });
  expect(detection({ consecutive5xxErrors: 0, consecutiveGatewayErrors: 1 })).toEqual({
    enforcingSuccessRate: 0,
    consecutive5xx: 0,
    enforcingConsecutive5xx: 0,
    consecutiveGatewayFailure: 1,
    enforcingConsecutiveGatewayFailure: 100,
  });
  expect(detection({ consecutiveLocalOriginFailures: 4 })).toEqual({ enforcingSuccessRate: 0 });
  expect(detection({ consecutiveLocalOriginFailures: 4, splitExternalLocalOriginErrors: true })).toEqual({
    enforcingSuccessRate: 0,
    enforcingLocalOriginSuccessRate: 0,
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailure: 4,
    enforcingConsecutiveLocalOriginFailure: 100,
  });
});
