// Resources as a client receives them, the same in both dialects, and who takes them.
import { unpackAs } from '../../api/any.ts';
import type { Resource } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { ResourceSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Any } from '@bufbuild/protobuf/wkt';

/** One resource as it came. */
export interface ReceivedResource {
  /** From the `Resource` wrapper where there is one; otherwise undefined: the name stands in the resource. */
  readonly name: string | undefined;
  /** Its own in delta; in SotW that of the whole response. */
  readonly version: string;
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}

/** What one response says of the resources of one type. */
export interface ResourceUpdate {
  readonly resources: readonly ReceivedResource[];
  /**
   * Names that are gone. Undefined in SotW, where nothing says so: of a wildcard type, what is not among
   * `resources` is gone; of any other, it is as it was.
   */
  readonly removed: readonly string[] | undefined;
  /** Of the response: `version_info` in SotW, `system_version_info` in delta. */
  readonly versionInfo: string;
}

/** A response of either dialect. */
export interface XdsResponse extends ResourceUpdate {
  readonly typeUrl: string;
  readonly nonce: string;
  /** The server's name of itself; empty where it says none. */
  readonly controlPlane: string;
  /** Why `resources` could not be read; then they are none. */
  readonly problem: string | undefined;
}

/** Who takes the resources of one type. */
export interface ResourceConsumer {
  /**
   * Applies what is good of one response. Returns what is wrong, one text a resource; empty means ACK. What it
   * throws becomes a NACK too. While it waits (for a port to be bound), later responses wait as well.
   */
  onUpdate(update: ResourceUpdate): readonly string[] | Promise<readonly string[]>;
  /** A response was refused as a whole, before any consumer could see it. */
  onRejected?(reason: string): void;
  /** There is a file, but nothing that could be read of it. */
  onUnreadable?(reason: string): void;
  /** The stream ended, or could not be had. */
  onConnectionFailure?(): void;
}

/** A resource as it stands in a SotW response: plain, or in a `Resource` that names it. Throws as `fromWrapper`. */
export function unwrapResource(any: Any, versionInfo: string): ReceivedResource {
  const wrapper = unpackAs(any, ResourceSchema);
  if (wrapper !== undefined) return fromWrapper(wrapper, versionInfo);
  return { name: undefined, version: versionInfo, typeUrl: any.typeUrl, bytes: any.value };
}

/** Throws for what its wrapper asks and nobody here does. */
export function fromWrapper(wrapper: Resource, version: string): ReceivedResource {
  const { name, resource, ttl } = wrapper;
  if (ttl !== undefined) throw new Error(`resource ${name}: ttl is not supported by this client`);
  return {
    name,
    version,
    typeUrl: resource?.typeUrl ?? '',
    bytes: resource?.value ?? new Uint8Array(),
  };
}

/** Of a whole response: one resource that cannot be read makes it a NACK. */
export function readAll<T>(
  items: readonly T[],
  read: (item: T) => ReceivedResource,
): Pick<XdsResponse, 'resources' | 'problem'> {
  try {
    return { resources: items.map(read), problem: undefined };
  } catch (error) {
    return { resources: [], problem: (error as Error).message };
  }
}

/**
 * The name of a resource whose field 1 it is (Cluster, Listener, RouteConfiguration, ClusterLoadAssignment),
 * when it is written first, as encoders do. Undefined when it is not: then only decoding tells.
 */
export function peekName(bytes: Uint8Array): string | undefined {
  const length = bytes[1];
  // Tag of field 1, length-delimited; lengths of one byte suffice for names.
  if (bytes[0] !== 0x0a || length === undefined || length >= 0x80 || bytes.length < 2 + length)
    return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset + 2, length).toString('utf8');
}

/** Bytes that may be kept: a resource in a response shares the response's memory, however little of it remains. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
