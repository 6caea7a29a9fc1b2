// The values that Istio's annotations may have.
// Source: Istio pkg/kube/inject/validate.go (behaviour of 1.32).
import { readMeshConfig } from '../../config/mesh-config-reader.ts';
import { parseCidr } from '../../model/cidr.ts';

/** What is wrong with an annotation's value; undefined if nothing is, or nothing is known. */
export function annotationProblem(name: string, value: string): string | undefined {
  return rules.get(name)?.(value);
}

type Rule = (value: string) => string | undefined;

const unsigned: Rule = (value) =>
  /^\d{1,10}$/.test(value) && Number(value) <= 4_294_967_295
    ? undefined
    : `must be a whole number from 0 to 4294967295, not "${value}"`;

const portNumber = (value: string): boolean => /^\s*\d{1,5}\s*$/.test(value) && Number(value) <= 65_535;

const port: Rule = (value) => (portNumber(value) ? undefined : `must be a port, not "${value}"`);

const ports: Rule = (value) => {
  const wrong = value.trim() === '' ? undefined : value.split(',').find((one) => !portNumber(one));
  return wrong === undefined ? undefined : `must be ports joined by commas; "${wrong}" is none`;
};

const portsOrAll: Rule = (value) => (value === '*' ? undefined : ports(value));

const ranges: Rule = (value) => {
  const wrong =
    value === ''
      ? undefined
      : value.split(',').find((one) => !one.includes('/') || parseCidr(one) === undefined);
  return wrong === undefined ? undefined : `must be CIDR ranges joined by commas; "${wrong}" is none`;
};

const rangesOrAll: Rule = (value) => (value === '*' ? undefined : ranges(value));

const flag: Rule = (value) =>
  /^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(value)
    ? undefined
    : `must be true or false, not "${value}"`;

const quantity: Rule = (value) =>
  /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$/.test(value)
    ? undefined
    : `must be a quantity such as 100m or 128Mi, not "${value}"`;

/** Names of network interfaces: at most 15 characters, without space and slash. */
const interfaces: Rule = (value) => {
  const wrong = value
    .split(',')
    .map((one) => one.trim())
    .find((one) => one !== '' && !/^[A-Za-z0-9_.:-]{1,15}$/.test(one));
  return wrong === undefined ? undefined : `must be names of network interfaces; "${wrong}" is none`;
};

const interceptionMode: Rule = (value) =>
  ['REDIRECT', 'TPROXY', 'NONE'].includes(value)
    ? undefined
    : `must be REDIRECT, TPROXY or NONE, not "${value}"`;

/** A ProxyConfig: the rules are those of MeshConfig.defaultConfig. */
const proxyConfig: Rule = (value) => {
  const indented = value
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
  const error = readMeshConfig(`defaultConfig:\n${indented}\n`).findings.find(
    ({ severity, code }) => severity === 'error' && code !== 'not-supported',
  );
  if (error === undefined) return undefined;
  const field = error.fieldPath.slice(1).join('.');
  return field === '' ? error.message : `${field} ${error.message}`;
};

const rules: ReadonlyMap<string, Rule> = new Map([
  ['sidecar.istio.io/interceptionMode', interceptionMode],
  ['status.sidecar.istio.io/port', port],
  ['readiness.status.sidecar.istio.io/initialDelaySeconds', unsigned],
  ['readiness.status.sidecar.istio.io/periodSeconds', unsigned],
  ['readiness.status.sidecar.istio.io/failureThreshold', unsigned],
  ['traffic.sidecar.istio.io/includeOutboundIPRanges', rangesOrAll],
  ['traffic.sidecar.istio.io/excludeOutboundIPRanges', ranges],
  ['traffic.sidecar.istio.io/includeInboundPorts', portsOrAll],
  ['traffic.sidecar.istio.io/excludeInboundPorts', ports],
  ['traffic.sidecar.istio.io/excludeOutboundPorts', ports],
  ['traffic.sidecar.istio.io/excludeInterfaces', interfaces],
  ['traffic.sidecar.istio.io/kubevirtInterfaces', interfaces],
  ['istio.io/reroute-virtual-interfaces', interfaces],
  ['prometheus.istio.io/merge-metrics', flag],
  ['proxy.istio.io/config', proxyConfig],
  ['sidecar.istio.io/proxyCPU', quantity],
  ['sidecar.istio.io/proxyMemory', quantity],
  ['sidecar.istio.io/proxyCPULimit', quantity],
  ['sidecar.istio.io/proxyMemoryLimit', quantity],
]);
