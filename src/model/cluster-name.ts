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

/** `outbound|80|v1|reviews.default.svc.cluster.local` */
export function formatClusterName(name: ClusterName): string {
  return `${name.direction}|${name.servicePort}|${name.subset}|${name.hostname}`;
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
