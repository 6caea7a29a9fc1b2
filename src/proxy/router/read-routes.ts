// Reads successive versions of one route configuration: a virtual host whose bytes are as before is neither
// decoded nor compiled again. An edit among a thousand hosts then costs one host.
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { compileParts } from './compile.ts';
import type { CompiledRoutes, CompiledVirtualHost } from './compiled.ts';

/** What one version was made of. */
interface Version {
  /** Bytes of everything but the virtual hosts. */
  readonly head: Buffer;
  readonly configuration: RouteConfiguration;
  /** Virtual hosts by their bytes (as latin1 text). */
  readonly hosts: ReadonlyMap<string, VirtualHost>;
  readonly compiled: ReadonlyMap<VirtualHost, CompiledVirtualHost>;
}

export class RouteReader {
  #version: Version | undefined;

  /**
   * Throws ConfigError (or what decoding throws) where the configuration cannot be served; the next one is
   * then compared with the last good one.
   */
  read(bytes: Uint8Array): CompiledRoutes {
    const before = this.#version;
    const parts = split(bytes);
    const headIsSame = before !== undefined && before.head.equals(parts.head);
    const hosts = new Map<string, VirtualHost>();
    const configuration = headIsSame
      ? { ...before.configuration, virtualHosts: [] as VirtualHost[] }
      : fromBinary(RouteConfigurationSchema, parts.head);
    for (const part of parts.hosts) {
      const key = part.toString('latin1');
      const host = hosts.get(key) ?? before?.hosts.get(key) ?? fromBinary(VirtualHostSchema, part);
      hosts.set(key, host);
      configuration.virtualHosts.push(host);
    }
    const routes = compileParts(configuration, headIsSame ? before.compiled : new Map());
    this.#version = {
      head: parts.head,
      configuration,
      hosts,
      compiled: new Map(configuration.virtualHosts.map((host, index) => [host, routes.virtualHosts[index]!])),
    };
    return routes;
  }
}

const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;

/** The bytes of each virtual host, and of the rest in its order. Throws where they are not a protobuf message. */
function split(bytes: Uint8Array): { head: Buffer; hosts: Buffer[] } {
  const reader = new BinaryReader(bytes);
  const rest: Uint8Array[] = [];
  const hosts: Buffer[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === virtualHostsField && wireType === WireType.LengthDelimited) {
      const host = reader.bytes();
      hosts.push(Buffer.from(host.buffer, host.byteOffset, host.byteLength));
    } else {
      reader.skip(wireType, field);
      rest.push(bytes.subarray(start, reader.pos));
    }
  }
  return { head: Buffer.concat(rest), hosts };
}
