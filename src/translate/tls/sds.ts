// Where certificates and keys come from: names of secrets, and the SDS server that has them.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ConfigSourceSchema } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import { ApiConfigSource_ApiType, ApiVersion } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import type { SdsSecretConfigSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { durationOfMs } from '../proto-values.ts';

type SecretReference = MessageInitShape<typeof SdsSecretConfigSchema>;

/** The workload's own certificate and key. */
export const workloadSecret = 'default';
/** The certificates by which workloads know each other. */
export const rootSecret = 'ROOTCA';

/** Added to a credential's name where its CA is meant. Source: Istio `credentials.SdsCaSuffix`. */
const caSuffix = '-cacert';

/** The names that already say of which kind they are; all others are Kubernetes Secrets of the proxy's namespace. */
const typedCredential = /^(?:kubernetes|kubernetes-gateway|configmap):\/\//;

/**
 * A secret that the agent beside the proxy hands out over its socket (static cluster `sds-grpc`): `default`,
 * `ROOTCA`, or files. What a workload cannot be without is waited for as long as it takes.
 * Source: Istio `ConstructSdsSecretConfig`.
 */
export function agentSecret(name: string): SecretReference {
  const isWorkloadsOwn = name === workloadSecret || name === rootSecret;
  const sdsConfig: MessageInitShape<typeof ConfigSourceSchema> = {
    configSourceSpecifier: {
      case: 'apiConfigSource',
      value: {
        apiType: ApiConfigSource_ApiType.GRPC,
        setNodeOnFirstMessageOnly: true,
        transportApiVersion: ApiVersion.V3,
        grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName: 'sds-grpc' } } }],
      },
    },
    resourceApiVersion: ApiVersion.V3,
    ...(isWorkloadsOwn ? { initialFetchTimeout: durationOfMs(0) } : {}),
  };
  return { name, sdsConfig };
}

/** A certificate and its key in files of the pod; the agent reads them, so that they may be rotated. */
export function fileCertificate(certificatePath: string, keyPath: string): SecretReference {
  return agentSecret(`file-cert:${certificatePath}~${keyPath}`);
}

/** CA certificates in a file of the pod; `system` means those of its operating system. */
export function fileRoot(path: string): SecretReference {
  return agentSecret(`file-root:${path}`);
}

/**
 * What a credentialName refers to: `builtin://` the workload's own certificate, everything else what the control
 * plane reads from Kubernetes. `sds://` names what another SDS server has; without such a server it is
 * a Secret. There is no waiting for it: the Secret may never exist, and the rest must go on.
 * Source: Istio `ConstructSdsSecretConfigForCredential`.
 */
export function credentialSecret(credentialName: string): SecretReference {
  if (credentialName === 'builtin://') return agentSecret(workloadSecret);
  if (credentialName === `builtin://${caSuffix}`) return agentSecret(rootSecret);
  const name = credentialName.replace(/^sds:\/\//, '');
  return {
    name: resourceName(name),
    sdsConfig: {
      configSourceSpecifier: { case: 'ads', value: {} },
      resourceApiVersion: ApiVersion.V3,
    },
  };
}

/** The CA certificates that belong to a credential. */
export function credentialRoot(credentialName: string): SecretReference {
  return credentialSecret(`${credentialName}${caSuffix}`);
}

function resourceName(name: string): string {
  if (name.startsWith('builtin://')) return workloadSecret;
  if (name.startsWith('invalid://')) return 'invalid://';
  return typedCredential.test(name) ? name : `kubernetes://${name}`;
}
