// What a synthetic mesh consists of.
import type { Random } from '../../base/random.ts';

export interface MeshOptions {
  readonly services: number;
  /** In all; they are dealt out to the services in turn. Shapes of ServiceEntries: endpoints. */
  readonly pods: number;
  readonly namespaces: number;
  /** Routes in the VirtualService of each service; 0: no VirtualServices and no DestinationRules. */
  readonly routes: number;
  /** Percent of the services that have these: of others there is but the Service. */
  readonly routed: number;
  /** Gateway objects, each with a host; services are exposed on them in turn. */
  readonly gateways: number;
  /** Pods of the one gateway deployment. */
  readonly gatewayPods: number;
  /** A Sidecar in each namespace that lets its proxies see their own namespace and the next one. */
  readonly sidecars: boolean;
  /** Hosts outside of the mesh. */
  readonly serviceEntries: number;
  /** What lists endpoints: Pods alone, or EndpointSlices beside them as a cluster has them. */
  readonly endpoints: 'pods' | 'slices';
}

export interface MeshFile {
  /** Relative, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface MeshShape {
  readonly name: string;
  readonly about: string;
  /** The same files, byte for byte, for the same options and the same sequence of `random`. */
  files(options: MeshOptions, random: Random): Iterable<MeshFile>;
}

/** An IPv4 address in a /8: `index` from 0 to 65,000 x 250. */
export function addressIn(network: number, index: number): string {
  return `${network}.${Math.floor(index / 65_000)}.${Math.floor((index % 65_000) / 250)}.${(index % 250) + 1}`;
}

/** 0, 1 ... count - 1. */
export function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_each, index) => index);
}

/** Documents of one file. */
export function documents(texts: readonly string[]): string {
  return texts.map((text) => `${text.trim()}\n`).join('---\n');
}
