// The control plane: objects of a store in, xDS out. See docs/life-of-a-push.md.
import { availableParallelism, hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { systemClock } from '../base/clock.ts';
import type { LoggerRegistry, Logger } from '../base/logger.ts';
import { UserError } from '../base/user-error.ts';
import { fairleadVersion } from '../base/version.ts';
import { Graph } from '../collections/index.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { defaultMeshConfig } from '../config/mesh-config.ts';
import type { ConfigChange, ConfigStore } from '../config/store.ts';
import type { ProxyNode, ProxyType } from '../model/proxy-node.ts';
import { servedKinds } from '../translate/index.ts';
import type { ProxyScope } from '../translate/resource.ts';
import { proxyScope } from '../translate/scope.ts';
import type { World } from '../translate/world.ts';
import { XdsServer } from '../xds/server/server.ts';
import { defaultRate } from '../xds/server/rate-limit.ts';
import { originsIn } from './delivery/blame.ts';
import { DebugServer } from './debug/debug-server.ts';
import { answeringDebugTypes } from './debug/debug-types.ts';
import { debugTypes } from './debug/tool-streams.ts';
import type { RejectedResources } from './delivery/delivery.ts';
import { Gate } from './identity/gate.ts';
import type { JwtRule } from './identity/jwt-rule.ts';
import type { SecurePortOptions } from './identity/secure-port.ts';
import { SecurePort } from './identity/secure-port.ts';
import type { IssuedTokens } from './identity/token-authenticator.ts';
import { PushLog } from './distribution/push-log.ts';
import { RevisionLedger } from './distribution/revisions.ts';
import { LeftOutServers, countByGateway, leftOutServers } from './left-out-servers.ts';
import { meshCounts } from './metrics/mesh-gauges.ts';
import { oncePerState } from './metrics/once-per-state.ts';
import { PilotMetrics } from './metrics/pilot-metrics.ts';
import { ProxyConnection } from './proxy-connection.ts';
import { parseProxyNode } from './proxy-node.ts';
import { PushQueue } from './push/push-queue.ts';
import { RecentlyTold } from '../base/recently-told.ts';
import type { PushReason, PushRequest } from './push/push-request.ts';
import { Debounce } from './push/push-request.ts';
import type { ConnectedProxy } from './push-status.ts';
import { unlessFailed } from './push-status.ts';
import type { AnyResourceKind } from './resources/resources.ts';
import { ReportServices } from './report-services.ts';
import { Resources } from './resources/resources.ts';
import { SecretsLeftOut } from './secrets-left-out.ts';
import { formatOrigin } from './source-position.ts';
import { StreamsOfProxy } from './streams-of-proxy.ts';
import type { PilotFeatures } from './world/world.ts';
import { PilotWorld, worldKinds } from './world/world.ts';

export interface PilotOptions {
  readonly store: ConfigStore;
  readonly loggers: LoggerRegistry;
  readonly clock?: Clock;
  readonly meshConfig?: MeshConfig;
  /** `address:port` of plaintext gRPC; port 0 takes a free one. */
  readonly grpcAddress: string;
  /** `address:port` of metrics and debug pages; port 0 takes a free one. */
  readonly httpAddress: string;
  /** Names of the flags, for messages about ports in use. */
  readonly flags?: { readonly grpc: string; readonly http: string; readonly secure?: string };
  /** Proxies are refused, and /ready answers 503, until this is true. Default: the store is complete. */
  readonly synced?: () => boolean;
  /** Whether the debug pages answer clients that are not on this machine. Default: no. */
  readonly debugForAll?: boolean;
  /** Connections are closed when they reach this age. Default: never. */
  readonly connectionAgeMsMax?: number;
  /** New streams a second, and pushes at a time. Default: Istio's formula. */
  readonly rate?: number;
  /** How busy the process is, 0 to 1, since it was last asked: see RateLimit. Default: it always is. */
  readonly busyShare?: () => number;
  /** Where the store's objects come from; for tools that write there. Default: nowhere that they could write. */
  readonly configSources?: readonly ConfigSource[];
  /** The port through TLS, where proxies must show who they are; needs files. Default: it is not opened. */
  readonly secure?: SecurePortOptions;
  /** Whose tokens are believed beside client certificates. Default: nobody's. */
  readonly jwtRule?: JwtRule;
  /** Tokens of proxies that were started here. Default: there are none. */
  readonly issuedTokens?: IssuedTokens;
  /** Whether a service account may read the Secrets of its namespace. Default: each may (docs/decisions/0015). */
  readonly mayReadSecrets?: (namespace: string, serviceAccount: string) => boolean;
  /** Default: none. */
  readonly features?: PilotFeatures;
  /** What is served; default: translate's servedKinds. */
  readonly kinds?: readonly AnyResourceKind[];
  /** Default: translate's. */
  readonly scopeOf?: (world: World, node: ProxyNode) => ProxyScope;
}

/** A directory or file of configuration. */
export interface ConfigSource {
  /** As it stands in positions. */
  readonly path: string;
  readonly absolutePath: string;
}

export interface Pilot {
  readonly grpcPort: number;
  readonly httpPort: number;
  /** 0: it is not open. */
  readonly securePort: number;
  /** Proxies connected now. */
  readonly connections: ReadonlySet<ProxyConnection>;
  setMeshConfig(mesh: MeshConfig): void;
  /** Ends all streams, stops listening and lets go of the store. */
  close(): Promise<void>;
}

/** Listens and serves until closed. Rejects with a UserError where an address cannot be had. */
export async function startPilot(options: PilotOptions): Promise<Pilot> {
  const pilot = new PilotServer(options);
  try {
    await pilot.listen();
  } catch (error) {
    await pilot.close();
    throw error;
  }
  return pilot;
}

/** How often derivations that nobody needs are dropped. */
const evictionMs = 60_000;

export class PilotServer implements Pilot {
  readonly options: PilotOptions;
  readonly clock: Clock;
  readonly graph: Graph;
  readonly world: PilotWorld;
  readonly resources: Resources;
  readonly metrics: PilotMetrics;
  readonly connections = new Set<ProxyConnection>();
  readonly reports: ReportServices;
  readonly ledger: RevisionLedger;
  readonly pushLog: PushLog;
  /** As istiod says it of itself: `ControlPlane.identifier`. */
  readonly identity: { readonly Component: string; readonly ID: string };
  grpcPort = 0;
  httpPort = 0;
  securePort = 0;
  /** Who may speak. */
  readonly gate: Gate;
  readonly #logger: Logger;
  readonly #ads: XdsServer;
  readonly #http: DebugServer;
  #secure: SecurePort | undefined;
  readonly #debounce: Debounce;
  readonly #queue: PushQueue<ProxyConnection>;
  readonly #streams = new StreamsOfProxy<ProxyConnection>();
  readonly #disposals: (() => void)[] = [];
  /** Grows when a proxy connects or goes. */
  #connectionChanges = 0;
  #versionInfo: string;
  readonly #refusalsTold = new RecentlyTold(refusalSilenceMs);
  readonly #leftOut = new LeftOutServers();
  readonly #secretsLeftOut: SecretsLeftOut;
  readonly #startedMs: number;
  #pushes = 0;

  constructor(options: PilotOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.#logger = options.loggers.logger('ads');
    this.#startedMs = this.clock.monotonicMs();
    this.ledger = new RevisionLedger(this.clock);
    this.pushLog = new PushLog({
      clock: this.clock,
      logger: this.#logger,
      services: () => this.world.services().length,
    });
    this.identity = { Component: 'fairlead', ID: `fairlead.${hostname()}` };
    this.#versionInfo = this.#nextVersion();
    this.graph = new Graph({
      failed: (error) => {
        this.metrics.internalErrors.add();
        const cause = error.cause instanceof Error ? error.cause.stack : error.message;
        this.#logger.error(`${error.label} failed: ${cause}`);
      },
    });
    // Every proxy's scope is walked for these: once for each state of the mesh, however often somebody asks.
    const state = (): string => `${this.graph.revision}/${this.#connectionChanges}`;
    this.metrics = new PilotMetrics({
      services: () => this.world.services().length,
      virtualServices: () => options.store.list('VirtualService').length,
      queue: () => this.#queue.size,
      mesh: oncePerState(state, () => meshCounts(options.store, this.world, this.connectedProxies())),
      uptimeSeconds: () => (this.clock.monotonicMs() - this.#startedMs) / 1000,
      leftOutServers: oncePerState(state, () =>
        countByGateway(leftOutServers(this.world, this.connectedProxies('router'))),
      ),
    });
    this.world = new PilotWorld(this.graph, options.meshConfig ?? defaultMeshConfig, options.features, {
      nowMs: () => this.clock.now(),
      complain: (line) => {
        this.metrics.sdsCertificateErrors.add();
        this.#logger.warn(line);
      },
      ...(options.mayReadSecrets === undefined ? {} : { mayRead: options.mayReadSecrets }),
    });
    this.gate = new Gate({
      clock: this.clock,
      logger: this.#logger,
      meshConfig: () => this.graph.untracked(() => this.world.meshConfig()),
      jwtRule: options.jwtRule,
      issuedTokens: options.issuedTokens,
    });
    this.resources = new Resources({
      graph: this.graph,
      world: this.world,
      kinds: options.kinds ?? servedKinds,
      scopeOf: options.scopeOf ?? proxyScope,
      logger: this.#logger,
    });
    this.#secretsLeftOut = new SecretsLeftOut({
      world: this.world,
      resources: this.resources,
      clock: this.clock,
      logger: this.#logger,
      counted: () => this.metrics.sdsCertificateErrors.add(),
    });
    const rate = options.rate ?? defaultRate(availableParallelism());
    this.#queue = new PushQueue({
      push: (connection, request) => this.#pushTo(connection, request),
      concurrency: rate,
      yieldTurn: (next) => void setImmediate(next),
      nowMs: () => this.clock.monotonicMs(),
    });
    this.#debounce = new Debounce({ clock: this.clock, push: (request) => this.#pushAll(request) });
    this.#ads = this.#createXdsServer(rate);
    this.reports = new ReportServices({
      server: this.#ads,
      clock: this.clock,
      logger: this.#logger,
      metrics: this.metrics,
      ready: () => this.synced,
      graph: this.graph,
      world: this.world,
      identityOf: (names, node) => this.gate.identityOf(names, node),
      healthChanged: (service) => {
        this.metrics.inboundUpdates.add(1, { type: inboundTypes.endpoint });
        this.#debounce.add(this.#request('endpoint', [`Health/${service}`]));
      },
    });
    this.#http = new DebugServer({ pilot: this, logger: options.loggers.logger('http') });
    const present = options.store.all().map((after) => ({ key: keyOf(after), after }));
    this.world.apply(present);
    this.ledger.accept(present, true);
    this.#disposals.push(
      options.store.subscribe((changes) => this.#changed(changes)),
      () => this.#debounce.dispose(),
    );
    const eviction = this.clock.every(evictionMs, () => {
      this.graph.evict();
      this.resources.sweep();
    });
    this.#disposals.push(() => eviction.cancel());
  }

  get synced(): boolean {
    return this.options.synced?.() ?? true;
  }

  get versionInfo(): string {
    return this.#versionInfo;
  }

  async listen(): Promise<void> {
    const { grpcAddress, httpAddress, flags, secure } = this.options;
    this.grpcPort = await listenOn(grpcAddress, flags?.grpc, () => this.#ads.listen(grpcAddress));
    this.httpPort = await listenOn(httpAddress, flags?.http, () => this.#http.listen(httpAddress));
    if (secure === undefined) return;
    const port = new SecurePort(secure, {
      clock: this.clock,
      logger: this.#logger,
      connected: this.#ads.secureConnections(),
    });
    this.#secure = port;
    this.securePort = await listenOn(secure.address, flags?.secure, () => port.listen());
  }

  setMeshConfig(mesh: MeshConfig): void {
    this.world.setMeshConfig(mesh);
    this.ledger.acceptMeshConfig();
    this.metrics.inboundUpdates.add(1, { type: 'config' });
    this.#debounce.add(this.#request('global', []));
  }

  /** Looks at every proxy again, as if something had changed (`/debug/adsz?push=true`). */
  pushNow(): number {
    this.#debounce.add({ ...this.#request('debug', []), isForced: true });
    return this.connections.size;
  }

  /** Proxies and what of them counts; one for which translation has failed is told of elsewhere. */
  connectedProxies(type?: ProxyType): readonly ConnectedProxy[] {
    return [...this.connections].flatMap(({ node }) => {
      if (type !== undefined && node.type !== type) return [];
      const scope = unlessFailed(() => this.resources.scope(node));
      return scope === undefined
        ? []
        : [{ id: `${node.podName}.${node.namespace}`, scope, ipAddresses: node.ipAddresses }];
    });
  }

  async close(): Promise<void> {
    for (const dispose of this.#disposals.splice(0)) dispose();
    this.reports.close();
    await Promise.all([this.#ads.close(), this.#http.close()]);
    this.#secure?.close();
  }

  #createXdsServer(rate: number): XdsServer {
    return new XdsServer({
      clock: this.clock,
      logger: this.#logger,
      controlPlane: JSON.stringify({ ...this.identity, Info: { version: fairleadVersion } }),
      ready: () => this.synced,
      authenticate: this.gate.authenticate,
      serves: (typeUrl) => this.resources.serves(typeUrl) || debugTypes.includes(typeUrl),
      streamsPerSecond: rate,
      received: (bytes) => this.metrics.received(bytes),
      // Those who are connected come first.
      busyShare: () => (this.#queue.size > 0 ? 1 : (this.options.busyShare?.() ?? 1)),
      ...(this.options.connectionAgeMsMax === undefined
        ? {}
        : { connectionAgeMsMax: this.options.connectionAgeMsMax }),
      connect: (stream, node) => {
        const said = parseProxyNode(node);
        const identity = this.gate.identityOf(stream.identities, said);
        const connection = new ProxyConnection({
          stream,
          node: identity === undefined ? said : { ...said, identity },
          resources: this.resources,
          metrics: this.metrics,
          clock: this.clock,
          logger: this.#logger,
          ledger: this.ledger,
          pushLog: this.pushLog,
          versionInfo: () => this.#versionInfo,
          rejected: (from, rejected) => this.#rejected(from, rejected),
          failed: (at, error) => this.#failed(at, error),
          clustersAccepted: (from, names) => {
            for (const other of this.#streams.othersOf(from)) other.warmEndpoints(names);
          },
          closed: (gone) => this.#disconnected(gone),
          askedForSecrets: (by) => this.#secretsLeftOut.tell(by),
        });
        this.connections.add(connection);
        this.#connectionChanges++;
        this.#streams.add(connection);
        const { podName, namespace } = connection.node;
        const logged = { id: stream.id, name: `${podName}.${namespace}` };
        this.pushLog.connected(logged, this.#versionInfo, this.ledger.latest);
        this.metrics.clients.add(1, { version: connection.node.istioVersion });
        this.#logger.info(`ADS: new connection ${stream.id} from ${stream.peer}`);
        if (connection.node.type === 'router') this.#tellLeftOut();
        return answeringDebugTypes(this, stream, connection);
      },
    });
  }

  #disconnected(connection: ProxyConnection): void {
    this.connections.delete(connection);
    this.#connectionChanges++;
    this.#streams.remove(connection);
    this.#queue.remove(connection);
    this.pushLog.disconnected(connection.stream.id);
    this.metrics.clients.add(-1, { version: connection.node.istioVersion });
    this.#logger.info(`ADS: ${connection.stream.id} from ${connection.stream.peer} terminated`);
  }

  #changed(changes: readonly ConfigChange[]): void {
    const relevant = changes.filter(({ before, after }) => isWorldKind((after ?? before)?.kind ?? ''));
    this.ledger.accept(changes, relevant.length > 0);
    if (relevant.length === 0) return;
    this.world.apply(relevant);
    // One request for all: merged one by one, ten thousand objects would hold the process up for seconds.
    const reasons = new Map<PushReason, number>();
    const configs = new Set<string>();
    for (const { before, after } of relevant) {
      const reason = reasonOf((after ?? before)?.kind ?? '');
      const isGone = reason === 'service' && after === undefined;
      this.metrics.inboundUpdates.add(1, { type: isGone ? 'svcdelete' : inboundTypes[reason] });
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      configs.add(keyOf(after ?? before));
    }
    this.#debounce.add({ reasons, configs, isForced: false, startMs: this.clock.monotonicMs() });
  }

  #request(reason: PushReason, configs: readonly string[]): PushRequest {
    return {
      reasons: new Map([[reason, 1]]),
      configs: new Set(configs),
      isForced: false,
      startMs: this.clock.monotonicMs(),
    };
  }

  #pushAll(request: PushRequest): void {
    this.#versionInfo = this.#nextVersion();
    this.metrics.debounceTime.observe((this.clock.monotonicMs() - request.startMs) / 1000);
    const changed = [...request.configs].slice(0, 3).join(', ');
    const more = request.configs.size > 3 ? ` and ${request.configs.size - 3} more` : '';
    this.#logger.debug(`push ${this.#versionInfo} to ${this.connections.size} proxies: ${changed}${more}`);
    const pushId = this.pushLog.begin(request, this.#versionInfo, this.ledger.latest);
    for (const connection of this.connections) this.#queue.enqueue(connection, { ...request, pushId });
    this.reports.health.update();
    this.#tellLeftOut();
  }

  /** Gateways' servers that cannot be served: nothing else says so. */
  #tellLeftOut(): void {
    const gateways = this.connectedProxies('router');
    for (const line of this.#leftOut.news(this.options.store, this.world, gateways)) this.#logger.warn(line);
  }

  #pushTo(connection: ProxyConnection, request: PushRequest): Promise<void> | void {
    if (!request.isForced && !connection.isTouched()) return connection.passOver(request);
    for (const [reason, count] of request.reasons) this.metrics.pushTriggers.add(count, { type: reason });
    this.metrics.queueTime.observe((this.clock.monotonicMs() - request.startMs) / 1000);
    try {
      this.#secretsLeftOut.tell(connection);
      return connection.push(request);
    } catch (error) {
      this.pushLog.passed(connection.stream.id, request.pushId);
      this.#failed(connection, error);
    }
  }

  #failed(connection: ProxyConnection, error: unknown): void {
    this.metrics.internalErrors.add();
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#logger.error(`push to ${connection.stream.id} failed: ${detail}`);
  }

  /** B2.02: logged, counted, and blamed on the objects that it came from. */
  #rejected(connection: ProxyConnection, rejected: RejectedResources): void {
    const { typeUrl, resources, message, isCertain } = rejected;
    const type = this.resources.shortName(typeUrl);
    const blamed = resources.slice(0, 5).map(({ name, provenance }) => {
      const origins = originsIn(message, provenance).map((origin) =>
        formatOrigin(this.options.store, origin),
      );
      return origins.length === 0 ? name : `${name} (from ${[...new Set(origins)].join('; ')})`;
    });
    const more = resources.length > 5 ? ` and ${resources.length - 5} more` : '';
    const which = resources.length === 0 ? 'a removal' : `${blamed.join(', ')}${more}`;
    const what = `refused ${isCertain ? '' : 'one of '}${which}`;
    const next = isCertain ? 'not sent again until it changes' : 'they are sent one by one to find it';
    const why = `${what}: ${message.trim().slice(0, refusalLengthMax)}; ${next}`;
    const line = `${type}: ${connection.stream.id} ${why}`;
    // Each proxy's own refusal is on the pages and in proxy-status.
    if (this.#refusalsTold.isNews(`${type} ${why}`, this.clock.monotonicMs())) this.#logger.warn(line);
    else this.#logger.debug(line);
  }

  /** B2.10: time and a counter, the same for all types of one push. */
  #nextVersion(): string {
    return `${new Date(this.clock.now()).toISOString().replace(/\.\d+Z$/, 'Z')}/${++this.#pushes}`;
  }
}

/** The proxies of a mesh refuse the same thing within moments of each other; who breaks it anew is told anew. */
const refusalSilenceMs = 5000;
/** Characters of a refusal that are logged. */
const refusalLengthMax = 2000;

const inboundTypes: Readonly<Record<PushReason, string>> = {
  config: 'config',
  service: 'svc',
  endpoint: 'eds',
  global: 'config',
  debug: 'config',
};

function reasonOf(kind: string): PushReason {
  switch (kind) {
    case 'Service':
    case 'ServiceEntry':
      return 'service';
    case 'Pod':
    case 'Endpoints':
    case 'EndpointSlice':
    case 'WorkloadEntry':
      return 'endpoint';
    default:
      return 'config';
  }
}

function isWorldKind(kind: string): boolean {
  return (worldKinds as readonly string[]).includes(kind);
}

function keyOf(config: ConfigChange['after']): string {
  return config === undefined ? '' : `${config.kind}/${config.namespace}/${config.name}`;
}

async function listenOn(
  address: string,
  flag: string | undefined,
  listen: () => Promise<number>,
): Promise<number> {
  try {
    return await listen();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const inUse = reason.includes('EADDRINUSE') ? 'the port is in use' : reason;
    const hint = flag === undefined ? '' : `; give another address with ${flag}`;
    throw new UserError(`cannot listen on ${address}: ${inUse}${hint}`);
  }
}
