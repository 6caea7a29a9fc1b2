// MeshNetworks: which endpoints are in which network, and the gateways that lead into each. Istio's `meshNetworks` of
// ConfigMap `istio`.
import { isIP } from 'node:net';
import { parseCidr } from '../model/cidr.ts';
import type { Finding, Report, Schema } from './schema.ts';
import { checkStructure, describeValue, isRecord, withoutNulls } from './schema.ts';
import { Checker, each } from './semantic/checker.ts';
import { checkFqdn, checkPort, isFqdn, isLabel } from './semantic/rules.ts';
import { parseDocument } from './yaml-document.ts';

/** By the network's name. */
export type MeshNetworks = Readonly<Record<string, MeshNetwork>>;

export interface MeshNetwork {
  /** What belongs to it: all of a Kubernetes cluster, or a range of addresses. */
  readonly endpoints: readonly { readonly fromRegistry?: string; readonly fromCidr?: string }[];
  /** An address, or a Service of the Kubernetes clusters named above. */
  readonly gateways: readonly {
    readonly address?: string;
    readonly registryServiceName?: string;
    readonly port: number;
  }[];
}

/** `networks` is undefined where something is wrong with the text. */
export interface MeshNetworksReading {
  readonly networks: MeshNetworks | undefined;
  /** Paths are those within the text. */
  readonly findings: readonly Finding[];
  /** Where the text stops being YAML, in UTF-16 units; undefined if it is YAML. */
  readonly syntaxOffset: number | undefined;
}

interface Written {
  readonly networks?: Readonly<Record<string, Partial<MeshNetwork>>>;
}

const text: Schema = { type: 'string' };
const object = (properties: Record<string, Schema>): Schema => ({ type: 'object', properties, required: [] });

const schema = object({
  networks: {
    type: 'map',
    values: object({
      endpoints: { type: 'array', items: object({ fromRegistry: text, fromCidr: text }) },
      gateways: {
        type: 'array',
        items: object({
          address: text,
          registryServiceName: text,
          port: { type: 'integer', min: 0, max: 65_535 },
          // Known to Istio, and of no account there either.
          locality: text,
        }),
      },
    }),
  },
});

/** Never throws. */
export function readMeshNetworks(yaml: string): MeshNetworksReading {
  const findings: Finding[] = [];
  const report: Report = (finding) => void findings.push(finding);
  const { value, problems } = parseDocument(yaml);
  for (const { code, message, fieldPath } of problems)
    report({ severity: 'error', code, message, fieldPath });
  const [problem] = problems;
  if (problem !== undefined) return { networks: undefined, findings, syntaxOffset: problem.offset };
  const written = withoutNulls(value ?? {});
  if (!isRecord(written)) {
    const message = `MeshNetworks must be a map, not ${describeValue(written)}`;
    report({ severity: 'error', code: 'wrong-type', message, fieldPath: [] });
    return { networks: undefined, findings, syntaxOffset: undefined };
  }
  checkStructure(schema, written, [], report);
  const hasErrors = (): boolean => findings.some(({ severity }) => severity === 'error');
  if (!hasErrors()) check(written, new Checker(report));
  return { networks: hasErrors() ? undefined : networksOf(written), findings, syntaxOffset: undefined };
}

/** Source: Istio `ValidateMeshNetworks`. */
function check({ networks = {} }: Written, checker: Checker): void {
  for (const [name, network] of Object.entries(networks)) {
    const place = checker.at('networks', name);
    for (const [{ fromCidr, fromRegistry }, at] of each(network.endpoints, place, 'endpoints')) {
      if (fromCidr !== undefined && parseCidr(fromCidr) === undefined)
        at.at('fromCidr').error(`"${fromCidr}" is not a range of addresses, such as 10.0.0.0/8`);
      if (fromRegistry !== undefined && !isLabel(fromRegistry))
        at.at('fromRegistry').error(`"${fromRegistry}" is no name of a registry: letters, digits and -`);
      if ((fromCidr === undefined) === (fromRegistry === undefined))
        at.error('exactly one of fromCidr and fromRegistry is needed');
    }
    for (const [{ address, registryServiceName, port }, at] of each(network.gateways, place, 'gateways')) {
      checkPort(port, at.at('port'));
      if (registryServiceName !== undefined) checkFqdn(registryServiceName, at.at('registryServiceName'));
      if (address !== undefined && isIP(address) === 0 && !isFqdn(address))
        at.at('address').error(`"${address}" is neither an IP address nor a DNS name`);
      if ((address === undefined) === (registryServiceName === undefined))
        at.error('exactly one of address and registryServiceName is needed');
    }
  }
}

function networksOf({ networks = {} }: Written): MeshNetworks {
  return Object.fromEntries(
    Object.entries(networks).map(([name, { endpoints = [], gateways = [] }]) => [
      name,
      { endpoints, gateways },
    ]),
  );
}
