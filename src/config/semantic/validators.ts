// The semantic validator of each kind that has one.
import { kubeGatewayKind } from '../config.ts';
import { validateDestinationRule } from './destination-rule.ts';
import { validateEnvoyFilter } from './envoy-filter.ts';
import { validateGateway } from './gateway.ts';
import {
  validateBackendTlsPolicy,
  validateGatewayClass,
  validateKubeGateway,
  validateListenerSet,
  validateReferenceGrant,
} from './gateway-api.ts';
import {
  validateGrpcRoute,
  validateHttpRoute,
  validateTcpRoute,
  validateTlsRoute,
} from './gateway-api-routes.ts';
import { validateIngress } from './ingress.ts';
import {
  validateConfigMap,
  validateEndpointSlice,
  validateEndpoints,
  validatePod,
  validateSecret,
  validateService,
  validateWorkload,
} from './kube.ts';
import { validatePeerAuthentication } from './peer-authentication.ts';
import { validateProxyConfig } from './proxy-config.ts';
import { validateServiceEntry } from './service-entry.ts';
import { validateSidecar } from './sidecar.ts';
import type { Validator } from './validator.ts';
import { validateVirtualService } from './virtual-service.ts';
import { validateWorkloadEntry } from './workload-entry.ts';
import { validateWorkloadGroup } from './workload-group.ts';

export const validators: Readonly<Record<string, Validator>> = {
  BackendTLSPolicy: validateBackendTlsPolicy,
  ConfigMap: validateConfigMap,
  Deployment: validateWorkload,
  DestinationRule: validateDestinationRule,
  EndpointSlice: validateEndpointSlice,
  Endpoints: validateEndpoints,
  EnvoyFilter: validateEnvoyFilter,
  GRPCRoute: validateGrpcRoute,
  Gateway: validateGateway,
  GatewayClass: validateGatewayClass,
  HTTPRoute: validateHttpRoute,
  Ingress: validateIngress,
  [kubeGatewayKind]: validateKubeGateway,
  ListenerSet: validateListenerSet,
  PeerAuthentication: validatePeerAuthentication,
  Pod: validatePod,
  ProxyConfig: validateProxyConfig,
  ReferenceGrant: validateReferenceGrant,
  Secret: validateSecret,
  Service: validateService,
  ServiceEntry: validateServiceEntry,
  Sidecar: validateSidecar,
  StatefulSet: validateWorkload,
  TCPRoute: validateTcpRoute,
  TLSRoute: validateTlsRoute,
  VirtualService: validateVirtualService,
  WorkloadEntry: validateWorkloadEntry,
  WorkloadGroup: validateWorkloadGroup,
};
