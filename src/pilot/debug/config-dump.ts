// What a proxy should have, in the form of Envoy's admin /config_dump.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { messageToJson } from '../../api/any.ts';
import { typeUrls } from '../../xds/types.ts';
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import type { Encoded } from '../resources/snapshot.ts';
import { withoutKeys } from './redact.ts';

/**
 * Like istiod's: no bootstrap content, every resource dynamic. `types` (`cds,lds`) gives these types' bare
 * resources instead; endpoints are left out unless `include_eds` stands in the query.
 */
export function configDump(
  pilot: PilotServer,
  connection: ProxyConnection,
  query: URLSearchParams,
): JsonObject {
  const types = query.get('types');
  const resourcesOf = (typeUrl: string): readonly Encoded[] => [
    ...(connection.target(typeUrl)?.values() ?? []),
  ];
  if (types !== null && types !== '') {
    const wanted = types.split(',').map((type) => type.trim().toUpperCase());
    const configs = Object.values(typeUrls)
      .filter((typeUrl) => wanted.includes(pilot.resources.shortName(typeUrl)))
      .flatMap((typeUrl) => resourcesOf(typeUrl).map((each) => resourceJson(pilot, typeUrl, each)));
    return { configs };
  }
  const version = pilot.versionInfo;
  const list = (typeUrl: string, wrap: (resource: JsonObject, name: string) => JsonObject): JsonValue[] =>
    resourcesOf(typeUrl).map((each) => wrap(resourceJson(pilot, typeUrl, each), each.name));
  const endpoints = {
    '@type': 'type.googleapis.com/envoy.admin.v3.EndpointsConfigDump',
    dynamicEndpointConfigs: list(typeUrls.endpoint, (endpointConfig) => ({
      versionInfo: version,
      endpointConfig,
    })),
  };
  return {
    configs: [
      { '@type': 'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump' },
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
        versionInfo: version,
        dynamicActiveClusters: list(typeUrls.cluster, (cluster) => ({ cluster })),
      },
      ...(query.has('include_eds') ? [endpoints] : []),
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.ListenersConfigDump',
        versionInfo: version,
        dynamicListeners: list(typeUrls.listener, (listener, name) => ({
          name,
          activeState: { versionInfo: version, listener },
        })),
      },
      { '@type': 'type.googleapis.com/envoy.admin.v3.ScopedRoutesConfigDump' },
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.RoutesConfigDump',
        dynamicRouteConfigs: list(typeUrls.route, (routeConfig) => ({ versionInfo: version, routeConfig })),
      },
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.SecretsConfigDump',
        dynamicActiveSecrets: list(typeUrls.secret, (secret, name) => ({
          name,
          versionInfo: version,
          secret,
        })),
      },
      { '@type': 'type.googleapis.com/envoy.admin.v3.EcdsConfigDump' },
    ],
  };
}

/** Canonical JSON of one resource, with its `@type`; keys are redacted. */
export function resourceJson(pilot: PilotServer, typeUrl: string, encoded: Encoded): JsonObject {
  const message = pilot.resources.decode(typeUrl, encoded);
  const value = messageToJson(pilot.resources.schema(typeUrl), message) as JsonObject;
  return { '@type': typeUrl, ...withoutKeys(typeUrl, value) };
}
