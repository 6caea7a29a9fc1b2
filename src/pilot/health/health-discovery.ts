// Health discovery (HDS): clients offer to check endpoints, are told which, and report how they found them. Services
// ask for it with the annotation fairlead/health-check; what is found unwell is UNHEALTHY in EDS for as long as whoever
// found it so is connected and says so.
import { fromBinary } from '@bufbuild/protobuf';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import type { Endpoint } from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type {
  Capability_Protocol,
  EndpointHealthResponse,
  HealthCheckRequestOrEndpointHealthResponse as Message,
} from '../../api/gen/envoy/service/health/v3/hds_pb.js';
import { HealthCheckRequestOrEndpointHealthResponseSchema } from '../../api/gen/envoy/service/health/v3/hds_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Derived, Graph } from '../../collections/index.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { ReportHandler, ReportStream } from '../../xds/server/report-stream.ts';
import { ReportService } from '../../xds/server/report-stream.ts';
import type { XdsServer } from '../../xds/server/server.ts';
import { StreamError, grpcStatus } from '../../xds/server/stream-error.ts';
import type { CheckedPort } from './health-checks.ts';
import { checkedPorts, specifierOf } from './health-checks.ts';
import type { HealthFindings } from './health-reports.ts';
import { HealthReports } from './health-reports.ts';
import { parseProxyNode } from '../proxy-node.ts';
import type { PilotWorld } from '../world/world.ts';

export interface HealthDiscoveryOptions {
  readonly server: XdsServer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly graph: Graph;
  readonly world: PilotWorld;
  readonly ready: () => boolean;
  /** Throws StreamError for clients that may not say how endpoints are. */
  readonly admit: (stream: ReportStream, node: ProxyNode) => void;
  /** The health of a service's endpoints in the world has changed: proxies are to be told. */
  readonly changed: (service: string) => void;
}

/** Each keeps a table of what it was asked and of what it found. */
const clientsMax = 100;

export class HealthDiscovery {
  readonly reports: HealthReports;
  readonly #options: HealthDiscoveryOptions;
  readonly #service: ReportService<Message>;
  readonly #ports: Derived<string, readonly CheckedPort[]>;
  readonly #checkers = new Set<Checker>();

  /** Call before the server listens. */
  constructor(options: HealthDiscoveryOptions) {
    this.#options = options;
    const { graph, world, clock, logger, ready } = options;
    this.#ports = graph.derived({
      name: 'checked-ports',
      compute: (namespace: string) => checkedPorts(world, namespace),
    });
    this.reports = new HealthReports((service, unwell) => {
      world.setUnwell(service, unwell);
      logger.info(
        `HDS: unwell of ${service}: ${unwell.length === 0 ? 'none' : unwell.slice(0, 5).join(', ')}`,
      );
      options.changed(service);
    });
    this.#service = new ReportService(options.server, {
      name: 'HDS',
      service: 'envoy.service.health.v3.HealthDiscoveryService',
      method: 'StreamHealthCheck',
      clock,
      logger,
      ready,
      streamsMax: clientsMax,
      decode: (bytes) => fromBinary(HealthCheckRequestOrEndpointHealthResponseSchema, bytes),
      nodeOf: ({ requestType }) =>
        requestType.case === 'healthCheckRequest' ? requestType.value.node : undefined,
      connect: (stream, said, first) => {
        const node = parseProxyNode(said);
        options.admit(stream, node);
        return this.#connect(stream, node.namespace, first);
      },
    });
  }

  /** Clients that check now. */
  get size(): number {
    return this.#service.size;
  }

  /** Something has changed in the world: clients are told if it is about what they check. */
  update(): void {
    for (const checker of this.#checkers) checker.update();
  }

  close(): void {
    this.#service.close();
  }

  #connect(stream: ReportStream, namespace: string, first: Message): ReportHandler<Message> {
    const { requestType } = first;
    const protocols =
      requestType.case === 'healthCheckRequest'
        ? (requestType.value.capability?.healthCheckProtocols ?? [])
        : [];
    const checker = new Checker(stream, protocols, this.reports, () => {
      const outcome = this.#ports.attempt(namespace);
      return outcome.ok ? outcome.value : undefined;
    });
    this.#checkers.add(checker);
    checker.update();
    return {
      received: ({ requestType: { case: kind, value } }) => {
        if (kind === 'endpointHealthResponse') checker.take(value);
        else if (kind === undefined)
          throw new StreamError(grpcStatus.INVALID_ARGUMENT, 'neither a request nor a report');
      },
      drained: () => checker.update(),
      closed: () => {
        this.#checkers.delete(checker);
        this.reports.remove(checker);
        this.#options.logger.debug(`HDS: ${stream.peer} has gone`);
      },
    };
  }
}

/** One client. */
class Checker {
  readonly #stream: ReportStream;
  readonly #protocols: readonly Capability_Protocol[];
  readonly #reports: HealthReports;
  readonly #ports: () => readonly CheckedPort[] | undefined;
  #told: readonly CheckedPort[] | undefined;
  #sent: Uint8Array | undefined;
  /** By cluster name: the service and the endpoints that it was asked to check. */
  #asked = new Map<string, { readonly service: string; readonly endpoints: ReadonlySet<string> }>();

  constructor(
    stream: ReportStream,
    protocols: readonly Capability_Protocol[],
    reports: HealthReports,
    ports: () => readonly CheckedPort[] | undefined,
  ) {
    this.#stream = stream;
    this.#protocols = protocols;
    this.#reports = reports;
    this.#ports = ports;
  }

  /** Tells the client what to check, if that has changed. */
  update(): void {
    const ports = this.#ports();
    if (ports === undefined || ports === this.#told) return;
    const specifier = specifierOf(ports, this.#protocols);
    // Derivations that nobody holds are made anew now and then, and come out the same.
    const isSame = this.#sent !== undefined && Buffer.compare(this.#sent, specifier) === 0;
    // Not read yet what it was told before: `drained` comes back here.
    if (!isSame && !this.#stream.send(specifier)) return;
    this.#told = ports;
    this.#sent = specifier;
    this.#asked = new Map(
      ports.map(({ name, service, endpoints }) => [
        name,
        { service, endpoints: new Set(endpoints.map(({ address, port }) => `${address}:${port}`)) },
      ]),
    );
  }

  /** Of what it was not asked to check, it may say what it likes. */
  take({ clusterEndpointsHealth }: EndpointHealthResponse): void {
    const findings = new Map<string, Map<string, boolean>>();
    for (const { clusterName, localityEndpointsHealth } of clusterEndpointsHealth) {
      const asked = this.#asked.get(clusterName);
      if (asked === undefined) continue;
      const found = findings.get(asked.service) ?? new Map<string, boolean>();
      for (const { endpointsHealth } of localityEndpointsHealth) {
        for (const { endpoint, healthStatus } of endpointsHealth) {
          const place = placeOf(endpoint);
          const isWell = verdicts[healthStatus];
          if (place !== undefined && isWell !== undefined && asked.endpoints.has(place))
            found.set(place, isWell);
        }
      }
      findings.set(asked.service, found);
    }
    this.#reports.report(this, findings satisfies HealthFindings);
  }
}

/** Undefined: it does not know (yet). */
const verdicts: Readonly<Partial<Record<HealthStatus, boolean>>> = {
  [HealthStatus.HEALTHY]: true,
  [HealthStatus.DEGRADED]: true,
  [HealthStatus.UNHEALTHY]: false,
  [HealthStatus.DRAINING]: false,
  [HealthStatus.TIMEOUT]: false,
};

function placeOf(endpoint: Endpoint | undefined): string | undefined {
  const address = endpoint?.address?.address;
  if (address?.case !== 'socketAddress' || address.value.portSpecifier.case !== 'portValue') return undefined;
  return `${address.value.address}:${address.value.portSpecifier.value}`;
}
