// Runs a ProxyServer as this process: reads the bootstrap, opens the admin port, answers signals.
import type { Clock } from '../../base/clock.ts';
import type { LogLevel, LoggerRegistry } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { UserError } from '../../base/user-error.ts';
import { create } from '@bufbuild/protobuf';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { fairleadVersion } from '../../base/version.ts';
import type { AdminServer } from '../admin/admin-server.ts';
import { startAdmin } from '../admin/admin-server.ts';
import type { ProxyOptions } from '../bootstrap/options.ts';
import { readOptions } from '../bootstrap/options.ts';
import { readBootstrap } from '../bootstrap/read-bootstrap.ts';
import { systemResolver } from '../cluster-manager/dns.ts';
import { ConfigError } from '../config-error.ts';
import { createHttpConnectionManager } from '../http/connection-manager.ts';
import { localAddressAsDestination } from '../listener/listener-filters.ts';
import { RouteReader } from '../router/read-routes.ts';
import { deferredTransport } from '../../xds/client/transport.ts';
import { createCluster } from '../upstream/cluster.ts';
import type { ProxyServerOptions } from './server.ts';
import { ProxyServer } from './server.ts';

export interface RunOptions {
  readonly bootstraps: readonly { readonly name: string; readonly text: string }[];
  /** For /server_info. */
  readonly configPath: string;
  readonly validateOnly: boolean;
  readonly serviceNode: string | undefined;
  readonly serviceCluster: string | undefined;
  readonly logLevel: LogLevel;
  readonly drainTimeMs: number;
  readonly terminationDrainMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly loggers: LoggerRegistry;
  readonly hostname: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly write: (text: string) => void;
}

/** Resolves once the process serves (or has validated). Rejects with UserError for a bootstrap that cannot be. */
export async function runProxy(options: RunOptions): Promise<void> {
  const config = readConfig(options);
  const server = new ProxyServer(serverOptions(options, config));
  let admin: AdminServer | undefined;
  const quit = (): void => {
    server.close();
    admin?.close();
    process.exit(0);
  };
  try {
    if (options.validateOnly) {
      server.validate();
      options.write(`configuration '${options.bootstraps.map(({ name }) => name).join("', '")}' OK\n`);
      return;
    }
    admin = await startAdmin(server, {
      address: config.admin,
      configPath: options.configPath,
      logLevel: options.logLevel,
      drainTimeMs: options.drainTimeMs,
      quit,
    });
    handleSignals(server, quit, options);
    await server.start();
  } catch (error) {
    admin?.close();
    if (error instanceof ConfigError) throw asUserError(error, options);
    throw error;
  }
}

function readConfig(options: RunOptions): ProxyOptions {
  const bootstrap = readBootstrap(options.bootstraps);
  const { serviceNode, serviceCluster } = options;
  const node = bootstrap.node ?? create(NodeSchema);
  if (node.id === '' && serviceNode !== undefined) node.id = serviceNode;
  if (node.cluster === '' && serviceCluster !== undefined) node.cluster = serviceCluster;
  node.userAgentName = 'fairlead';
  node.userAgentVersionType = { case: 'userAgentVersion', value: fairleadVersion };
  bootstrap.node = node;
  try {
    return readOptions(bootstrap);
  } catch (error) {
    throw error instanceof ConfigError ? asUserError(error, options) : error;
  }
}

function asUserError(error: ConfigError, options: RunOptions): UserError {
  return new UserError(`${options.bootstraps.map(({ name }) => name).join(', ')}: ${error.message}`);
}

function serverOptions(options: RunOptions, config: ProxyOptions): ProxyServerOptions {
  const { clock, random, loggers, hostname, environment, drainTimeMs } = options;
  return {
    config,
    clock,
    random,
    loggers,
    hostname,
    environment,
    drainTimeMs,
    resolver: systemResolver,
    originalDestination: localAddressAsDestination,
    createTransport: (transport) =>
      deferredTransport(async () => {
        const { grpcTransport } = await import('../../xds/client/grpc-transport.ts');
        return grpcTransport(transport);
      }),
    createCluster,
    createRouteReader: () => new RouteReader(),
    createHttpConnectionManager,
  };
}

function handleSignals(server: ProxyServer, quit: () => void, options: RunOptions): void {
  const logger = options.loggers.logger('main');
  let draining = false;
  process.on('SIGTERM', () => {
    if (draining) {
      quit();
      return;
    }
    draining = true;
    logger.info(`SIGTERM: connections have ${options.terminationDrainMs} ms to end`);
    server.drainAndClose(options.terminationDrainMs, quit);
  });
  process.on('SIGINT', quit);
  process.on('SIGUSR1', () => server.sinks.reopen());
  // Standard output may be a pipe whose reader is gone.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const uncaught = server.stats.scope('server').counter('uncaught_errors');
  // One connection's trouble must not end all others: it is logged and counted, and the rest goes on.
  process.on('uncaughtException', (error) => {
    uncaught.inc();
    logger.error(`uncaught: ${error.stack ?? error.message}`);
  });
  process.on('unhandledRejection', (reason) => {
    uncaught.inc();
    logger.error(
      `unhandled rejection: ${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}`,
    );
  });
}
