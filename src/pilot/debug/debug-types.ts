// Debug pages over xDS, for tools that reach the control plane's xDS port alone: `istio.io/debug` answers any page,
// `istio.io/debug/syncz` and `istio.io/debug/config_dump` what istioctl asks for. Source: Istio `debuggen.go`,
// `statusgen.go`.
import type { JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { create, fromJson, toBinary } from '@bufbuild/protobuf';
import { AnySchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { registry, typeUrlOf } from '../../api/any.ts';
import type { ClientConfig_GenericXdsConfigSchema } from '../../api/gen/envoy/service/status/v3/csds_pb.js';
import { ClientConfigSchema, ConfigStatus } from '../../api/gen/envoy/service/status/v3/csds_pb.js';
import type { OutgoingResource } from '../../xds/server/dialect.ts';
import { encodeResourceField } from '../../xds/server/response.ts';
import { StreamError, grpcStatus } from '../../xds/server/stream-error.ts';
import type { XdsStream, XdsStreamHandler } from '../../xds/server/stream.ts';
import { hostOf } from '../../xds/server/stream.ts';
import type { Subscription, SubscriptionEvent } from '../../xds/server/subscription.ts';
import { contentVersion } from '../resources/content-version.ts';
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import { connectionOf, sortedConnections } from './answers.ts';
import { isNamespacePage, namespaceOfCaller } from './authorize.ts';
import { configDump } from './config-dump.ts';
import { findPage } from './find-page.ts';
import { isLoopback } from './loopback.ts';
import { configDumpType, debugTypes, pageType, synczType } from './tool-streams.ts';

/** The proxy's handler, with the debug types answered beside it, each time that they are asked for. */
export function answeringDebugTypes(
  pilot: PilotServer,
  stream: XdsStream,
  proxy: ProxyConnection,
): XdsStreamHandler {
  return {
    received: (typeUrl, event) => {
      if (!debugTypes.includes(typeUrl)) proxy.received(typeUrl, event);
      else if (asks(event)) answer(pilot, stream, proxy, typeUrl);
    },
    drained: () => proxy.drained(),
    closed: () => proxy.closed(),
  };
}

function asks(event: SubscriptionEvent): boolean {
  switch (event.kind) {
    case 'subscribe':
      return true;
    case 'ack':
    case 'change':
    case 'nack':
      return event.all || event.added.length > 0;
    case 'unsubscribe':
    case 'stale':
      return false;
    default:
      return event satisfies never;
  }
}

/** Throws StreamError where the caller may not ask, or what it asks is malformed. */
function answer(pilot: PilotServer, stream: XdsStream, proxy: ProxyConnection, typeUrl: string): void {
  const caller = callerOf(pilot, stream, proxy);
  const names = [...(stream.subscriptions.get(typeUrl)?.names ?? [])];
  stream.send({
    typeUrl,
    versionInfo: pilot.versionInfo,
    resources: resourcesOf(pilot, typeUrl, names, caller).map(({ name, any, value }) => {
      const field = encodeResourceField(any, value);
      return { name, field, version: contentVersion(field) };
    }) satisfies OutgoingResource[],
    removed: [],
  });
}

interface DebugResource {
  readonly name: string;
  /** Type URL of the Any. */
  readonly any: string;
  readonly value: Uint8Array;
}

/** The namespace whose proxies it may ask about; undefined: all. */
type Caller = string | undefined;

/** Whoever has shown who it is; in plaintext, where nobody is asked, clients on this machine, as with the pages. */
function callerOf(pilot: PilotServer, { peer, identities }: XdsStream, { node }: ProxyConnection): Caller {
  const { identity } = node;
  if (identity === undefined || identities === undefined) {
    if (pilot.options.debugForAll === true || isLoopback(hostOf(peer))) return undefined;
    throw new StreamError(grpcStatus.UNAUTHENTICATED, 'authentication required');
  }
  return namespaceOfCaller(pilot, identity);
}

function resourcesOf(
  pilot: PilotServer,
  typeUrl: string,
  names: readonly string[],
  caller: Caller,
): readonly DebugResource[] {
  if (typeUrl === synczType) return syncz(pilot, caller);
  const [name] = names;
  if (name === undefined || names.length !== 1)
    throw new StreamError(grpcStatus.INVALID_ARGUMENT, 'exactly one debug request is required');
  if (typeUrl === configDumpType) {
    const connection = proxyFor(pilot, new URLSearchParams({ proxyID: name }), caller);
    return connection === undefined ? [] : configDumps(pilot, connection);
  }
  return [pageOf(pilot, name, caller)];
}

/** `name` is a page as it stands behind `/debug/`, with its query. What a page says of an error is its answer here, too. */
function pageOf(pilot: PilotServer, name: string, caller: Caller): DebugResource {
  const base = 'http://pilot/debug/';
  if (!URL.canParse(name, base))
    throw new StreamError(grpcStatus.INVALID_ARGUMENT, 'the debug request is no page and query');
  const { pathname, searchParams } = new URL(name, base);
  const page = findPage(pathname);
  const text = (body: string): DebugResource => ({
    name,
    any: pageType,
    value: new TextEncoder().encode(body),
  });
  if (caller !== undefined && !isNamespacePage(pathname.slice('/debug/'.length)))
    throw new StreamError(
      grpcStatus.PERMISSION_DENIED,
      `the debug info is not available for an identity of namespace ${caller}`,
    );
  if (page === undefined) return text('404 page not found\n');
  if (caller !== undefined && proxyFor(pilot, searchParams, caller) === undefined)
    throw new StreamError(
      grpcStatus.PERMISSION_DENIED,
      `proxyID must name a connected proxy of namespace ${caller}`,
    );
  return text(page.answer(pilot, searchParams).body);
}

/** Undefined: there is none, or none that the caller may ask about. */
function proxyFor(pilot: PilotServer, query: URLSearchParams, caller: Caller): ProxyConnection | undefined {
  const found = connectionOf(pilot, query);
  if ('status' in found) return undefined;
  return caller === undefined || found.node.namespace === caller ? found : undefined;
}

function syncz(pilot: PilotServer, caller: Caller): readonly DebugResource[] {
  return sortedConnections(pilot)
    .filter(({ node }) => caller === undefined || node.namespace === caller)
    .map(({ node, stream }) => {
      const { id, clusterId, namespace, istioVersion } = node;
      const genericXdsConfigs = [...stream.subscriptions]
        .filter(([typeUrl]) => !debugTypes.includes(typeUrl))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([typeUrl, subscription]) => genericConfig(typeUrl, subscription));
      const metadata: JsonObject = {
        CLUSTER_ID: clusterId,
        NAMESPACE: namespace,
        ISTIO_VERSION: istioVersion,
      };
      const config = create(ClientConfigSchema, { node: { id, metadata }, genericXdsConfigs });
      return { name: id, any: typeUrlOf(ClientConfigSchema), value: toBinary(ClientConfigSchema, config) };
    });
}

function genericConfig(
  typeUrl: string,
  subscription: Subscription,
): MessageInitShape<typeof ClientConfig_GenericXdsConfigSchema> {
  const { rejection, sentAtMs } = subscription;
  const lastUpdated = timestampFromMs(sentAtMs);
  return {
    typeUrl,
    configStatus: statusOf(subscription),
    ...(sentAtMs === 0 ? {} : { lastUpdated }),
    ...(rejection === undefined
      ? {}
      : { errorState: { lastUpdateAttempt: lastUpdated, details: rejection.message } }),
  };
}

function statusOf({ rejection, nonceSent, nonceAcked }: Subscription): ConfigStatus {
  if (rejection !== undefined) return ConfigStatus.ERROR;
  if (nonceSent === '') return ConfigStatus.NOT_SENT;
  return nonceSent === nonceAcked ? ConfigStatus.SYNCED : ConfigStatus.STALE;
}

/** The parts of the config dump, each as its own message. */
function configDumps(pilot: PilotServer, connection: ProxyConnection): readonly DebugResource[] {
  const { configs } = configDump(pilot, connection, new URLSearchParams({ include_eds: '' }));
  return (configs as readonly JsonObject[]).map((config) => {
    const { typeUrl, value } = fromJson(AnySchema, config, { registry });
    return { name: typeUrl.slice(typeUrl.lastIndexOf('.') + 1), any: typeUrl, value };
  });
}
