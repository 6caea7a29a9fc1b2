// Names of clusters are values; strings only at the wire.
import type { Hostname } from './hostname.ts';

export interface ClusterName {
  readonly direction: 'outbound' | 'inbound';
  readonly servicePort: number;
  /** Empty: the whole service. */
  readonly subset: string;
  /** Empty on inbound clusters. */
  readonly hostname: Hostname;
}

export const passthroughCluster = 'PassthroughCluster';
export const blackHoleCluster = 'BlackHoleCluster';
export const inboundPassthroughCluster = 'InboundPassthroughCluster';
/** Whatever name is asked for, resolved then (outbound traffic policy ALLOW_ANY_DYNAMIC_DNS). */
export const allowAnyDynamicDnsCluster = 'AllowAnyDynamicDNSCluster';

/** `outbound|80|v1|reviews.default.svc.cluster.local` */
export function formatClusterName(name: ClusterName): string {
  return `${name.direction}|${name.servicePort}|${name.subset}|${name.hostname}`;
}

/** `inbound|8080||`: only the port, so that a change of Services does not cut connections. */
export function inboundClusterName(port: number): string {
  return formatClusterName({ direction: 'inbound', servicePort: port, subset: '', hostname: '' });
}

/**
 * `outbound_.80_.v1_.reviews.default.svc.cluster.local`: the same as a DNS name, for it is sent as a server name
 * between gateways of networks. Source: Istio `BuildDNSSrvSubsetKey`.
 */
export function dnsSrvClusterName({ direction, servicePort, subset, hostname }: ClusterName): string {
  return `${direction}_.${servicePort}_.${subset}_.${hostname}`;
}

/** Undefined for names that are not of that form. */
export function parseDnsSrvClusterName(text: string): ClusterName | undefined {
  const [direction, port, subset, ...hostname] = text.split('_.');
  if (direction !== 'outbound' || subset === undefined || hostname.length === 0) return undefined;
  if (port === undefined || !/^\d+$/.test(port)) return undefined;
  return { direction, servicePort: Number(port), subset, hostname: hostname.join('_.') };
}

/** Undefined for names that are not of that form (PassthroughCluster, static clusters of a bootstrap). */
export function parseClusterName(text: string): ClusterName | undefined {
  const parts = text.split('|');
  const [direction, port, subset, hostname] = parts;
  if (parts.length !== 4 || (direction !== 'outbound' && direction !== 'inbound')) return undefined;
  if (port === undefined || subset === undefined || hostname === undefined || !/^\d+$/.test(port))
    return undefined;
  return { direction, servicePort: Number(port), subset, hostname };
}
