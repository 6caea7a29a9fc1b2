// Our whole data plane inside the test's process, from a bootstrap; LDS and CDS can be played by hand.
import { toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { messageFromJson, typeUrlOf } from '../../src/api/any.ts';
import { ListenerSchema } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import { systemClock } from '../../src/base/clock.ts';
import { LoggerRegistry } from '../../src/base/logger.ts';
import { readOptions } from '../../src/proxy/bootstrap/options.ts';
import { readBootstrap } from '../../src/proxy/bootstrap/read-bootstrap.ts';
import { systemResolver } from '../../src/proxy/cluster-manager/dns.ts';
import { createHttpConnectionManager } from '../../src/proxy/http/connection-manager.ts';
import type { OriginalDestination } from '../../src/proxy/listener/listener-filters.ts';
import { localAddressAsDestination } from '../../src/proxy/listener/listener-filters.ts';
import { RouteReader } from '../../src/proxy/router/read-routes.ts';
import type { ProxyServerOptions } from '../../src/proxy/server/server.ts';
import { ProxyServer } from '../../src/proxy/server/server.ts';
import { createCluster } from '../../src/proxy/upstream/cluster.ts';
import { silentTransport } from './played-transport.ts';

export interface InProcessProxy {
  readonly server: ProxyServer;
  /** Plays an LDS response with these listeners (JSON); returns what would be in the NACK. */
  listeners(version: string, ...listeners: readonly JsonObject[]): Promise<readonly string[]>;
  /** The value of a counter or gauge; undefined if there is none. */
  stat(name: string): number | undefined;
  close(): void;
}

export interface InProcessOptions {
  readonly originalDestination?: OriginalDestination;
  readonly drainTimeMs?: number;
  /** Default: control planes never answer. */
  readonly createTransport?: ProxyServerOptions['createTransport'];
}

/** Resolves when connections are accepted. */
export async function startInProcess(
  bootstrap: string,
  options: InProcessOptions = {},
): Promise<InProcessProxy> {
  const server = new ProxyServer({
    config: readOptions(readBootstrap([{ name: 'test', text: bootstrap }])),
    clock: systemClock,
    random: () => 0.5,
    loggers: new LoggerRegistry({ level: 'off' }),
    resolver: systemResolver,
    originalDestination: options.originalDestination ?? localAddressAsDestination,
    hostname: 'test',
    environment: {},
    drainTimeMs: options.drainTimeMs ?? 45_000,
    createTransport: options.createTransport ?? (() => silentTransport),
    createCluster,
    createRouteReader: () => new RouteReader(),
    createHttpConnectionManager,
  });
  await server.start();
  await new Promise<void>((resolve) => server.whenLive(resolve));
  return {
    server,
    listeners: (version, ...listeners) =>
      server.listeners.onUpdate({
        resources: listeners.map((json) => ({
          name: undefined,
          version,
          typeUrl: typeUrlOf(ListenerSchema),
          bytes: toBinary(ListenerSchema, messageFromJson(ListenerSchema, json)),
        })),
        removed: undefined,
        versionInfo: version,
      }),
    stat: (name) => {
      server.refreshGauges();
      return [...server.stats.counters(), ...server.stats.gauges()].find(({ id }) => id.name === name)?.value;
    },
    close: () => server.close(),
  };
}
