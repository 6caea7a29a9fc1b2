// Secrets: SDS, for the credentials of gateways and of clusters.
import { create } from '@bufbuild/protobuf';
import { SecretSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { KeyPair, TrustedCa } from '../../model/credential.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import type { World } from '../world.ts';
import { secretAccess } from './secret-access.ts';
import type { SecretName } from './secret-name.ts';
import { caSuffix } from './secret-name.ts';

export interface SecretInput {
  readonly name: string;
  /** `namespace/account`: resources of different identities are never taken for the same. */
  readonly identity: string;
  readonly content:
    | { readonly kind: 'pair'; readonly pair: KeyPair }
    | { readonly kind: 'ca'; readonly ca: TrustedCa };
}

/** There is no "all of them": a proxy gets what it names, if it may have it, and nothing for all other names. */
export const secrets: ResourceKind<SecretInput, typeof SecretSchema> = {
  schema: SecretSchema,
  shortName: 'SDS',
  names: () => [],
  input(world, scope, name) {
    const access = secretAccess(world, scope, name);
    if (!access.allowed) return undefined;
    const content = contentOf(world, access.name);
    if (content === undefined) return undefined;
    const { namespace, serviceAccount } = access.identity;
    return { name, identity: `${namespace}/${serviceAccount}`, content };
  },
  build({ name, content }) {
    const { origin } = content.kind === 'pair' ? content.pair : content.ca;
    return {
      name,
      message: create(SecretSchema, { name, type: typeOf(content) }),
      provenance: [{ at: '', origin }],
    };
  },
};

/** Why a proxy gets nothing under this name; undefined: it gets something. */
export function secretProblem(world: World, scope: ProxyScope, name: string): string | undefined {
  const access = secretAccess(world, scope, name);
  if (!access.allowed) return access.reason;
  if (contentOf(world, access.name) !== undefined) return undefined;
  const { scheme, namespace, name: object } = access.name;
  const kind = scheme === 'configmap' ? 'ConfigMap' : 'Secret';
  return `there is no ${kind} ${namespace}/${object} that can be used for it`;
}

function contentOf(world: World, name: SecretName): SecretInput['content'] | undefined {
  if (!name.isCa) {
    const pair = world.keyPair(name.namespace, name.name);
    return pair === undefined ? undefined : { kind: 'pair', pair };
  }
  const ca = authorityOf(world, name);
  return ca === undefined ? undefined : { kind: 'ca', ca };
}

/** A Secret of its own with that name, else the CA in the one that has the certificate. Source: Istio `GetCaCert`. */
function authorityOf(world: World, { scheme, namespace, name }: SecretName): TrustedCa | undefined {
  const without = name.endsWith(caSuffix) ? name.slice(0, -caSuffix.length) : name;
  if (scheme === 'configmap') return world.trustedCa('ConfigMap', namespace, without);
  return world.hasSecret(namespace, name)
    ? world.trustedCa('Secret', namespace, name)
    : world.trustedCa('Secret', namespace, without);
}

function typeOf(content: SecretInput['content']) {
  if (content.kind === 'ca') {
    const { certificates, revocationList } = content.ca;
    return {
      case: 'validationContext',
      value: {
        trustedCa: inline(certificates),
        ...(revocationList === undefined ? {} : { crl: inline(revocationList) }),
      },
    } as const;
  }
  const { certificateChain, privateKey, ocspStaple } = content.pair;
  return {
    case: 'tlsCertificate',
    value: {
      certificateChain: inline(certificateChain),
      privateKey: inline(privateKey),
      ...(ocspStaple === undefined ? {} : { ocspStaple: inline(Buffer.from(ocspStaple, 'base64')) }),
    },
  } as const;
}

/** As bytes: whatever stands in a Secret, and Istio does the same. */
function inline(content: string | Uint8Array) {
  const value = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  return { specifier: { case: 'inlineBytes', value: new Uint8Array(value) } } as const;
}
