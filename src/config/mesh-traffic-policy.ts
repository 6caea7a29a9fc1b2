// MeshConfig.defaultTrafficPolicy: the part of a DestinationRule's traffic policy that a mesh can set for all.
// Source: Istio `validateMeshConfigDefaultTrafficPolicy` (behaviour of 1.32).
import type { DestinationRuleSpec } from '../api/gen/istio-types.js';
import type { FieldPath } from '../model/origin.ts';
import { istioKinds } from './istio-schemas.ts';
import type { Finding, Report, Schema } from './schema.ts';
import { checkStructure } from './schema.ts';
import { Checker } from './semantic/checker.ts';
import { checkClientTls, checkConnectionPool, checkOutlierDetection } from './semantic/destination-rule.ts';

type TrafficPolicy = NonNullable<DestinationRuleSpec['trafficPolicy']>;

/** Reports what is wrong with the structure, or else with what it says. */
export function checkDefaultTrafficPolicy(value: unknown, path: FieldPath, report: Report): void {
  const findings: Finding[] = [];
  checkStructure(policySchema(), value, path, (finding) => void findings.push(finding));
  for (const finding of findings) report(finding);
  if (findings.length > 0) return;
  const { connectionPool, outlierDetection } = value as TrafficPolicy;
  const checker = new Checker(report, path);
  checkConnectionPool(connectionPool, checker.at('connectionPool'));
  checkOutlierDetection(outlierDetection, checker.at('outlierDetection'));
}

/** MeshConfig.outboundTrafficPolicy.tls, which is a DestinationRule's `tls`. Says whether it is right. */
export function checkOutboundTls(value: unknown, path: FieldPath, report: Report): void {
  const findings: Finding[] = [];
  const schema = policyBlocks()['tls'] ?? { type: 'any' };
  checkStructure(schema, value, path, (finding) => void findings.push(finding));
  for (const finding of findings) report(finding);
  if (findings.length === 0) checkClientTls(value as TrafficPolicy['tls'], new Checker(report, path));
}

/** The two blocks as a DestinationRule has them. */
function policySchema(): Schema {
  const blocks = policyBlocks();
  return {
    type: 'object',
    properties: Object.fromEntries(
      ['connectionPool', 'outlierDetection'].map((name) => [name, blocks[name] ?? { type: 'any' }]),
    ),
    required: [],
  };
}

function policyBlocks(): Readonly<Record<string, Schema>> {
  const spec = istioKinds.get('networking.istio.io/DestinationRule')?.spec;
  const policy = spec?.type === 'object' ? spec.properties['trafficPolicy'] : undefined;
  return policy?.type === 'object' ? policy.properties : {};
}
