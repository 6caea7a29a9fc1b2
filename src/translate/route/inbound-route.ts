// Inbound routes of sidecars: everything goes to the application's port. They stand inside the listener.
import { create } from '@bufbuild/protobuf';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { durationOf } from '../proto-values.ts';
import { defaultRouteName, serviceOperation } from './build-route.ts';
import { buildRouteMatch } from './match.ts';
import { buildInboundRetryPolicy } from './retry.ts';
import type { HttpRetry } from './route-input.ts';

export interface InboundRouteInput {
  readonly cluster: string;
  /** The service that the port belongs to; empty where it belongs to none. */
  readonly hostname: string;
  /** 0 where it belongs to none. */
  readonly servicePort: number;
  /** gRPC streams must not be tried again: they may have begun. */
  readonly grpc: boolean;
  /** MeshConfig.defaultInboundHttpRetryPolicy. Absent: Istio's own. */
  readonly retries?: HttpRetry;
}

/** One virtual host `inbound|http|<port>` for every host; no timeout of its own, neither gRPC's. */
export function buildInboundRoutes(input: InboundRouteInput): RouteConfiguration {
  const noTimeout = durationOf('0s');
  const retryPolicy = input.grpc ? undefined : buildInboundRetryPolicy(input.retries);
  return create(RouteConfigurationSchema, {
    name: input.cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: `inbound|http|${input.servicePort}`,
        domains: ['*'],
        routes: [
          {
            name: defaultRouteName,
            match: buildRouteMatch(undefined),
            decorator: { operation: serviceOperation(input.hostname, input.servicePort) },
            action: {
              case: 'route',
              value: {
                clusterSpecifier: { case: 'cluster', value: input.cluster },
                ...(noTimeout === undefined
                  ? {}
                  : {
                      timeout: noTimeout,
                      maxStreamDuration: { maxStreamDuration: noTimeout, grpcTimeoutHeaderMax: noTimeout },
                    }),
                ...(retryPolicy === undefined ? {} : { retryPolicy }),
              },
            },
          },
        ],
      },
    ],
  });
}
