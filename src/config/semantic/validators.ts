// The semantic validator of each kind that has one.
import { validateDestinationRule } from './destination-rule.ts';
import { validateGateway } from './gateway.ts';
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
import { validateServiceEntry } from './service-entry.ts';
import { validateSidecar } from './sidecar.ts';
import type { Validator } from './validator.ts';
import { validateVirtualService } from './virtual-service.ts';
import { validateWorkloadEntry } from './workload-entry.ts';

export const validators: Readonly<Record<string, Validator>> = {
  ConfigMap: validateConfigMap,
  Deployment: validateWorkload,
  DestinationRule: validateDestinationRule,
  EndpointSlice: validateEndpointSlice,
  Endpoints: validateEndpoints,
  Gateway: validateGateway,
  PeerAuthentication: validatePeerAuthentication,
  Pod: validatePod,
  Secret: validateSecret,
  Service: validateService,
  ServiceEntry: validateServiceEntry,
  Sidecar: validateSidecar,
  StatefulSet: validateWorkload,
  VirtualService: validateVirtualService,
  WorkloadEntry: validateWorkloadEntry,
};
