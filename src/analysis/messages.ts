// What analysis can say: Istio's codes, names and levels, and our own beginning with FL; the sentences are ours.
// Source of codes: Istio "Analyzer Messages", https://istio.io/latest/docs/reference/config/analysis/.

export type Level = 'Error' | 'Warning' | 'Info';

export const levels: readonly Level[] = ['Info', 'Warning', 'Error'];

export interface MessageType {
  /** `IST0101`; `FL0001` where Istio has none. */
  readonly code: string;
  readonly name: string;
  readonly level: Level;
}

/** One thing said, not yet of any object. */
export interface Saying {
  readonly type: MessageType;
  readonly text: string;
}

/** Every type by its code. */
export const messageTypes = new Map<string, MessageType>();

/** Codes of Istio that only a living cluster, or an installation, gives reason to use. */
const clusterCodes: ReadonlySet<string> = new Set(
  ['0001', '0141', '0142', '0143', '0156', '0168', '0169', '0172'].map((number) => `IST${number}`),
);

export function isKnownCode(code: string): boolean {
  return messageTypes.has(code) || clusterCodes.has(code);
}

/** Whether `level` is as bad as `threshold`, or worse. */
export function isAtLeast(level: Level, threshold: Level): boolean {
  return levels.indexOf(level) >= levels.indexOf(threshold);
}

function define<Args extends readonly unknown[]>(
  code: string,
  name: string,
  level: Level,
  sentence: (...args: Args) => string,
): (...args: Args) => Saying {
  const type = { code, name, level };
  messageTypes.set(code, type);
  return (...args) => ({ type, text: sentence(...args) });
}

const quoted = (text: string): string => JSON.stringify(text);
const joined = (names: readonly unknown[]): string => names.join(', ');

export const says = {
  deprecated: define('IST0002', 'Deprecated', 'Warning', (what: string) => `deprecated: ${what}`),
  referencedResourceNotFound: define(
    'IST0101',
    'ReferencedResourceNotFound',
    'Error',
    (what: string, value: string) => `${what} not found: ${quoted(value)}`,
  ),
  namespaceNotInjected: define(
    'IST0102',
    'NamespaceNotInjected',
    'Info',
    (namespace: string) =>
      `namespace ${namespace} neither asks for sidecars nor declines them; label it istio-injection=enabled or istio-injection=disabled`,
  ),
  podMissingProxy: define(
    'IST0103',
    'PodMissingProxy',
    'Warning',
    (pod: string) =>
      `pod ${pod} has no sidecar although its namespace asks for one; a pod made anew would get it`,
  ),
  schemaValidationError: define('IST0106', 'SchemaValidationError', 'Error', (error: string) => error),
  misplacedAnnotation: define(
    'IST0107',
    'MisplacedAnnotation',
    'Warning',
    (annotation: string, kinds: string) =>
      `annotation ${annotation} has no effect here; it belongs on ${kinds}`,
  ),
  unknownAnnotation: define(
    'IST0108',
    'UnknownAnnotation',
    'Warning',
    (annotation: string) => `Istio knows no annotation ${annotation}`,
  ),
  conflictingMeshGatewayVirtualServiceHosts: define(
    'IST0109',
    'ConflictingMeshGatewayVirtualServiceHosts',
    'Error',
    (names: string, host: string) =>
      `the VirtualServices ${names} all route ${host} for sidecars, and only one of them can; merge them into one`,
  ),
  conflictingSidecarWorkloadSelectors: define(
    'IST0110',
    'ConflictingSidecarWorkloadSelectors',
    'Error',
    (sidecars: readonly string[], namespace: string, pod: string) =>
      `the Sidecars ${joined(sidecars)} of namespace ${quoted(namespace)} all select pod ${quoted(pod)}; which one holds is not defined`,
  ),
  multipleSidecarsWithoutWorkloadSelectors: define(
    'IST0111',
    'MultipleSidecarsWithoutWorkloadSelectors',
    'Error',
    (sidecars: readonly string[], namespace: string) =>
      `the Sidecars ${joined(sidecars)} of namespace ${quoted(namespace)} have no workload selector; which one holds is not defined`,
  ),
  virtualServiceDestinationPortSelectorRequired: define(
    'IST0112',
    'VirtualServiceDestinationPortSelectorRequired',
    'Error',
    (host: string, ports: readonly number[]) =>
      `the destination ${quoted(host)} has the ports ${joined(ports)}; the route must say which (destination.port)`,
  ),
  deploymentAssociatedToMultipleServices: define(
    'IST0116',
    'DeploymentAssociatedToMultipleServices',
    'Warning',
    (deployment: string, port: number, services: readonly string[]) =>
      `the services ${joined(services)} reach deployment ${deployment} on port ${port} with different protocols`,
  ),
  portNameIsNotUnderNamingConvention: define(
    'IST0118',
    'PortNameIsNotUnderNamingConvention',
    'Info',
    (name: string, port: number, targetPort: string) =>
      `port ${port} (target ${targetPort}) is named ${quoted(name)}, which tells no protocol; name it <protocol>[-<suffix>]`,
  ),
  namespaceMultipleInjectionLabels: define(
    'IST0123',
    'NamespaceMultipleInjectionLabels',
    'Warning',
    (labels: readonly string[]) =>
      `the labels ${joined(labels)} each decide on injection; which one holds is not defined: keep one`,
  ),
  invalidAnnotation: define(
    'IST0125',
    'InvalidAnnotation',
    'Warning',
    (annotation: string, problem: string) => `the value of annotation ${annotation} is wrong: ${problem}`,
  ),
  unknownMeshNetworksServiceRegistry: define(
    'IST0126',
    'UnknownMeshNetworksServiceRegistry',
    'Error',
    (registry: string, network: string) =>
      `network ${network} names the service registry ${registry}, which is not known`,
  ),
  noMatchingWorkloadsFound: define('IST0127', 'NoMatchingWorkloadsFound', 'Warning', (labels: string) =>
    labels === '' ? 'there is no workload that this applies to' : `no workload has the labels ${labels}`,
  ),
  noServerCertificateVerificationDestinationLevel: define(
    'IST0128',
    'NoServerCertificateVerificationDestinationLevel',
    'Warning',
    (rule: string, namespace: string, mode: string, host: string) =>
      `DestinationRule ${rule}${ofNamespace(namespace)} uses TLS mode ${mode} to ${host} without caCertificates: the server's identity is not verified`,
  ),
  noServerCertificateVerificationPortLevel: define(
    'IST0129',
    'NoServerCertificateVerificationPortLevel',
    'Warning',
    (rule: string, namespace: string, mode: string, host: string, port: string) =>
      `DestinationRule ${rule}${ofNamespace(namespace)} uses TLS mode ${mode} to port ${port} of ${host} without caCertificates: the server's identity is not verified`,
  ),
  virtualServiceUnreachableRule: define(
    'IST0130',
    'VirtualServiceUnreachableRule',
    'Warning',
    (reason: string) => reason,
  ),
  virtualServiceIneffectiveMatch: define(
    'IST0131',
    'VirtualServiceIneffectiveMatch',
    'Info',
    (reason: string) => reason,
  ),
  virtualServiceHostNotFoundInGateway: define(
    'IST0132',
    'VirtualServiceHostNotFoundInGateway',
    'Warning',
    (hosts: readonly string[], gateway: string) =>
      `gateway ${gateway} serves none of the hosts ${joined(hosts)} for this VirtualService`,
  ),
  schemaWarning: define('IST0133', 'SchemaWarning', 'Warning', (warning: string) => warning),
  serviceEntryAddressesRequired: define(
    'IST0134',
    'ServiceEntryAddressesRequired',
    'Warning',
    (port: string) =>
      `port ${port} carries plain TCP, which only an address can tell apart: the ServiceEntry needs addresses`,
  ),
  deprecatedAnnotation: define(
    'IST0135',
    'DeprecatedAnnotation',
    'Info',
    (annotation: string, instead: string) => `annotation ${quoted(annotation)} is deprecated${instead}`,
  ),
  alphaAnnotation: define(
    'IST0136',
    'AlphaAnnotation',
    'Info',
    (annotation: string) => `annotation ${quoted(annotation)} is an alpha feature: support may be incomplete`,
  ),
  deploymentConflictingPorts: define(
    'IST0137',
    'DeploymentConflictingPorts',
    'Warning',
    (deployment: string, services: readonly string[], targetPort: string, ports: readonly number[]) =>
      `the services ${joined(services)} reach target port ${quoted(targetPort)} of deployment ${deployment} from different ports: ${joined(ports)}`,
  ),
  gatewayDuplicateCertificate: define(
    'IST0138',
    'GatewayDuplicateCertificate',
    'Warning',
    (gateways: readonly string[]) =>
      `the gateways ${joined(gateways)} present the same certificate: clients that reuse an HTTP/2 connection for another host may get 404`,
  ),
  invalidWebhook: define('IST0139', 'InvalidWebhook', 'Error', (error: string) => error),
  ingressRouteRulesNotAffected: define(
    'IST0140',
    'IngressRouteRulesNotAffected',
    'Warning',
    (withSubset: string, ingress: string) =>
      `the subsets of VirtualService ${withSubset} do not apply to requests that ${ingress} routes at the gateway`,
  ),
  invalidApplicationUid: define(
    'IST0144',
    'InvalidApplicationUID',
    'Warning',
    () => 'user ID 1337 belongs to the sidecar: what runs under it is not captured',
  ),
  conflictingGateways: define(
    'IST0145',
    'ConflictingGateways',
    'Error',
    (gateways: string, selector: string, port: string, hosts: string) =>
      `the ${gateways.includes(',') ? `gateways ${gateways} serve` : `gateway ${gateways} serves`} the same hosts on port ${port} (selector ${quoted(selector)}, hosts ${hosts})`,
  ),
  imageAutoWithoutInjectionWarning: define(
    'IST0146',
    'ImageAutoWithoutInjectionWarning',
    'Warning',
    (kind: string, name: string) =>
      `${kind} ${name} has \`image: auto\`, but no injection webhook would fill it in`,
  ),
  imageAutoWithoutInjectionError: define(
    'IST0147',
    'ImageAutoWithoutInjectionError',
    'Error',
    (kind: string, name: string) =>
      `${kind} ${name} has \`image: auto\`, which no injection webhook has filled in`,
  ),
  namespaceInjectionEnabledByDefault: define(
    'IST0148',
    'NamespaceInjectionEnabledByDefault',
    'Info',
    () => 'pods get sidecars here because of the setting enableNamespacesByDefault',
  ),
  jwtClaimBasedRoutingWithoutRequestAuthN: define(
    'IST0149',
    'JwtClaimBasedRoutingWithoutRequestAuthN',
    'Error',
    (key: string, gateway: string, pod: string) =>
      `routes by the JWT claim ${key}, but no RequestAuthentication applies to pod ${pod} of gateway ${gateway}: there are no claims to look at`,
  ),
  externalNameServiceTypeInvalidPortName: define(
    'IST0150',
    'ExternalNameServiceTypeInvalidPortName',
    'Warning',
    (port: string) =>
      `port ${quoted(port)} of an ExternalName Service would be treated as plain TCP, which catches other traffic of that port; name it after another protocol`,
  ),
  envoyFilterUsesRelativeOperation: define(
    'IST0151',
    'EnvoyFilterUsesRelativeOperation',
    'Warning',
    (patches: string) =>
      `${patches}: a patch relative to another filter needs that filter to be there first; set a priority, or use INSERT_FIRST or ADD`,
  ),
  envoyFilterUsesReplaceOperationIncorrectly: define(
    'IST0152',
    'EnvoyFilterUsesReplaceOperationIncorrectly',
    'Error',
    (patches: string) => `${patches}: REPLACE works on HTTP_FILTER, NETWORK_FILTER and VIRTUAL_HOST only`,
  ),
  envoyFilterUsesAddOperationIncorrectly: define(
    'IST0153',
    'EnvoyFilterUsesAddOperationIncorrectly',
    'Error',
    (patches: string) => `${patches}: ADD is ignored for ROUTE_CONFIGURATION and HTTP_ROUTE`,
  ),
  envoyFilterUsesRemoveOperationIncorrectly: define(
    'IST0154',
    'EnvoyFilterUsesRemoveOperationIncorrectly',
    'Error',
    (patches: string) => `${patches}: REMOVE is ignored for ROUTE_CONFIGURATION and HTTP_ROUTE`,
  ),
  envoyFilterUsesRelativeOperationWithProxyVersion: define(
    'IST0155',
    'EnvoyFilterUsesRelativeOperationWithProxyVersion',
    'Warning',
    (patches: string) =>
      `${patches}: a patch relative to one for a certain proxyVersion goes astray during an upgrade; set a priority, or use INSERT_FIRST or ADD`,
  ),
  invalidTelemetryProvider: define(
    'IST0157',
    'InvalidTelemetryProvider',
    'Warning',
    (name: string, namespace: string) =>
      `access logging of Telemetry ${name}${ofNamespace(namespace)} names no provider and is ignored: the mesh has no default one`,
  ),
  podsIstioProxyImageMismatchInNamespace: define(
    'IST0158',
    'PodsIstioProxyImageMismatchInNamespace',
    'Warning',
    (pods: readonly string[]) =>
      `the proxies of the pods ${joined(pods)} run another image than injection would give them now; new pods would get it`,
  ),
  conflictingTelemetryWorkloadSelectors: define(
    'IST0159',
    'ConflictingTelemetryWorkloadSelectors',
    'Error',
    (telemetries: readonly string[], namespace: string, pod: string) =>
      `the Telemetries ${joined(telemetries)} of namespace ${quoted(namespace)} all select pod ${quoted(pod)}; which one holds is not defined`,
  ),
  multipleTelemetriesWithoutWorkloadSelectors: define(
    'IST0160',
    'MultipleTelemetriesWithoutWorkloadSelectors',
    'Error',
    (telemetries: readonly string[], namespace: string) =>
      `the Telemetries ${joined(telemetries)} of namespace ${quoted(namespace)} have no selector; which one holds is not defined`,
  ),
  invalidGatewayCredential: define(
    'IST0161',
    'InvalidGatewayCredential',
    'Error',
    (secret: string, gateway: string, namespace: string) =>
      `Secret ${secret} of gateway ${gateway} in namespace ${namespace} holds no certificate and key that can be used`,
  ),
  gatewayPortNotDefinedOnService: define(
    'IST0162',
    'GatewayPortNotDefinedOnService',
    'Warning',
    (port: number, selector: string) =>
      `no Service of the pods ${quoted(selector)} leads to port ${port}: the gateway listens where nobody can reach it through its Service`,
  ),
  invalidExternalControlPlaneConfig: define(
    'IST0163',
    'InvalidExternalControlPlaneConfig',
    'Warning',
    (address: string, webhook: string, problem: string) =>
      `webhook ${webhook} cannot reach the external control plane: its address ${quoted(address)} ${problem}`,
  ),
  externalControlPlaneAddressIsNotAHostname: define(
    'IST0164',
    'ExternalControlPlaneAddressIsNotAHostname',
    'Info',
    (address: string, webhook: string) =>
      `webhook ${webhook} reaches the external control plane by IP address (${address}); a host name would outlive a move`,
  ),
  referencedInternalGateway: define(
    'IST0165',
    'ReferencedInternalGateway',
    'Warning',
    (virtualService: string, gateway: string) =>
      `VirtualService ${virtualService} names ${gateway}, a gateway that the control plane makes for itself`,
  ),
  ineffectiveSelector: define(
    'IST0166',
    'IneffectiveSelector',
    'Warning',
    (gateway: string) => `a selector does not reach the Kubernetes gateway ${gateway}; use targetRefs`,
  ),
  ineffectivePolicy: define(
    'IST0167',
    'IneffectivePolicy',
    'Warning',
    (reason: string) => `has no effect: ${reason}`,
  ),
  multiClusterInconsistentService: define(
    'IST0170',
    'MultiClusterInconsistentService',
    'Warning',
    (service: string, namespace: string, clusters: readonly string[], differences: string) =>
      `service ${service} of namespace ${quoted(namespace)} differs among the clusters ${joined(clusters)}: ${differences}`,
  ),
  negativeConditionStatus: define(
    'IST0171',
    'NegativeConditionStatus',
    'Warning',
    (type: string, reason: string, message: string) =>
      `its status says that ${type} does not hold: ${reason}${message === '' ? '' : `, ${message}`}`,
  ),
  destinationRuleSubsetNotSelectPods: define(
    'IST0173',
    'DestinationRuleSubsetNotSelectPods',
    'Error',
    (subset: string) => `subset ${subset} selects no pod: requests to it would get 503 (no healthy upstream)`,
  ),
  unknownDestinationRuleHost: define(
    'IST0174',
    'UnknownDestinationRuleHost',
    'Warning',
    (host: string) => `no Service or ServiceEntry has the host ${host}: the rule applies to nothing`,
  ),
  jwksUriFetchUnrestricted: define(
    'IST0175',
    'JwksUriFetchUnrestricted',
    'Warning',
    (count: number, names: string) =>
      `${count} RequestAuthentication (${names}) may name any address to fetch keys from; set BLOCKED_CIDRS_IN_JWKS_URIS`,
  ),
  gatewayApiCrdVersionBelowMinimum: define(
    'IST0176',
    'GatewayAPICRDVersionBelowMinimum',
    'Warning',
    (crd: string, installed: string, minimum: string) =>
      `the Gateway API's ${quoted(crd)} is of version ${installed}; objects of this kind are read from ${minimum} on`,
  ),
  conflictingServiceEntryProtocol: define(
    'IST0177',
    'ConflictingServiceEntryProtocol',
    'Warning',
    (names: string, host: string, port: number, protocols: string) =>
      `the ServiceEntries ${names} give port ${port} of ${quoted(host)} different protocols: ${protocols}`,
  ),
  shadowedRule: define('FL0001', 'ShadowedRule', 'Warning', (reason: string) => reason),
  notSupported: define('FL0002', 'NotSupported', 'Warning', (what: string) => what),
  foreignHost: define(
    'FL0004',
    'ForeignHost',
    'Warning',
    (host: string, owner: string, what: string) =>
      `${what} ${host}, a host of namespace ${owner}, for others than its own namespace; exportTo ["."] keeps it to its own clients`,
  ),
  duplicateObject: define('FL0003', 'DuplicateObject', 'Warning', (what: string) => what),
};

function ofNamespace(namespace: string): string {
  return namespace === '' ? '' : ` of namespace ${namespace}`;
}
