import { expect, test } from 'vitest';
import { healthCheckAnnotation, healthCheckOf, parseHealthCheck } from './health-check.ts';

test('parseHealthCheck: HTTP and TCP, with what is not written as usual', () => {
  expect(parseHealthCheck('http:/healthz')).toEqual({
    ok: true,
    check: {
      protocol: 'http',
      path: '/healthz',
      intervalMs: 5000,
      timeoutMs: 1000,
      unhealthyThreshold: 3,
      healthyThreshold: 1,
    },
  });
  expect(parseHealthCheck(' tcp  interval=1m timeout=500ms unhealthy=1 healthy=2 ')).toEqual({
    ok: true,
    check: {
      protocol: 'tcp',
      intervalMs: 60_000,
      timeoutMs: 500,
      unhealthyThreshold: 1,
      healthyThreshold: 2,
    },
  });
});

test.each([
  ['', 'must begin with tcp or http:/path'],
  ['grpc', 'must begin with tcp or http:/path'],
  ['http:healthz', 'must begin with tcp or http:/path'],
  ['tcp soon', 'accepted are interval='],
  ['tcp interval=5s interval=6s', 'each once'],
  ['tcp interval=5', 'a duration such as 5s'],
  ['tcp unhealthy=0', 'a number from 1 to 100'],
  ['tcp interval=100ms', 'interval must be 500ms at least'],
  ['tcp interval=1s timeout=2s', 'timeout must not be longer than interval'],
])('parseHealthCheck: %j is refused', (text, error) => {
  const parsed = parseHealthCheck(text);
  expect(parsed.ok ? '' : parsed.error).toContain(error);
  expect(healthCheckOf({ [healthCheckAnnotation]: text })).toBeUndefined();
});
