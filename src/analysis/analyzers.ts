// All analyzers there are.
import type { Analyzer } from './analyzer.ts';
import { alphaAnnotations, kubeAnnotations } from './analyzers/annotations.ts';
import { blockedCidrs } from './analyzers/authentication.ts';
import { authorizationPolicies } from './analyzers/authorization.ts';
import { meshNetworks, multiClusterServices } from './analyzers/clusters.ts';
import { conditions } from './analyzers/conditions.ts';
import { conflictingGateways } from './analyzers/conflicting-gateways.ts';
import { applicationUid, multipleServices } from './analyzers/deployments.ts';
import { delegates } from './analyzers/delegates.ts';
import { deprecation } from './analyzers/deprecation.ts';
import { caCertificates, destinationRuleHosts } from './analyzers/destination-rules.ts';
import { envoyPatches } from './analyzers/envoy-filters.ts';
import { gatewayCertificates, gatewayPorts, gatewaySecrets } from './analyzers/gateways.ts';
import { imageAuto } from './analyzers/image-auto.ts';
import { injection, proxyImages } from './analyzers/injection.ts';
import { crdVersions, kubeGatewaySelectors } from './analyzers/kube-gateway.ts';
import { portNames } from './analyzers/ports.ts';
import { schemaAnalyzers, support } from './analyzers/schema.ts';
import { serviceEntryAddresses, serviceEntryProtocols } from './analyzers/service-entries.ts';
import { shadowing } from './analyzers/shadowing.ts';
import { sidecarSelectors } from './analyzers/sidecars.ts';
import {
  lightstep,
  telemetryDefaults,
  telemetryProviders,
  telemetrySelectors,
} from './analyzers/telemetry.ts';
import { tenancy } from './analyzers/tenancy.ts';
import { destinationHosts, destinationSubsets } from './analyzers/virtual-service-destinations.ts';
import { jwtClaimRoutes, virtualServiceGateways } from './analyzers/virtual-service-gateways.ts';
import { conflictingMeshHosts } from './analyzers/virtual-service-hosts.ts';
import { externalControlPlane, injectionWebhooks } from './analyzers/webhooks.ts';

/** Those that run unless others are asked for. */
export const defaultAnalyzers: readonly Analyzer[] = [
  applicationUid,
  authorizationPolicies,
  blockedCidrs,
  caCertificates,
  conditions,
  conflictingGateways,
  conflictingMeshHosts,
  crdVersions,
  delegates,
  deprecation,
  destinationHosts,
  destinationRuleHosts,
  destinationSubsets,
  envoyPatches,
  externalControlPlane,
  gatewayCertificates,
  gatewayPorts,
  gatewaySecrets,
  imageAuto,
  injection,
  injectionWebhooks,
  jwtClaimRoutes,
  kubeAnnotations,
  kubeGatewaySelectors,
  lightstep,
  meshNetworks,
  multiClusterServices,
  multipleServices,
  portNames,
  proxyImages,
  serviceEntryAddresses,
  serviceEntryProtocols,
  shadowing,
  sidecarSelectors,
  support,
  telemetryDefaults,
  telemetryProviders,
  telemetrySelectors,
  tenancy,
  virtualServiceGateways,
  ...schemaAnalyzers,
];

/** Those that run only when they are asked for by name. */
const otherAnalyzers: readonly Analyzer[] = [alphaAnnotations];

export function allAnalyzers(): readonly Analyzer[] {
  return [...defaultAnalyzers, ...otherAnalyzers].sort((a, b) => (a.name < b.name ? -1 : 1));
}
