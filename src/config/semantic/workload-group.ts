// WorkloadGroup: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32), and the rules of its CRD.
import type { WorkloadGroupSpec } from '../../api/gen/istio-types.js';
import { Checker, each } from './checker.ts';
import { checkLabels, checkPort } from './rules.ts';
import type { Validator } from './validator.ts';

export const validateWorkloadGroup: Validator = (object, _meta, report) => {
  const { metadata, probe, template } = object['spec'] as WorkloadGroupSpec;
  const checker = new Checker(report, ['spec']);
  checkLabels(metadata?.labels, checker.at('metadata', 'labels'));
  checkLabels(template?.labels, checker.at('template', 'labels'));
  for (const [name, port] of Object.entries(template?.ports ?? {}))
    checkPort(port, checker.at('template', 'ports', name));
  if (probe !== undefined) checkProbe(probe, checker.at('probe'));
};

type Probe = NonNullable<WorkloadGroupSpec['probe']>;

const methods = ['httpGet', 'tcpSocket', 'exec'] as const;
const times = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const;

function checkProbe(probe: Probe, checker: Checker): void {
  for (const field of times)
    if ((probe[field] ?? 0) < 0) checker.at(field).error(`${field} must be non-negative`);
  const { httpGet, tcpSocket, exec, grpc } = probe;
  const given = methods.filter((method) => probe[method] !== undefined);
  // The CRD has it, and istiod refuses it.
  if (grpc !== undefined) checker.at('grpc').error(`accepted are ${methods.join(', ')}`);
  else if (given.length !== 1) checker.error(`exactly one of ${methods.join(', ')} is needed`);
  if (httpGet !== undefined) {
    const place = checker.at('httpGet');
    checkPort(httpGet.port, place.at('port'));
    const { scheme = '', path = '' } = httpGet;
    if (!['', 'HTTP', 'HTTPS'].includes(scheme))
      place.at('scheme').error(`must be HTTP or HTTPS, not "${scheme}"`);
    if (path !== '' && !path.startsWith('/')) place.at('path').warn(`"${path}" does not begin with a slash`);
    for (const [{ name = '' }, header] of each(httpGet.httpHeaders, place, 'httpHeaders'))
      if (!/^[-_A-Za-z0-9]+$/.test(name)) header.at('name').error(`"${name}" cannot be the name of a header`);
  }
  if (tcpSocket !== undefined) checkPort(tcpSocket.port, checker.at('tcpSocket', 'port'));
  if (exec !== undefined && (exec.command ?? []).length === 0)
    checker.at('exec', 'command').error('a command is needed');
}
