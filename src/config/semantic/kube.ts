// Kubernetes kinds: the rules of the API server that our reading of them leans on.
import { isIP } from 'node:net';
import type {
  ConfigMap,
  EndpointSlice,
  KubeEndpoints,
  KubeServiceSpec,
  PodSpec,
  PodTemplateSpec,
  Secret,
} from '../kube-types.ts';
import { Checker, each } from './checker.ts';
import { readMeshConfig } from '../mesh-config-reader.ts';
import { readMeshNetworks } from '../mesh-networks.ts';
import { isDnsLabel } from '../metadata.ts';
import { checkProxyConfigAnnotation } from '../proxy-config.ts';
import { checkHealthCheck } from './health-check.ts';
import { checkLabels, isFqdn } from './rules.ts';
import type { Validator } from './validator.ts';

export const validateService: Validator = (object, { annotations }, report) => {
  checkHealthCheck(annotations, report);
  const spec = object['spec'] as KubeServiceSpec;
  const checker = new Checker(report, ['spec']);
  const ports = spec.ports ?? [];
  if (spec.type === 'ExternalName') {
    if (!isFqdn(spec.externalName ?? ''))
      checker.at('externalName').error(`must be a DNS name, not "${spec.externalName ?? ''}"`);
  } else if (ports.length === 0 && spec.clusterIP !== 'None') checker.error('ports are needed');
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [port, place] of each(ports, checker, 'ports')) {
    const { name = '', protocol = 'TCP', targetPort } = port;
    if (name === '' && ports.length > 1) place.error('the name is needed where there are several ports');
    if (name !== '' && names.has(name)) place.at('name').error(`the name "${name}" is taken by another port`);
    if (numbers.has(`${protocol}/${port.port}`))
      place.error(`port ${protocol}/${port.port} stands here twice`);
    names.add(name);
    numbers.add(`${protocol}/${port.port}`);
    if (typeof targetPort === 'number' && (targetPort < 1 || targetPort > 65_535))
      place.at('targetPort').error(`must be a name or in the range 1..65535, not ${targetPort}`);
  }
  for (const [address, place] of each(spec.clusterIPs ?? listOf(spec.clusterIP), checker, 'clusterIPs'))
    if (address !== 'None' && address !== '' && isIP(address) === 0)
      place.error(`must be an IP address or None, not "${address}"`);
  checkLabels(spec.selector, checker.at('selector'));
};

export const validatePod: Validator = (object, { annotations }, report) => {
  checkProxyConfigAnnotation(annotations, new Checker(report, ['metadata', 'annotations']));
  checkPodSpec(object['spec'] as PodSpec, new Checker(report, ['spec']));
};

/** Deployment and StatefulSet: the selector must choose the pods of the template. */
export const validateWorkload: Validator = (object, _meta, report) => {
  const spec = object['spec'] as {
    template?: PodTemplateSpec;
    selector?: { matchLabels?: Record<string, string> };
  };
  const checker = new Checker(report, ['spec']);
  checkProxyConfigAnnotation(
    spec.template?.metadata?.annotations,
    checker.at('template', 'metadata', 'annotations'),
  );
  const labels = spec.template?.metadata?.labels ?? {};
  for (const [name, value] of Object.entries(spec.selector?.matchLabels ?? {}))
    if (labels[name] !== value)
      checker
        .at('selector', 'matchLabels', name)
        .error(
          `does not match the labels of the template, where it is ${JSON.stringify(labels[name] ?? null)}`,
        );
  checkLabels(labels, checker.at('template', 'metadata', 'labels'));
  checkPodSpec(spec.template?.spec ?? {}, checker.at('template', 'spec'));
};

export const validateEndpoints: Validator = (object, _meta, report) => {
  const { subsets } = object as KubeEndpoints;
  for (const [subset, place] of each(subsets, new Checker(report), 'subsets'))
    for (const field of ['addresses', 'notReadyAddresses'] as const)
      for (const [address, at] of each(subset[field], place, field))
        if (isIP(address.ip) === 0) at.at('ip').error(`must be an IP address, not "${address.ip}"`);
};

export const validateEndpointSlice: Validator = (object, _meta, report) => {
  const { addressType, endpoints } = object as unknown as EndpointSlice;
  for (const [endpoint, place] of each(endpoints, new Checker(report), 'endpoints')) {
    if (endpoint.addresses.length === 0) place.error('at least one address is needed');
    for (const [address, at] of each(endpoint.addresses, place, 'addresses')) {
      const isRight =
        addressType === 'FQDN' ? isFqdn(address) : isIP(address) === (addressType === 'IPv4' ? 4 : 6);
      if (!isRight) at.error(`must be an address of type ${addressType}, not "${address}"`);
    }
  }
};

/** ConfigMap `istio` holds the settings of the mesh. */
export const validateConfigMap: Validator = (object, meta, report) => {
  if (meta.name !== 'istio') return;
  const { mesh = '', meshNetworks = '' } = (object as ConfigMap).data ?? {};
  for (const finding of readMeshConfig(mesh).findings)
    report({ ...finding, fieldPath: ['data', 'mesh', ...finding.fieldPath] });
  for (const finding of readMeshNetworks(meshNetworks).findings)
    report({ ...finding, fieldPath: ['data', 'meshNetworks', ...finding.fieldPath] });
};

export const validateSecret: Validator = (object, _meta, report) => {
  const { data } = object as Secret;
  for (const [key, value] of Object.entries(data ?? {}))
    if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value))
      new Checker(report, ['data', key]).error('must be base64; plain text goes into stringData');
};

function listOf(address: string | undefined): readonly string[] {
  return address === undefined ? [] : [address];
}

function checkPodSpec(spec: PodSpec, checker: Checker): void {
  if ((spec.containers ?? []).length === 0) checker.error('at least one container is needed');
  const names = new Set<string>();
  for (const field of ['initContainers', 'containers'] as const)
    for (const [container, place] of each(spec[field], checker, field)) {
      const { name } = container;
      if (!isDnsLabel(name)) place.at('name').error(`"${name}" is no name of a container: a-z, 0-9 and -`);
      if (names.has(name)) place.at('name').error(`the name "${name}" is taken by another container`);
      names.add(name);
    }
}
