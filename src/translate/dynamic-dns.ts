// Names that are resolved when they are asked for: the DNS caches that clusters share with the filters before them.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { Cluster_DnsLookupFamily } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { DnsCacheConfigSchema } from '../api/gen/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.js';
import type { Hostname } from '../model/hostname.ts';
import type { AddressFamily } from './cluster/cluster-input.ts';

export type DnsCache = Exclude<MessageInitShape<typeof DnsCacheConfigSchema>, Message>;

/** How many names the cache of ALLOW_ANY_DYNAMIC_DNS holds. Source: Istio `AllowAnyDynamicDNSMaxHosts`. */
const allowAnyHostsMax = 1024;

/** Of a wildcard ServiceEntry with resolution DYNAMIC_DNS. Cluster and filter must say the same of it. */
export function dnsCacheOf(hostname: Hostname, family: AddressFamily): DnsCache {
  return { name: `${hostname}_dfp_dns_cache`, dnsLookupFamily: dnsLookupFamily(family) };
}

/** Of the outbound traffic policy ALLOW_ANY_DYNAMIC_DNS. */
export function allowAnyDnsCache(family: AddressFamily): DnsCache {
  return {
    name: 'allow_any_dfp_dns_cache',
    dnsLookupFamily: dnsLookupFamily(family),
    maxHosts: allowAnyHostsMax,
  };
}

/** By the addresses of the proxy; both families are tried where it has both. Source: Istio `SelectDNSLookupFamily`. */
export function dnsLookupFamily(family: AddressFamily): Cluster_DnsLookupFamily {
  switch (family) {
    case 'v4':
      return Cluster_DnsLookupFamily.V4_ONLY;
    case 'v6':
      return Cluster_DnsLookupFamily.V6_ONLY;
    case 'dual':
      return Cluster_DnsLookupFamily.ALL;
    default:
      return family satisfies never;
  }
}
