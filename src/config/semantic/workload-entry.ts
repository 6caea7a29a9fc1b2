// WorkloadEntry, and the endpoints of a ServiceEntry.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import { isIP } from 'node:net';
import type { WorkloadEntrySpec } from '../../api/gen/istio-types.js';
import { Checker } from './checker.ts';
import { checkLabels, checkPort, checkPortName, checkUnixPath, isFqdn } from './rules.ts';
import type { Validator } from './validator.ts';

export const validateWorkloadEntry: Validator = (object, _meta, report) => {
  checkWorkload(object['spec'] as WorkloadEntrySpec, undefined, true, new Checker(report, ['spec']));
};

/**
 * `servicePorts`: the names that its ports may have; undefined where the service is not known.
 * `mayBeName`: whether the address may be a DNS name.
 */
export function checkWorkload(
  workload: WorkloadEntrySpec,
  servicePorts: ReadonlySet<string> | undefined,
  mayBeName: boolean,
  checker: Checker,
): void {
  const { address = '', network = '', ports = {} } = workload;
  const place = checker.at('address');
  const isUnix = address.startsWith('unix://');
  if (address === '') {
    if (network === '') {
      checker.error('address is required');
      return;
    }
    checker.warn(`address is unset with network "${network}"`);
  } else if (isUnix) {
    checkUnixPath(address.slice('unix://'.length), place);
    if (Object.keys(ports).length > 0)
      checker.at('ports').error(`unix endpoint ${address} must not include ports`);
    if (servicePorts !== undefined && servicePorts.size !== 1)
      checker.error('exactly 1 service port required for unix endpoints');
  } else if (isIP(address) === 0) {
    if (!mayBeName) place.error(`endpoint address "${address}" is not a valid IP address`);
    else if (!isFqdn(address))
      place.error(`endpoint address "${address}" is not a valid FQDN or an IP address`);
  }
  checkWorkloadPorts(ports, servicePorts, checker.at('ports'));
  checkLabels(workload.labels, checker.at('labels'));
}

function checkWorkloadPorts(
  ports: Readonly<Record<string, number>>,
  servicePorts: ReadonlySet<string> | undefined,
  checker: Checker,
): void {
  for (const [name, port] of Object.entries(ports)) {
    const place = checker.at(name);
    if (servicePorts?.has(name) === false)
      place.error(`endpoint port ${port} ("${name}") is not defined by the service entry`);
    checkPortName(name, place);
    checkPort(port, place);
  }
}
