import { expect, test } from 'vitest';
import { worldOfYaml } from '../../test/support/world.ts';
import { routesOf } from '../../test/support/translated.ts';
import { formatFieldPath } from '../model/origin.ts';
import { readMeshConfig } from './mesh-config-reader.ts';

const complaintsOf = (text: string): string[] =>
  readMeshConfig(text).findings.map(
    ({ fieldPath, message, severity }) => `${severity} ${formatFieldPath(fieldPath)}: ${message}`,
  );

test('readMeshConfig: default retry policies have the rules of a VirtualService’s retries (partly C5.09, C5.10)', () => {
  const text = `
defaultHttpRetryPolicy: { attempts: 5, retryOn: 'reset,503', perTryTimeout: 1s, backoff: 10ms }
defaultInboundHttpRetryPolicy: { attempts: 0 }
`;
  expect(readMeshConfig(text).meshConfig).toMatchObject({
    defaultHttpRetryPolicy: { attempts: 5, retryOn: 'reset,503', perTryTimeout: '1s', backoff: '10ms' },
    defaultInboundHttpRetryPolicy: { attempts: 0 },
  });
  expect(complaintsOf(text)).toEqual([]);
  expect(complaintsOf('defaultHttpRetryPolicy: { attempts: 0, retryOn: reset }')).toEqual([
    'error defaultHttpRetryPolicy: http retry policy configured when attempts are set to 0 (disabled)',
  ]);
  expect(complaintsOf('defaultInboundHttpRetryPolicy: { attempts: 2, retryOn: what }')[0]).toContain(
    'error defaultInboundHttpRetryPolicy.retryOn: "what" is not a valid retryOn policy',
  );
  expect(complaintsOf('defaultInboundHttpRetryPolicy: { attempts: 2, perTryTimeout: 1s }')).toEqual([
    'warning defaultInboundHttpRetryPolicy.perTryTimeout: is ignored inbound: there is one destination, the application',
  ]);
  expect(complaintsOf('defaultInboundHttpRetryPolicy: { backoff: 10ms }')).toEqual([
    'error defaultInboundHttpRetryPolicy.backoff: backoff configured when attempts are set to 0 (disabled)',
  ]);
});

const config = `
apiVersion: v1
kind: Service
metadata: { name: plain }
spec: { clusterIP: 10.0.0.1, ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: ruled }
spec: { clusterIP: 10.0.0.2, ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ruled }
spec:
  hosts: [ruled]
  http:
    - { match: [{ uri: { prefix: /own } }], retries: { attempts: 1 }, route: [{ destination: { host: ruled } }] }
    - route: [{ destination: { host: ruled } }]
`;

test('routes: the mesh’s retry policy holds where no rule has one (C5.09)', () => {
  expect(worldOfYaml(config).meshConfig().defaultHttpRetryPolicy).toBeUndefined();
  const policies = (mesh: object): unknown[] => {
    const { virtualHosts } = routesOf(config, '80', { mesh }) as {
      virtualHosts: { name: string; routes: { route?: { retryPolicy?: { numRetries?: number } } }[] }[];
    };
    return virtualHosts
      .filter(({ name }) => name !== 'allow_any')
      .flatMap(({ routes }) => routes.map(({ route }) => route?.retryPolicy?.numRetries ?? 'none'));
  };
  expect(policies({})).toEqual([2, 1, 2]);
  expect(policies({ defaultHttpRetryPolicy: { attempts: 7 } })).toEqual([7, 1, 7]);
  expect(policies({ defaultHttpRetryPolicy: { attempts: 0 } })).toEqual(['none', 1, 'none']);
});
