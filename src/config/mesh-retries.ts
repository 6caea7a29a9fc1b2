// The part of MeshConfig that says how often requests are tried again where no rule does.
import type { MeshConfig } from './mesh-config.ts';
import type { Schema } from './schema.ts';
import type { Checker } from './semantic/checker.ts';
import { checkRetries } from './semantic/http-route.ts';

/** As written, after its structure was found right: the form is that of a VirtualService's `retries`. */
export interface WrittenRetries {
  readonly defaultHttpRetryPolicy?: MeshConfig['defaultHttpRetryPolicy'];
  readonly defaultInboundHttpRetryPolicy?: MeshConfig['defaultInboundHttpRetryPolicy'];
}

const policySchema: Schema = {
  type: 'object',
  required: [],
  properties: {
    attempts: { type: 'integer', min: 0, max: 2_147_483_647 },
    perTryTimeout: { type: 'duration' },
    retryOn: { type: 'string' },
    retryRemoteLocalities: { type: 'boolean' },
    retryIgnorePreviousHosts: { type: 'boolean' },
    backoff: { type: 'duration' },
  },
};

export const retrySchemas: Readonly<Record<string, Schema>> = {
  defaultHttpRetryPolicy: policySchema,
  defaultInboundHttpRetryPolicy: policySchema,
};

export function checkMeshRetries(mesh: WrittenRetries, checker: Checker): void {
  checkRetries(mesh.defaultHttpRetryPolicy, checker.at('defaultHttpRetryPolicy'));
  const inbound = mesh.defaultInboundHttpRetryPolicy;
  const place = checker.at('defaultInboundHttpRetryPolicy');
  checkRetries(inbound, place);
  if (inbound === undefined) return;
  if ((inbound.attempts ?? 0) === 0 && inbound.backoff !== undefined)
    place.at('backoff').error('backoff configured when attempts are set to 0 (disabled)');
  for (const field of ['perTryTimeout', 'retryRemoteLocalities', 'retryIgnorePreviousHosts'] as const)
    if (inbound[field] !== undefined)
      place.at(field).warn('is ignored inbound: there is one destination, the application');
}

/** What is written; nothing where nothing is. */
export function writtenRetries({
  defaultHttpRetryPolicy,
  defaultInboundHttpRetryPolicy,
}: WrittenRetries): Pick<MeshConfig, 'defaultHttpRetryPolicy' | 'defaultInboundHttpRetryPolicy'> {
  return {
    ...(defaultHttpRetryPolicy === undefined ? {} : { defaultHttpRetryPolicy }),
    ...(defaultInboundHttpRetryPolicy === undefined ? {} : { defaultInboundHttpRetryPolicy }),
  };
}
