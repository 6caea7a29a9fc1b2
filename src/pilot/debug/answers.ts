// What every debug page is made of: its answer, and how it finds the proxy that it is asked about.
import type { PilotServer } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import { isToolStream } from './tool-streams.ts';

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface DebugPage {
  readonly path: string;
  readonly help: string;
  readonly answer: (pilot: PilotServer, query: URLSearchParams) => Answer;
}

export function plain(status: number, body: string): Answer {
  return {
    status,
    contentType: 'text/plain; charset=utf-8',
    body: body === '' || body.endsWith('\n') ? body : `${body}\n`,
  };
}

/** Compact as istiod's; indented with `?pretty`. */
export function json(value: unknown, query: URLSearchParams): Answer {
  const body = query.has('pretty') ? JSON.stringify(value, null, 2) : JSON.stringify(value);
  return { status: 200, contentType: 'application/json', body };
}

/** By id; without tools that ask us how proxies are. */
export function sortedConnections(pilot: PilotServer): ProxyConnection[] {
  const proxies = [...pilot.connections].filter(({ stream }) => !isToolStream(stream));
  return proxies.sort((a, b) => (a.stream.id < b.stream.id ? -1 : 1));
}

/** The connection whose id contains `proxyID` (as in istiod), or the answer that says why there is none. */
export function connectionOf(pilot: PilotServer, query: URLSearchParams): ProxyConnection | Answer {
  const proxyId = query.get('proxyID') ?? '';
  if (proxyId === '') return plain(400, 'You must provide a proxyID in the query string');
  const all = sortedConnections(pilot);
  const found =
    // The newest of several streams of one proxy.
    all.findLast(({ node }) => node.id === proxyId || podId(node) === proxyId) ??
    all.findLast(({ stream }) => stream.id.includes(proxyId));
  return found ?? notConnected();
}

export function notConnected(): Answer {
  return plain(404, 'Proxy not connected to this Pilot instance. It may be connected to another instance.');
}

/** `pod.namespace` */
export function podId(node: ProxyConnection['node']): string {
  return `${node.podName}.${node.namespace}`;
}
