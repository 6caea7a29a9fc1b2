// The discovery services of Envoy's API, by their names on the wire: one for all types, and one a type (B1.03).
import { typeUrls } from './types.ts';

export interface DiscoveryService {
  /** Full name of the gRPC service. */
  readonly name: string;
  /** The only type that it serves; undefined: all of them, one stream. */
  readonly typeUrl: string | undefined;
  /** State of the world. */
  readonly stream: string;
  readonly delta: string;
  /** One request, one response. */
  readonly fetch: string | undefined;
}

function singleType(folder: string, service: string, plural: string, typeUrl: string): DiscoveryService {
  return {
    name: `envoy.service.${folder}.v3.${service}`,
    typeUrl,
    stream: `Stream${plural}`,
    delta: `Delta${plural}`,
    fetch: `Fetch${plural}`,
  };
}

export const discoveryServices: readonly DiscoveryService[] = [
  {
    name: 'envoy.service.discovery.v3.AggregatedDiscoveryService',
    typeUrl: undefined,
    stream: 'StreamAggregatedResources',
    delta: 'DeltaAggregatedResources',
    fetch: undefined,
  },
  singleType('cluster', 'ClusterDiscoveryService', 'Clusters', typeUrls.cluster),
  singleType('endpoint', 'EndpointDiscoveryService', 'Endpoints', typeUrls.endpoint),
  singleType('listener', 'ListenerDiscoveryService', 'Listeners', typeUrls.listener),
  singleType('route', 'RouteDiscoveryService', 'Routes', typeUrls.route),
  singleType('secret', 'SecretDiscoveryService', 'Secrets', typeUrls.secret),
  singleType('extension', 'ExtensionConfigDiscoveryService', 'ExtensionConfigs', typeUrls.extensionConfig),
];
