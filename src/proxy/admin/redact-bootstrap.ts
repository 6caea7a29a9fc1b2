// The bootstrap as the admin page shows it: without what the proxy is known by.
import { clone } from '@bufbuild/protobuf';
import type { Bootstrap } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { BootstrapSchema } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';

/** Tokens for the control plane are `[redacted]`: whoever reaches this page could pass for the proxy (Envoy shows them). */
export function withoutTokens(bootstrap: Bootstrap): Bootstrap {
  const services = bootstrap.dynamicResources?.adsConfig?.grpcServices ?? [];
  if (services.every(({ initialMetadata }) => initialMetadata.length === 0)) return bootstrap;
  const shown = clone(BootstrapSchema, bootstrap);
  for (const { initialMetadata } of shown.dynamicResources?.adsConfig?.grpcServices ?? [])
    for (const header of initialMetadata)
      if (header.key.toLowerCase() === 'authorization') header.value = '[redacted]';
  return shown;
}
