// The filter istio.alpn of Istio's own build of Envoy, for proxies that say they have it: stock Envoy would refuse the
// listener.
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { messageFromJson } from '../../api/any.ts';
import type { ProxyScope } from '../resource.ts';

export const alpnFilterName = 'istio.alpn';

/** Whether the protocol that was found in clear is told to the other side's sidecar, by which it chooses its chain. */
export function tellsProtocol({ node }: ProxyScope): boolean {
  return node.istioExtensions?.includes(alpnFilterName) === true;
}

/** In mutual TLS of the mesh, the names of protocols by which sidecars choose chains. Source: Istio `Alpn`. */
export function buildAlpnFilter(): Any {
  return messageFromJson(AnySchema, {
    // The message in JSON's clothes: we do not have Istio's protos.
    '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
    typeUrl: 'type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig',
    value: {
      alpn_override: [
        { upstream_protocol: 'HTTP10', alpn_override: ['istio-http/1.0', 'istio', 'http/1.0'] },
        { upstream_protocol: 'HTTP11', alpn_override: ['istio-http/1.1', 'istio', 'http/1.1'] },
        { upstream_protocol: 'HTTP2', alpn_override: ['istio-h2', 'istio', 'h2'] },
      ],
    },
  });
}
