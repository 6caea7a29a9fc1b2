// Extension configs of EnvoyFilters: ECDS. A filter that is declared with `config_discovery` asks for its
// settings by name.
import { TypedExtensionConfigSchema } from '../../api/gen/envoy/config/core/v3/extension_pb.js';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import type { World } from '../world.ts';
import type { PatchGroup } from './patches.ts';
import { patchesOf, valueOf } from './patches.ts';

export interface ExtensionConfigInput {
  readonly name: string;
  readonly envoyPatch: EnvoyPatch;
}

/**
 * EXTENSION_CONFIG knows one operation, ADD, and asks for no context. Of one name the first counts.
 * Source: Istio `InsertedExtensionConfigurations`.
 */
export const extensionConfigs: ResourceKind<ExtensionConfigInput, typeof TypedExtensionConfigSchema> = {
  schema: TypedExtensionConfigSchema,
  shortName: 'ECDS',
  names: (world, scope) => [...inputs(world, scope).keys()].sort(),
  input: (world, scope, name) => inputs(world, scope).get(name),
  build({ name, envoyPatch }) {
    const message = valueOf(TypedExtensionConfigSchema, envoyPatch);
    if (message === undefined) throw new Error(`the extension config ${name} cannot be read any more`);
    return { name, message, provenance: [{ at: '', origin: envoyPatch.origin }] };
  },
};

const group: PatchGroup = { name: 'extension-configs', applyTo: ['EXTENSION_CONFIG'] };

function inputs(world: World, scope: ProxyScope): ReadonlyMap<string, ExtensionConfigInput> {
  const found = new Map<string, ExtensionConfigInput>();
  for (const envoyPatch of patchesOf(world, scope, group)) {
    if (envoyPatch.operation !== 'ADD') continue;
    const name = (envoyPatch.value as { readonly name?: unknown } | undefined)?.name;
    if (typeof name === 'string' && !found.has(name)) found.set(name, { name, envoyPatch });
  }
  return found;
}
