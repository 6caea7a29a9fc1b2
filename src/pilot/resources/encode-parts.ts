// Encoding of large route configurations part by part: a virtual host that has not changed is neither encoded nor
// hashed again.
import type { DescMessage, Message, MessageShape } from '@bufbuild/protobuf';
import { create, isMessage, toBinary } from '@bufbuild/protobuf';
import type { Route, VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { encodeBytesField } from '../../api/wire-format.ts';
import { structurallyEqual } from '../../collections/index.ts';
import { contentVersion } from './content-version.ts';

/** A message as bytes, in parts that stand one after the other. */
export interface EncodedMessage {
  readonly parts: readonly Uint8Array[];
  /** See contentVersion. Of the bytes; where they are many parts, of the versions of these. */
  readonly version: string;
}

/** Equal messages give equal bytes and versions, as long as they are all encoded by this. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): EncodedMessage {
  const whole: Message = message;
  if (!isMessage(whole, RouteConfigurationSchema)) {
    const bytes = toBinary(schema, message);
    return { parts: [bytes], version: contentVersion(bytes) };
  }
  const rest = toBinary(
    RouteConfigurationSchema,
    create(RouteConfigurationSchema, { ...whole, virtualHosts: [] }),
  );
  const hosts = whole.virtualHosts.map(encodeVirtualHost);
  const versions = [contentVersion(rest), ...hosts.map(({ version }) => version)];
  return {
    // Fields may stand in any order (protobuf encoding, "Field Order"); repeated ones keep theirs.
    parts: [rest, ...hosts.map(({ field }) => field)],
    version: contentVersion(Buffer.from(versions.join(), 'latin1')),
  };
}

interface EncodedField {
  readonly field: Uint8Array;
  readonly version: string;
}

interface EncodedHost {
  readonly host: VirtualHost;
  readonly encoded: EncodedField;
}

/**
 * By the first route, which translation makes once and shares: so an entry lives as long as its route.
 * Proxies of several namespaces have the same routes under different domains, hence a few to each.
 */
const hostsByRoute = new WeakMap<Route, EncodedHost[]>();
const hostsPerRouteMax = 8;
const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;

/** By the virtual host itself: translation gives the same message again for what has not changed. */
const fieldsByHost = new WeakMap<VirtualHost, EncodedField>();

function encodeVirtualHost(host: VirtualHost): EncodedField {
  let field = fieldsByHost.get(host);
  if (field === undefined) {
    field = encodeByRoute(host);
    fieldsByHost.set(host, field);
  }
  return field;
}

function encodeByRoute(host: VirtualHost): EncodedField {
  const [first] = host.routes;
  const known = first === undefined ? undefined : hostsByRoute.get(first);
  const same = known?.find((each) => structurallyEqual(each.host, host));
  if (same !== undefined) return same.encoded;
  const field = encodeBytesField(virtualHostsField, toBinary(VirtualHostSchema, host));
  const encoded = { field, version: contentVersion(field) };
  if (first === undefined) return encoded;
  if (known === undefined) hostsByRoute.set(first, [{ host, encoded }]);
  else {
    if (known.length >= hostsPerRouteMax) known.shift();
    known.push({ host, encoded });
  }
  return encoded;
}
