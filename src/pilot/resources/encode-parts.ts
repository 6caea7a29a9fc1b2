// Encoding of large route configurations part by part: a virtual host that has not changed is not encoded again.
import type { DescMessage, Message, MessageShape } from '@bufbuild/protobuf';
import { create, isMessage, toBinary } from '@bufbuild/protobuf';
import type { Route, VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { encodeBytesField } from '../../api/wire-format.ts';
import { structurallyEqual } from '../../collections/index.ts';

/** The bytes of a message. Equal messages give equal bytes, as long as they are all encoded by this. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Uint8Array {
  const whole: Message = message;
  if (!isMessage(whole, RouteConfigurationSchema)) return toBinary(schema, message);
  const rest = toBinary(
    RouteConfigurationSchema,
    create(RouteConfigurationSchema, { ...whole, virtualHosts: [] }),
  );
  // Fields may stand in any order (protobuf encoding, "Field Order"); repeated ones keep theirs.
  return Buffer.concat([rest, ...whole.virtualHosts.map(encodeVirtualHost)]);
}

interface EncodedHost {
  readonly host: VirtualHost;
  readonly field: Uint8Array;
}

/**
 * By the first route, which translation makes once and shares: so an entry lives as long as its route.
 * Proxies of several namespaces have the same routes under different domains, hence a few to each.
 */
const hostsByRoute = new WeakMap<Route, EncodedHost[]>();
const hostsPerRouteMax = 8;
const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;

/** By the virtual host itself: translation gives the same message again for what has not changed. */
const fieldsByHost = new WeakMap<VirtualHost, Uint8Array>();

function encodeVirtualHost(host: VirtualHost): Uint8Array {
  let field = fieldsByHost.get(host);
  if (field === undefined) {
    field = encodeByRoute(host);
    fieldsByHost.set(host, field);
  }
  return field;
}

function encodeByRoute(host: VirtualHost): Uint8Array {
  const [first] = host.routes;
  const known = first === undefined ? undefined : hostsByRoute.get(first);
  const same = known?.find((each) => structurallyEqual(each.host, host));
  if (same !== undefined) return same.field;
  const field = encodeBytesField(virtualHostsField, toBinary(VirtualHostSchema, host));
  if (first === undefined) return field;
  if (known === undefined) hostsByRoute.set(first, [{ host, field }]);
  else {
    if (known.length >= hostsPerRouteMax) known.shift();
    known.push({ host, field });
  }
  return field;
}
