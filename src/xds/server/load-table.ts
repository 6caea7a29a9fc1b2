// What clients have reported of their requests, added up by cluster and locality.
import type {
  ClusterStats,
  UpstreamLocalityStats,
} from '../../api/gen/envoy/config/endpoint/v3/load_report_pb.js';

export interface LocalityLoad {
  /** `region/zone/subzone`; empty where endpoints have none. */
  readonly locality: string;
  readonly priority: number;
  /** Since this process began. */
  readonly issued: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Of the clients that are connected, when each last reported. */
  readonly inProgress: number;
}

export interface ClusterLoad {
  readonly cluster: string;
  /** The name under which its endpoints are asked for, where it is another. */
  readonly service: string;
  /** Requests that were sent nowhere: for lack of room or by order of the control plane. */
  readonly dropped: number;
  readonly localities: readonly LocalityLoad[];
}

interface LocalityRow {
  readonly locality: string;
  readonly priority: number;
  issued: number;
  succeeded: number;
  failed: number;
  inProgress: number;
}

interface ClusterRow {
  readonly name: string;
  readonly service: string;
  dropped: number;
  readonly localities: Map<string, LocalityRow>;
}

/** Clients choose the names: what comes beyond these is added up under one. */
const clustersMax = 10_000;
const localitiesMax = 100;
/** Rows of localities in all clusters together, beside one for the others of each cluster. */
const rowsMax = 20_000;
/** Rows in which one client may have requests in progress: it keeps them until its next report. */
const inProgressMax = 2000;
/** Where names are too many or too long. */
export const otherName = '(other)';
const nameLengthMax = 1024;

/** Told of the requests to a cluster that a client reported, by how they ended. */
export type LoadCounted = (cluster: string, outcome: 'success' | 'error' | 'dropped', count: number) => void;

export class LoadTable {
  readonly #counted: LoadCounted;
  readonly #clusters = new Map<string, ClusterRow>();
  #reports = 0;
  #rows = 0;

  constructor(counted: LoadCounted = () => {}) {
    this.#counted = counted;
  }

  /** Messages taken in. */
  get reports(): number {
    return this.#reports;
  }

  /** Whoever reports now; its requests in progress count until it is closed. */
  open(): LoadReporter {
    const inProgress = new Map<LocalityRow, number>();
    return {
      report: (clusters) => {
        this.#reports++;
        // A report says all that is in progress: what it leaves out has nothing.
        for (const [row, count] of inProgress) row.inProgress -= count;
        inProgress.clear();
        for (const stats of clusters) this.#add(stats, inProgress);
      },
      close: () => {
        for (const [row, count] of inProgress) row.inProgress -= count;
        inProgress.clear();
      },
    };
  }

  /** Sorted by name. */
  clusters(): readonly ClusterLoad[] {
    return [...this.#clusters]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([cluster, { service, dropped, localities }]) => ({
        cluster,
        service,
        dropped,
        localities: [...localities.values()]
          .map((row) => ({ ...row }))
          .sort((a, b) => a.priority - b.priority || (a.locality < b.locality ? -1 : 1)),
      }));
  }

  #add(stats: ClusterStats, inProgress: Map<LocalityRow, number>): void {
    const { clusterName, clusterServiceName, upstreamLocalityStats } = stats;
    const row = this.#cluster(clusterName, clusterServiceName === clusterName ? '' : clusterServiceName);
    row.dropped += Number(stats.totalDroppedRequests);
    this.#counted(row.name, 'dropped', Number(stats.totalDroppedRequests));
    for (const each of upstreamLocalityStats) {
      const place = this.#localityOf(row, each);
      place.succeeded += Number(each.totalSuccessfulRequests);
      place.failed += Number(each.totalErrorRequests);
      this.#counted(row.name, 'success', Number(each.totalSuccessfulRequests));
      this.#counted(row.name, 'error', Number(each.totalErrorRequests));
      place.issued += Number(each.totalIssuedRequests);
      const now = Number(each.totalRequestsInProgress);
      if (now === 0 || (inProgress.size >= inProgressMax && !inProgress.has(place))) continue;
      place.inProgress += now;
      inProgress.set(place, (inProgress.get(place) ?? 0) + now);
    }
  }

  #cluster(written: string, service: string): ClusterRow {
    const isOdd = written.length > nameLengthMax || service.length > nameLengthMax;
    const isFull = this.#clusters.size >= clustersMax && !this.#clusters.has(written);
    const name = isOdd || isFull ? otherName : written;
    let row = this.#clusters.get(name);
    if (row === undefined) {
      row = { name, service: name === otherName ? '' : service, dropped: 0, localities: new Map() };
      this.#clusters.set(name, row);
    }
    return row;
  }

  #localityOf({ localities }: ClusterRow, { locality, priority }: UpstreamLocalityStats): LocalityRow {
    const { region = '', zone = '', subZone = '' } = locality ?? {};
    // Before anything looks into it: patterns take long for what is endless.
    const isOdd = region.length + zone.length + subZone.length > nameLengthMax;
    const written = isOdd ? otherName : [region, zone, subZone].join('/').replace(/\/+$/, '');
    const key = `${priority}/${written}`;
    const isFull = (localities.size >= localitiesMax || this.#rows >= rowsMax) && !localities.has(key);
    const place = isOdd || isFull ? otherName : written;
    const placeKey = place === otherName ? otherName : key;
    let row = localities.get(placeKey);
    if (row === undefined) {
      const ofPlace = place === otherName ? 0 : priority;
      row = { locality: place, priority: ofPlace, issued: 0, succeeded: 0, failed: 0, inProgress: 0 };
      localities.set(placeKey, row);
      if (place !== otherName) this.#rows++;
    }
    return row;
  }
}

export interface LoadReporter {
  report(clusters: readonly ClusterStats[]): void;
  close(): void;
}
