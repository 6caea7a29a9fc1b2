// Listener filters: what looks at a new connection before its filter chain is chosen. They only look: the bytes
// that they have seen go to whoever takes the connection over.
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type {
  ListenerFilter as ListenerFilterConfig,
  ListenerFilterChainMatchPredicate,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { HttpInspectorSchema } from '../../api/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalDstSchema } from '../../api/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { TlsInspectorSchema } from '../../api/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { ConfigError } from '../config-error.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Wire } from '../io/wire.ts';
import type { StatsStore } from '../stats/stats.ts';
import { refuseFields } from '../refuse-fields.ts';
import { readClientHello } from './client-hello.ts';
import { readHttpPreface } from './http-preface.ts';

/** What is known of a connection while its listener filters run; they fill it in. */
export interface InspectedConnection {
  readonly wire: Wire;
  readonly directLocalAddress: SocketAddress;
  /** All bytes that came so far. */
  peeked: Buffer;
  localAddress: SocketAddress;
  /** original_dst found out where the client wanted to go. */
  restored: boolean;
  serverName: string | undefined;
  /** Empty until a filter knows. */
  transportProtocol: '' | 'raw_buffer' | 'tls';
  applicationProtocols: readonly string[];
}

/** `more`: call again when more bytes have come. `close`: the connection cannot be served. */
export type InspectionResult = 'done' | 'more' | 'close';

export interface ListenerFilter {
  readonly name: string;
  /** Whether it is switched off for connections to that port. */
  disabled(destinationPort: number): boolean;
  inspect(connection: InspectedConnection): InspectionResult;
}

/** Where a redirected connection wanted to go; undefined where the system cannot tell. */
export interface OriginalDestination {
  of(wire: Wire): SocketAddress | undefined;
}

/** Without SO_ORIGINAL_DST (inventory D2.02): right for connections that came to their destination's own address. */
export const localAddressAsDestination: OriginalDestination = { of: (wire) => wire.localAddress };

export interface ListenerFilterContext {
  readonly stats: StatsStore;
  readonly originalDestination: OriginalDestination;
}

/** Throws ConfigError for filters and fields that are not supported. */
export function compileListenerFilters(
  configs: readonly ListenerFilterConfig[],
  context: ListenerFilterContext,
): ListenerFilter[] {
  return configs.map((config, index) => {
    const path = `listener_filters[${index}]`;
    if (config.configType.case !== 'typedConfig') {
      throw new ConfigError(
        `${path}.${config.configType.case ?? 'typed_config'}`,
        'only typed_config is supported',
      );
    }
    const disabled = compileDisabled(config.filterDisabled, `${path}.filter_disabled`);
    const { typeUrl, value } = config.configType.value;
    switch (typeUrl) {
      case typeUrlOf(OriginalDstSchema):
        return { name: config.name, disabled, inspect: originalDst(context) };
      case typeUrlOf(TlsInspectorSchema): {
        const inspector = fromBinary(TlsInspectorSchema, value);
        refuseFields(
          TlsInspectorSchema,
          inspector,
          `${path}.typed_config`,
          new Set(['initial_read_buffer_size', 'enable_ja3_fingerprinting']),
        );
        if (inspector.enableJa3Fingerprinting === true) {
          throw new ConfigError(
            `${path}.typed_config.enable_ja3_fingerprinting`,
            'is not supported by this proxy',
          );
        }
        return { name: config.name, disabled, inspect: tlsInspector(context.stats) };
      }
      case typeUrlOf(HttpInspectorSchema):
        return { name: config.name, disabled, inspect: httpInspector(context.stats) };
      default:
        throw new ConfigError(
          `${path}.typed_config`,
          `${typeUrl} is not supported; supported are original_dst, tls_inspector and http_inspector`,
        );
    }
  });
}

function originalDst(context: ListenerFilterContext): ListenerFilter['inspect'] {
  return (connection) => {
    const destination = context.originalDestination.of(connection.wire);
    if (destination !== undefined) {
      connection.localAddress = destination;
      connection.restored = true;
    }
    return 'done';
  };
}

/** Envoy: TlsInspector's default limit. */
const clientHelloBytesMax = 64 * 1024;

function tlsInspector(stats: StatsStore): ListenerFilter['inspect'] {
  const scope = stats.scope('tls_inspector');
  const found = scope.counter('tls_found');
  const notFound = scope.counter('tls_not_found');
  const sniFound = scope.counter('sni_found');
  const sniNotFound = scope.counter('sni_not_found');
  const alpnFound = scope.counter('alpn_found');
  const alpnNotFound = scope.counter('alpn_not_found');
  const tooBig = scope.counter('client_hello_too_big');
  return (connection) => {
    if (connection.peeked.length === 0) return 'more';
    const hello = readClientHello(connection.peeked);
    switch (hello.kind) {
      case 'more':
        if (connection.peeked.length < clientHelloBytesMax) return 'more';
        tooBig.inc();
        return 'close';
      case 'not-tls':
        notFound.inc();
        return 'done';
      case 'hello':
        break;
    }
    found.inc();
    connection.transportProtocol = 'tls';
    connection.serverName = hello.serverName;
    connection.applicationProtocols = hello.applicationProtocols;
    (hello.serverName === undefined ? sniNotFound : sniFound).inc();
    (hello.applicationProtocols.length === 0 ? alpnNotFound : alpnFound).inc();
    return 'done';
  };
}

/** Envoy: Config::MAX_INSPECT_SIZE. */
const requestLineBytesMax = 64 * 1024;

function httpInspector(stats: StatsStore): ListenerFilter['inspect'] {
  const scope = stats.scope('http_inspector');
  const notFound = scope.counter('http_not_found');
  const found = {
    'http/1.0': scope.counter('http10_found'),
    'http/1.1': scope.counter('http11_found'),
    h2c: scope.counter('http2_found'),
  };
  return (connection) => {
    if (connection.transportProtocol === 'tls') return 'done';
    if (connection.peeked.length === 0) return 'more';
    const preface = readHttpPreface(connection.peeked);
    if (preface === 'more' && connection.peeked.length < requestLineBytesMax) return 'more';
    if (preface === 'more' || preface === 'not-http') {
      notFound.inc();
      return 'done';
    }
    found[preface].inc();
    connection.applicationProtocols = [preface];
    return 'done';
  };
}

/** Whether a filter is switched off, by destination port. Throws ConfigError. */
export function compileDisabled(
  predicate: ListenerFilterChainMatchPredicate | undefined,
  path: string,
): (destinationPort: number) => boolean {
  if (predicate === undefined) return () => false;
  const { rule } = predicate;
  switch (rule.case) {
    case 'anyMatch':
      return () => true;
    case 'destinationPortRange': {
      const { start, end } = rule.value;
      return (port) => port >= start && port < end;
    }
    case 'notMatch': {
      const inner = compileDisabled(rule.value, `${path}.not_match`);
      return (port) => !inner(port);
    }
    case 'andMatch': {
      const all = rule.value.rules.map((inner, index) =>
        compileDisabled(inner, `${path}.and_match[${index}]`),
      );
      return (port) => all.every((matches) => matches(port));
    }
    case 'orMatch': {
      const some = rule.value.rules.map((inner, index) =>
        compileDisabled(inner, `${path}.or_match[${index}]`),
      );
      return (port) => some.some((matches) => matches(port));
    }
    case undefined:
    default:
      throw new ConfigError(path, 'has no rule');
  }
}
