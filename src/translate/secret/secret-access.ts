// Which secrets a proxy may be given.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { GatewayConfig } from '../../config/config.ts';
import { annotationsOfGateways } from '../../model/gateway-origin.ts';
import type { ProxyIdentity } from '../../model/proxy-node.ts';
import { selectedGateways } from '../gateway/selection.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import type { SecretName } from './secret-name.ts';
import { caSuffix, parseSecretName } from './secret-name.ts';

type ServerTls = NonNullable<NonNullable<GatewaySpec['servers']>[number]['tls']>;

export type SecretAccess =
  | { readonly allowed: true; readonly name: SecretName; readonly identity: ProxyIdentity }
  | { readonly allowed: false; readonly reason: string };

/**
 * Only of its own namespace, and for an account that may read Secrets there; of others what a Gateway of the
 * Gateway API that it serves refers to, where that reference is granted. CA certificates are public: those of
 * the namespace are for all of its accounts, ConfigMaps for everybody who has an identity.
 * Source: Istio `filterAuthorizedResources`.
 */
export function secretAccess(world: World, scope: ProxyScope, resourceName: string): SecretAccess {
  const { identity } = scope.node;
  if (identity === undefined)
    return refused(
      'the proxy has not shown who it is; secrets are for proxies that connect to the TLS port, or with a token',
    );
  const name = parseSecretName(resourceName, identity.namespace);
  if (typeof name === 'string') return refused(name);
  const { namespace, serviceAccount } = identity;
  switch (name.scheme) {
    case 'configmap':
      break;
    case 'kubernetes-gateway':
      if (!verifiedReferences(world, scope, identity).has(resourceName))
        return refused(
          'no Gateway that this proxy serves in its own namespace and account refers to it, or no ReferenceGrant allows that',
        );
      break;
    case 'kubernetes':
      if (name.namespace !== namespace)
        return refused(`the proxy is of namespace ${namespace}: Secrets of others are not for it`);
      if (!name.isCa && !world.mayReadSecrets(namespace, serviceAccount))
        return refused(`service account ${namespace}/${serviceAccount} may not read Secrets`);
  }
  return { allowed: true, name, identity };
}

function refused(reason: string): SecretAccess {
  return { allowed: false, reason };
}

/** Names of secrets that the proxy's Gateways refer to rightly. Source: Istio `VerifiedCertificateReferences`. */
function verifiedReferences(world: World, scope: ProxyScope, identity: ProxyIdentity): ReadonlySet<string> {
  return world.derive(`verified-references/${scope.key}`, () => {
    const names = selectedGateways(world, scope)
      .filter(({ config }) => isServedBy(config, identity))
      .flatMap(({ config }) =>
        (config.spec.servers ?? []).flatMap(({ tls }) =>
          tls === undefined ? [] : referencesOf(config, tls),
        ),
      );
    return new Set(names);
  });
}

/** Whether the proxy is of the Gateway's namespace, and of its account where it was deployed for it alone. */
function isServedBy({ annotations, namespace }: GatewayConfig, identity: ProxyIdentity): boolean {
  const owner = annotations[annotationsOfGateways.parentNamespace] || namespace;
  const account = annotations[annotationsOfGateways.serviceAccount] ?? '';
  return identity.namespace === owner && (account === '' || identity.serviceAccount === account);
}

/**
 * What was made of the Gateway API has been asked for grants there. A Gateway of Istio's own may name Secrets of its
 * own namespace alone.
 */
function referencesOf(config: GatewayConfig, tls: ServerTls): readonly string[] {
  const { credentialName = '', credentialNames = [], caCertCredentialName = '' } = tls;
  const own = credentialNames.length > 0 ? credentialNames : [credentialName];
  const [first = ''] = own;
  return [...own, `${first}${caSuffix}`, caCertCredentialName].filter((written) => {
    const name = parseSecretName(written, config.namespace);
    if (typeof name === 'string') return false;
    return config.madeOf !== undefined || name.namespace === config.namespace;
  });
}
