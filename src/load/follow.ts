// What a proxy asks for next: the endpoints of clusters, the routes of listeners. As Envoy: a cluster of type EDS by
// its `service_name` or its own name, a listener by each HTTP connection manager that names its routes.
import { Fields, textAt } from '../api/wire-format.ts';

/** envoy.config.cluster.v3.Cluster.DiscoveryType.EDS */
const eds = 3;
const hcmUrl = Buffer.from(
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
);

export interface SeenCluster {
  readonly name: string;
  /** Undefined where it is not of type EDS. */
  readonly endpointsName: string | undefined;
}

/** Reads a Cluster between two offsets. Throws MalformedMessage. */
export function readCluster(bytes: Uint8Array, start: number, end: number): SeenCluster {
  let name = '';
  let serviceName = '';
  let type = 0;
  const fields = new Fields(bytes, start, end);
  while (fields.next()) {
    if (fields.number === 1) name = textAt(bytes, fields.start, fields.end);
    else if (fields.number === 2) type = fields.value;
    else if (fields.number === 3) serviceName = textOfField(bytes, fields.start, fields.end, 2);
    // Encoders write in the order of numbers, and what follows is long.
    if (fields.number > 3 && type !== 0 && name !== '') break;
  }
  return { name, endpointsName: type !== eds ? undefined : serviceName === '' ? name : serviceName };
}

export interface SeenListener {
  readonly name: string;
  /** No name twice. */
  readonly routeNames: readonly string[];
}

const filterChains = 3;
const defaultFilterChain = 25;
const apiListener = 19;

/** Reads a Listener between two offsets. Throws MalformedMessage. */
export function readListener(bytes: Uint8Array, start: number, end: number): SeenListener {
  let name = '';
  const routeNames = new Set<string>();
  const fields = new Fields(bytes, start, end);
  while (fields.next()) {
    if (fields.number === 1) name = textAt(bytes, fields.start, fields.end);
    else if (fields.number === filterChains || fields.number === defaultFilterChain)
      readChain(bytes, fields.start, fields.end, routeNames);
    else if (fields.number === apiListener) {
      const inner = new Fields(bytes, fields.start, fields.end);
      while (inner.next()) if (inner.number === 1) readManager(bytes, inner.start, inner.end, routeNames);
    }
  }
  return { name, routeNames: [...routeNames] };
}

function readChain(bytes: Uint8Array, start: number, end: number, into: Set<string>): void {
  const chain = new Fields(bytes, start, end);
  while (chain.next()) {
    if (chain.number !== 3) continue;
    const filter = new Fields(bytes, chain.start, chain.end);
    while (filter.next()) if (filter.number === 4) readManager(bytes, filter.start, filter.end, into);
  }
}

/** An Any: looked into only where it is an HTTP connection manager. */
function readManager(bytes: Uint8Array, start: number, end: number, into: Set<string>): void {
  const any = new Fields(bytes, start, end);
  let isManager = false;
  while (any.next()) {
    if (any.number === 1) isManager = hcmUrl.equals(bytes.subarray(any.start, any.end));
    else if (any.number === 2 && isManager) {
      const manager = new Fields(bytes, any.start, any.end);
      while (manager.next()) {
        if (manager.number !== 3) continue;
        const name = textOfField(bytes, manager.start, manager.end, 2);
        if (name !== '') into.add(name);
      }
    }
  }
}

/** The name of any resource whose field 1 it is: all types of xDS but a few. */
export function readName(bytes: Uint8Array, start: number, end: number): string {
  return textOfField(bytes, start, end, 1);
}

function textOfField(bytes: Uint8Array, start: number, end: number, number: number): string {
  const fields = new Fields(bytes, start, end);
  while (fields.next()) if (fields.number === number) return textAt(bytes, fields.start, fields.end);
  return '';
}
