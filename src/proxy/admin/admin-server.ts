// The admin endpoint: Envoy's paths, forms and headers, on node's own HTTP server (speed does not matter here).
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { RE2JS } from 're2js';
import type { JsonValue } from '@bufbuild/protobuf';
import { toJson } from '@bufbuild/protobuf';
import { registry } from '../../api/any.ts';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { LogLevel } from '../../base/logger.ts';
import { logLevels } from '../../base/logger.ts';
import { fairleadVersion } from '../../base/version.ts';
import { ConfigError } from '../config-error.ts';
import { socketAddress } from '../io/socket-address.ts';
import { describeBindError } from '../listener/bound-sockets.ts';
import type { ProxyServer } from '../server/server.ts';
import type { StatType, StatsQuery } from '../stats/print-stats.ts';
import { printJson, printPrometheus, printText } from '../stats/print-stats.ts';
import { clustersJson, printClusters } from './cluster-status.ts';
import { dumpConfig } from './config-dump.ts';

export interface AdminOptions {
  /** Undefined: no admin endpoint. */
  readonly address: { readonly address: string; readonly port: number } | undefined;
  readonly configPath: string;
  readonly logLevel: LogLevel;
  readonly drainTimeMs: number;
  /** Ends the process. */
  readonly quit: () => void;
}

export interface AdminServer {
  /** Where it listens; undefined without an admin endpoint. */
  readonly port: number | undefined;
  close(): void;
}

/** Opens the endpoint. Rejects with ConfigError when the port cannot be had. */
export async function startAdmin(server: ProxyServer, options: AdminOptions): Promise<AdminServer> {
  const { address } = options;
  if (address === undefined) return { port: undefined, close: () => {} };
  const admin = new Admin(server, options);
  const http = createServer((request, response) => admin.handle(request, response));
  await listenOn(http, address);
  const bound = http.address();
  return {
    port: typeof bound === 'object' ? bound?.port : undefined,
    close: () => {
      http.close();
      http.closeAllConnections();
    },
  };
}

function listenOn(http: Server, address: { readonly address: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new ConfigError(
          'admin.address',
          describeBindError(error, socketAddress(address.address, address.port)),
        ),
      );
    });
    http.listen(address.port, address.address, () => {
      http.removeAllListeners('error');
      http.on('error', () => {});
      resolve();
    });
  });
}

interface Reply {
  readonly status?: number;
  readonly type?: string;
  readonly body: string;
}

interface Handler {
  readonly help: string;
  /** Changes something: only POST may. */
  readonly post?: true;
  /** Runs once the reply has left. */
  readonly afterwards?: () => void;
  run(params: URLSearchParams, method: string): Reply;
}

const textType = 'text/plain; charset=UTF-8';
const jsonType = 'application/json';

class Admin {
  readonly #server: ProxyServer;
  readonly #options: AdminOptions;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(server: ProxyServer, options: AdminOptions) {
    this.#server = server;
    this.#options = options;
    this.#handlers = new Map(Object.entries({ ...this.#readers(), ...this.#writers() }));
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    // Nothing here reads a body.
    request.resume();
    const method = request.method ?? 'GET';
    const target = request.url ?? '/';
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const params = new URLSearchParams(query < 0 ? '' : target.slice(query));
    const handler = this.#handlers.get(path);
    let reply: Reply;
    try {
      reply = this.#run(handler, params, method);
    } catch (error) {
      reply = { status: 400, body: `${(error as Error).message}\n` };
    }
    // Envoy sends none; the connection stays open all the same.
    response.removeHeader('connection');
    response.writeHead(reply.status ?? 200, {
      'content-type': reply.type ?? textType,
      'cache-control': 'no-cache, max-age=0',
      'x-content-type-options': 'nosniff',
      date: new Date(this.#server.options.clock.now()).toUTCString(),
      server: 'envoy',
      'transfer-encoding': 'chunked',
    });
    response.end(method === 'HEAD' ? '' : reply.body, () => {
      if (reply.status === undefined) handler?.afterwards?.();
    });
  }

  #run(handler: Handler | undefined, params: URLSearchParams, method: string): Reply {
    if (handler === undefined) return { status: 404, body: `invalid path. ${this.#help()}` };
    if (handler.post === true && method !== 'POST') {
      return { status: 405, body: `Method ${method} not allowed, POST required.` };
    }
    return handler.run(params, method);
  }

  #help(): string {
    const lines = [...this.#handlers]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, handler]) => `  ${path}${handler.post === true ? ' (POST)' : ''}: ${handler.help}\n`);
    return `admin commands are:\n${lines.join('')}`;
  }

  #readers(): Record<string, Handler> {
    const server = this.#server;
    return {
      '/': { help: 'Admin home page', run: () => ({ type: 'text/html; charset=UTF-8', body: this.#home() }) },
      '/help': { help: 'print out list of admin commands', run: () => ({ body: this.#help() }) },
      '/ready': {
        help: 'print server state, return 200 if LIVE, otherwise return 503',
        run: () => ({ ...(server.state === 'LIVE' ? {} : { status: 503 }), body: `${server.state}\n` }),
      },
      '/server_info': {
        help: 'print server version/status information',
        run: () => json(this.#serverInfo()),
      },
      '/config_dump': { help: 'dump current configs', run: (params) => this.#configDump(params) },
      '/clusters': {
        help: 'upstream cluster status',
        run: (params) => {
          const matches = regexFilter(params.get('filter'));
          const clusters = server.clusters.active().filter(({ name }) => matches(name));
          return params.get('format') === 'json'
            ? json(clustersJson(clusters))
            : { body: printClusters(clusters) };
        },
      },
      '/listeners': {
        help: 'print listener info',
        run: (params) =>
          params.get('format') === 'json' ? json(this.#listenersJson()) : { body: this.#listeners() },
      },
      '/stats': {
        help: 'print server stats',
        run: (params) => this.#stats(params, params.get('format') ?? 'text'),
      },
      '/stats/prometheus': {
        help: 'print server stats in prometheus format',
        run: (params) => this.#stats(params, 'prometheus'),
      },
      '/certs': { help: 'print certs on machine', run: () => json({ certificates: [] }) },
      '/runtime': { help: 'print runtime values', run: () => json({ entries: {}, layers: [] }) },
      '/memory': { help: 'print current allocation/heap usage', run: () => json(memoryJson()) },
      '/logging': {
        help: 'query/change logging levels (change: POST with ?level= or ?<logger>=)',
        run: (params, method) => this.#logging(params, method),
      },
    };
  }

  #writers(): Record<string, Handler> {
    const server = this.#server;
    const { quit, drainTimeMs } = this.#options;
    const ok: Reply = { body: 'OK\n' };
    return {
      '/healthcheck/fail': {
        help: 'cause the server to fail health checks',
        post: true,
        run: () => {
          server.setHealth(false);
          return ok;
        },
      },
      '/healthcheck/ok': {
        help: 'cause the server to pass health checks',
        post: true,
        run: () => {
          server.setHealth(true);
          return ok;
        },
      },
      '/quitquitquit': { help: 'exit the server', post: true, run: () => ok, afterwards: quit },
      '/drain_listeners': {
        help: 'drain listeners (graceful, inboundonly, skip_exit)',
        post: true,
        run: (params) => {
          server.drainListeners({
            inboundOnly: params.has('inboundonly'),
            stopAfterMs: params.has('skip_exit') ? undefined : params.has('graceful') ? drainTimeMs : 0,
          });
          return ok;
        },
      },
      '/reset_counters': {
        help: 'reset all counters to zero',
        post: true,
        run: () => {
          server.stats.resetCounters();
          return ok;
        },
      },
      '/reopen_logs': {
        help: 'reopen access logs',
        post: true,
        run: () => {
          server.sinks.reopen();
          return ok;
        },
      },
    };
  }

  #configDump(params: URLSearchParams): Reply {
    const nameRegex = params.get('name_regex');
    const result = dumpConfig(this.#server, {
      resource: params.get('resource') ?? undefined,
      mask: params.get('mask') ?? undefined,
      matchesName: nameRegex === null ? undefined : fullMatch(nameRegex),
      includeEds: params.has('include_eds'),
    });
    return 'json' in result ? json(result.json) : { status: 404, body: result.notFound };
  }

  #stats(params: URLSearchParams, format: string): Reply {
    this.#server.refreshGauges();
    const type = params.get('type') ?? 'All';
    if (!isStatType(type)) {
      return { status: 400, body: `usage: /stats?type=${statTypes.join('|')}\n\n` };
    }
    const filter = regexFilter(params.get('filter'));
    const inverted = params.has('invert_filter');
    const { keepsStat } = this.#server.options.config;
    const query: StatsQuery = {
      usedOnly: params.has('usedonly'),
      type,
      matches: (name) => keepsStat(name) && filter(name) !== inverted,
    };
    const { stats } = this.#server;
    switch (format) {
      case 'text':
        return { body: printText(stats, query) };
      case 'json':
        return { type: jsonType, body: printJson(stats, query) };
      case 'prometheus':
        return {
          body: printPrometheus(stats, {
            ...query,
            textReadouts: params.has('text_readouts'),
            fixedTags: this.#server.options.config.fixedTags,
          }),
        };
      default:
        return { status: 400, body: `usage: /stats?format=text|json|prometheus\n\n` };
    }
  }

  #listeners(): string {
    return this.#server.listeners
      .active()
      .map(
        (listener) =>
          `${listener.name}::${listenAddresses(listener)
            .map(({ text }) => text)
            .join(',')}\n`,
      )
      .join('');
  }

  #listenersJson(): JsonValue {
    const address = ({ address, port }: { address: string; port: number }): JsonValue => ({
      socket_address: { address, port_value: port },
    });
    return {
      listener_statuses: this.#server.listeners.active().map((listener) => {
        const [first, ...more] = listenAddresses(listener).map(address);
        return {
          name: listener.name,
          ...(first === undefined ? {} : { local_address: first }),
          ...(more.length === 0 ? {} : { additional_local_addresses: more }),
        };
      }),
    };
  }

  #serverInfo(): JsonValue {
    const { configPath, logLevel, drainTimeMs } = this.#options;
    const { node } = this.#server.options.config;
    const uptime = `${Math.floor(this.#server.uptimeMs / 1000)}s`;
    return {
      version: `0000000000000000000000000000000000000000/${fairleadVersion}/Clean/RELEASE/fairlead`,
      state: this.#server.state,
      uptime_current_epoch: uptime,
      uptime_all_epochs: uptime,
      hot_restart_version: 'disabled',
      command_line_options: {
        concurrency: 1,
        config_path: configPath,
        log_level: logLevel,
        drain_time: `${drainTimeMs / 1000}s`,
        mode: 'Serve',
        disable_hot_restart: true,
      },
      node: node === undefined ? {} : toJson(NodeSchema, node, { registry, useProtoFieldName: true }),
    };
  }

  #logging(params: URLSearchParams, method: string): Reply {
    const { loggers } = this.#server.options;
    const changes = readLevels(params);
    if (changes.length > 0) {
      if (method !== 'POST') return { status: 405, body: `Method ${method} not allowed, POST required.` };
      for (const { scope, level } of changes) {
        if (!isLogLevel(level))
          return {
            status: 400,
            body: `error: unknown logger level ${level}; one of ${logLevels.join(', ')}\n`,
          };
        if (!loggers.setLevel(level, scope))
          return { status: 400, body: `error: unknown logger name ${scope}\n` };
      }
    }
    return {
      body: `active loggers:\n${loggers
        .levels()
        .map(([scope, level]) => `  ${scope}: ${level}\n`)
        .join('')}\n`,
    };
  }

  #home(): string {
    const rows = [...this.#handlers]
      .map(
        ([path, { help, post }]) =>
          `<tr><td>${post === true ? path : `<a href="${path}">${path}</a>`}</td><td>${help.replaceAll('<', '&lt;')}</td></tr>`,
      )
      .join('\n');
    return `<!doctype html>\n<title>Fairlead proxy</title>\n<table>\n${rows}\n</table>\n`;
  }
}

function json(value: JsonValue): Reply {
  return { type: jsonType, body: `${JSON.stringify(typeFirst(value), null, 1)}\n` };
}

/** Puts `@type` before the fields that it explains, as Envoy prints an Any. */
function typeFirst(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(typeFirst);
  if (typeof value !== 'object' || value === null) return value;
  const type = value['@type'];
  return {
    ...(type === undefined ? {} : { '@type': type }),
    ...Object.fromEntries(
      Object.entries(value).flatMap(([key, item]) => (key === '@type' ? [] : [[key, typeFirst(item)]])),
    ),
  };
}

/** Where a listener can be reached; of port 0 what the kernel chose. */
function listenAddresses(
  listener: ReturnType<ProxyServer['listeners']['active']>[number],
): readonly { readonly address: string; readonly port: number; readonly text: string }[] {
  return listener.sockets.length > 0 ? listener.sockets.map(({ address }) => address) : listener.addresses;
}

const statTypes = ['All', 'Counters', 'Gauges', 'Histograms', 'TextReadouts'] as const;

function isStatType(type: string): type is StatType {
  return (statTypes as readonly string[]).includes(type);
}

function isLogLevel(level: string): level is LogLevel {
  return (logLevels as readonly string[]).includes(level);
}

interface LevelChange {
  readonly scope: string | undefined;
  readonly level: string;
}

/** `?level=debug`, `?paths=http:debug,router:info`, `?http=debug`. */
function readLevels(params: URLSearchParams): LevelChange[] {
  return [...params].flatMap(([key, value]): LevelChange[] => {
    if (key === 'level') return [{ scope: undefined, level: value }];
    if (key !== 'paths') return [{ scope: key, level: value }];
    return value.split(',').map((pair) => {
      const colon = pair.lastIndexOf(':');
      return { scope: pair.slice(0, Math.max(0, colon)), level: pair.slice(colon + 1) };
    });
  });
}

/** RE2, found anywhere in the name; without a pattern everything matches. Throws for a bad pattern. */
function regexFilter(pattern: string | null): (name: string) => boolean {
  if (pattern === null || pattern === '') return () => true;
  const regex = RE2JS.compile(pattern);
  return (name) => regex.matcher(name).find();
}

function fullMatch(pattern: string): (name: string) => boolean {
  const regex = RE2JS.compile(pattern);
  return (name) => regex.matcher(name).matches();
}

function memoryJson(): JsonValue {
  const memory = process.memoryUsage();
  return {
    allocated: String(memory.heapUsed + memory.external),
    heap_size: String(memory.heapTotal),
    total_physical_bytes: String(memory.rss),
  };
}
