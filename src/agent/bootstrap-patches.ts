// BOOTSTRAP patches of EnvoyFilters: merged into the file that a proxy is started with.
import type { JsonObject } from '@bufbuild/protobuf';
import { toJson } from '@bufbuild/protobuf';
import { messageFromJson, registry } from '../api/any.ts';
import type { Bootstrap } from '../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { BootstrapSchema } from '../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { mergeMessage } from '../api/merge.ts';
import { istioCompatVersion } from '../base/version.ts';
import type { EnvoyFilterConfig } from '../config/config.ts';
import { readPatchValue } from '../config/envoy-filter/patch-value.ts';
import type { EnvoyPatch } from '../config/envoy-filter/select.ts';
import { selectPatches } from '../config/envoy-filter/select.ts';
import type { NodeIdentity } from './node-identity.ts';
import { nodeMetadata } from './node-identity.ts';

/** The BOOTSTRAP patches for a proxy, in their order. A bootstrap has no direction: only GATEWAY tells proxies apart. */
export function bootstrapPatches(
  filters: readonly EnvoyFilterConfig[],
  rootNamespace: string,
  node: NodeIdentity,
): readonly EnvoyPatch[] {
  const metadata = Object.fromEntries(
    Object.entries(nodeMetadata(node)).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
  const { namespace, labels } = node;
  const proxy = { namespace, labels, istioVersion: istioCompatVersion, metadata };
  return selectPatches(filters, rootNamespace, proxy).filter(
    ({ applyTo, operation, context }) =>
      applyTo === 'BOOTSTRAP' &&
      operation === 'MERGE' &&
      (context === 'ANY' || (context === 'GATEWAY') === (node.type === 'router')),
  );
}

/** The bootstrap with the values of all patches merged into it; the same object without patches. */
export function patchBootstrap(bootstrap: JsonObject, patches: readonly EnvoyPatch[]): JsonObject {
  if (patches.length === 0) return bootstrap;
  const message = messageFromJson(BootstrapSchema, bootstrap);
  for (const { value } of patches) {
    const read = readPatchValue(BootstrapSchema, value, false).message;
    if (read !== undefined) mergeMessage(BootstrapSchema, message, read as Bootstrap);
  }
  // The names of the file as it is without patches.
  return toJson(BootstrapSchema, message, { registry, useProtoFieldName: true }) as JsonObject;
}
