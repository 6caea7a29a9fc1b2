// The annotations that Istio knows: where they belong and how settled they are.
// Source: Istio API, annotation package (1.32).

export interface AnnotationFacts {
  /** Kinds, or `Any`. */
  readonly kinds: readonly string[];
  readonly isAlpha: boolean;
  readonly isDeprecated: boolean;
}

const pod = ['Pod'];

/** Name, kinds that it belongs on, and marks: `alpha`, `deprecated`. */
const table: readonly (readonly [name: string, kinds: readonly string[], marks: string])[] = [
  ['prometheus.istio.io/merge-metrics', pod, 'alpha'],
  ['alpha.istio.io/kubernetes-serviceaccounts', ['Service'], 'alpha deprecated'],
  ['alpha.istio.io/canonical-serviceaccounts', ['Service'], 'alpha deprecated'],
  ['networking.istio.io/exportTo', ['Service'], 'alpha'],
  ['sidecar.istio.io/inject', pod, 'deprecated'],
  ['sidecar.istio.io/status', pod, 'alpha'],
  ['sidecar.istio.io/rewriteAppHTTPProbers', pod, 'alpha'],
  ['sidecar.istio.io/discoveryAddress', pod, 'alpha deprecated'],
  ['sidecar.istio.io/proxyImage', pod, 'alpha'],
  ['sidecar.istio.io/proxyImageType', pod, 'alpha'],
  ['sidecar.istio.io/proxyCPU', pod, 'alpha'],
  ['sidecar.istio.io/proxyCPULimit', pod, 'alpha'],
  ['sidecar.istio.io/proxyMemory', pod, 'alpha'],
  ['sidecar.istio.io/proxyMemoryLimit', pod, ''],
  ['sidecar.istio.io/interceptionMode', pod, 'alpha'],
  ['sidecar.istio.io/bootstrapOverride', pod, 'alpha'],
  ['sidecar.istio.io/statsInclusionPrefixes', pod, 'alpha deprecated'],
  ['sidecar.istio.io/statsInclusionSuffixes', pod, 'alpha deprecated'],
  ['sidecar.istio.io/statsInclusionRegexps', pod, 'alpha deprecated'],
  ['sidecar.istio.io/statsHistogramBuckets', pod, 'alpha'],
  ['sidecar.istio.io/statsFlushInterval', pod, 'alpha'],
  ['sidecar.istio.io/statsEvictionInterval', pod, 'alpha'],
  ['sidecar.istio.io/statsHistogramBins', pod, 'alpha'],
  ['sidecar.istio.io/userVolume', pod, 'alpha'],
  ['sidecar.istio.io/userVolumeMount', pod, ''],
  ['status.sidecar.istio.io/port', pod, 'alpha'],
  ['sidecar.istio.io/logLevel', pod, 'alpha'],
  ['sidecar.istio.io/componentLogLevel', pod, 'alpha'],
  ['sidecar.istio.io/agentLogLevel', pod, 'alpha'],
  ['sidecar.istio.io/nativeSidecar', pod, 'alpha'],
  ['readiness.status.sidecar.istio.io/initialDelaySeconds', pod, 'alpha'],
  ['readiness.status.sidecar.istio.io/periodSeconds', pod, 'alpha'],
  ['readiness.status.sidecar.istio.io/failureThreshold', pod, 'alpha'],
  ['readiness.status.sidecar.istio.io/applicationPorts', pod, 'alpha'],
  ['traffic.istio.io/nodeSelector', ['Service'], ''],
  ['traffic.sidecar.istio.io/includeOutboundIPRanges', pod, 'alpha'],
  ['traffic.sidecar.istio.io/excludeOutboundIPRanges', pod, 'alpha'],
  ['traffic.sidecar.istio.io/includeInboundPorts', pod, ''],
  ['traffic.sidecar.istio.io/excludeInboundPorts', pod, 'alpha'],
  ['traffic.sidecar.istio.io/excludeInterfaces', pod, 'alpha'],
  ['traffic.sidecar.istio.io/includeOutboundPorts', pod, 'alpha'],
  ['traffic.sidecar.istio.io/excludeOutboundPorts', pod, 'alpha'],
  ['traffic.sidecar.istio.io/kubevirtInterfaces', pod, 'alpha deprecated'],
  ['kubernetes.io/ingress.class', ['Ingress'], ''],
  ['galley.istio.io/analyze-suppress', ['Any'], 'alpha'],
  ['proxy.istio.io/config', pod, ''],
  ['istio.io/dry-run', ['AuthorizationPolicy'], 'alpha'],
  ['istio.io/rev', pod, 'alpha'],
  ['proxy.istio.io/overrides', pod, 'alpha'],
  ['inject.istio.io/templates', pod, 'alpha'],
  ['sidecar.istio.io/extraStatTags', pod, 'alpha deprecated'],
  ['istio.io/autoRegistrationGroup', ['WorkloadEntry'], 'alpha'],
  ['istio.io/workloadController', ['WorkloadEntry'], 'alpha'],
  ['istio.io/connectedAt', ['WorkloadEntry'], 'alpha'],
  ['istio.io/disconnectedAt', ['WorkloadEntry'], 'alpha'],
  ['topology.istio.io/controlPlaneClusters', ['Namespace'], 'alpha'],
  ['gateway.istio.io/controller-version', ['Any'], 'alpha'],
  ['ambient.istio.io/redirection', pod, ''],
  ['ambient.istio.io/waypoint-inbound-binding', ['GatewayClass', 'Gateway'], 'alpha'],
  ['gateway.istio.io/service-account', ['Gateway'], 'alpha'],
  ['gateway.istio.io/name-override', ['Gateway'], 'alpha'],
  ['networking.istio.io/service-type', ['Gateway'], 'alpha'],
  ['networking.istio.io/traffic-distribution', ['Namespace', 'Service', 'ServiceEntry'], 'alpha'],
  ['istio.io/use-waypoint-canary-weight', ['Service', 'ServiceEntry', 'Namespace'], 'alpha'],
  ['ambient.istio.io/bypass-inbound-capture', pod, 'alpha'],
  ['istio.io/reroute-virtual-interfaces', pod, 'alpha'],
  ['ambient.istio.io/dns-capture', pod, 'alpha'],
  ['sidecar.istio.io/statsCompression', pod, 'alpha deprecated'],
];

export const knownAnnotations: ReadonlyMap<string, AnnotationFacts> = new Map(
  table.map(([name, kinds, marks]) => [
    name,
    { kinds, isAlpha: marks.includes('alpha'), isDeprecated: marks.includes('deprecated') },
  ]),
);
