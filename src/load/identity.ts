// Who the played proxies say they are: node ids and metadata as Istio's agents write them.
import { create, toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';

/** One pod with a proxy. */
export interface ProxyIdentity {
  readonly type: 'sidecar' | 'router';
  readonly pod: string;
  readonly namespace: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
}

export interface IdentityPatterns {
  readonly pod: string;
  readonly namespace: string;
  /** `name=value`. */
  readonly labels: readonly string[];
  /** IPv4 addresses count up from here. */
  readonly firstIp: string;
}

/** Istio's version that they claim to be of: control planes send by it. */
const istioVersion = '1.27.0';

/** `{n}` becomes the proxy's number from 0 on, `{n%7}` its rest, `{n/7}` its whole part. */
export function fillPattern(pattern: string, index: number): string {
  return pattern.replaceAll(
    /\{n(?:([%/])(\d+))?\}/g,
    (_all, operator: string | undefined, operand: string) => {
      if (operator === undefined) return String(index);
      const number = Math.max(1, Number(operand));
      return String(operator === '%' ? index % number : Math.floor(index / number));
    },
  );
}

export function identityOf(
  patterns: IdentityPatterns,
  index: number,
  type: ProxyIdentity['type'],
): ProxyIdentity {
  const labels = patterns.labels.map((each) => {
    const at = each.indexOf('=');
    return [each.slice(0, at), fillPattern(each.slice(at + 1), index)] as const;
  });
  return {
    type,
    pod: fillPattern(patterns.pod, index),
    namespace: fillPattern(patterns.namespace, index),
    ip: addressAfter(patterns.firstIp, index),
    labels: Object.fromEntries(labels),
    serviceAccount: 'default',
  };
}

/** The Node of a proxy, encoded. */
export function encodeNode(identity: ProxyIdentity): Uint8Array {
  const { type, pod, namespace, ip, labels, serviceAccount } = identity;
  const metadata: JsonObject = {
    CLUSTER_ID: 'Kubernetes',
    INSTANCE_IPS: ip,
    INTERCEPTION_MODE: 'REDIRECT',
    ISTIO_VERSION: istioVersion,
    LABELS: { ...labels },
    NAMESPACE: namespace,
    SERVICE_ACCOUNT: serviceAccount,
    WORKLOAD_NAME: labels['app'] ?? pod,
  };
  return toBinary(
    NodeSchema,
    create(NodeSchema, {
      id: `${type}~${ip}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${labels['app'] ?? pod}.${namespace}`,
      metadata,
      userAgentName: 'envoy',
    }),
  );
}

function addressAfter(first: string, index: number): string {
  const start = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const address = start + index;
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
