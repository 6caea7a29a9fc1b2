// Random connections to the listeners of a proxy. Most aim at what some listener or chain asks for, so that they
// have a fair chance of being told apart; the rest aim beside it.
import type { Draw } from '../random.ts';
import type { ProxyListeners } from './resources.ts';

/** What the client says once connected (inside TLS, if any). */
export type Speech = 'http/1.1' | 'http/1.0' | 'h2c' | 'bytes';

export interface FuzzConnection {
  /** What captures it: the redirection of what leaves the pod, or of what comes in; a gateway is dialled. */
  readonly to: 'outbound' | 'inbound' | 'gateway';
  readonly address: string;
  readonly port: number;
  /** An empty `sni` sends none. */
  readonly tls?: { readonly sni: string; readonly alpn: readonly string[] } | undefined;
  readonly speech: Speech;
  /** Of `bytes`. */
  readonly bytes?: string | undefined;
  /** Of HTTP. */
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

const otherAddresses = ['10.96.0.1', '10.96.1.3', '10.1.7.7', '10.2.0.1', '192.0.2.9', '203.0.113.5'];
const otherAddresses6 = ['2001:db8::1', '2001:db8::2'];
const otherPorts = [80, 443, 8080, 9000, 9001, 1443, 15001, 12345];
const otherNames = ['', 'nobody.test', 'a.example.com', 'deep.b.example.com', 'B.example.com', 'example.com'];
const alpns: readonly (readonly string[])[] = [
  [],
  ['h2', 'http/1.1'],
  ['http/1.1'],
  ['http/1.0'],
  ['h2'],
  ['istio'],
  ['istio-peer-exchange', 'istio'],
  ['istio-http/1.1', 'istio', 'http/1.1'],
  ['istio-h2', 'istio', 'h2'],
  ['istio-http/1.0', 'istio'],
  ['acme'],
];
/** Near the edge of what a look at the first bytes takes for HTTP. */
const bytes = [
  'hello world\n',
  '\u0000\u0001\u0002\u0003\u0004',
  'get / http/1.1\r\n\r\n',
  'GET / HTTP/2.0\r\n\r\n',
  'GET /\r\n\r\n',
  'FOO / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET  / HTTP/1.1\r\nHost: a\r\n\r\n',
  'PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n',
  'SSH-2.0-OpenSSH_9.0\r\n',
  'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n',
  ' GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1 \r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\r\r\nHost: a\r\n\r\n',
  'GET /\u0001 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n',
  'G,T / HTTP/1.1\r\nHost: a\r\n\r\n',
  'get / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.12\r\nHost: a\r\n\r\n',
  'GET / HTTP/3.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/0.9\r\nHost: a\r\n\r\n',
  'GET / http/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET a HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET ?a HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a@@b HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET http://a"b/ HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /HTTP/1.1\r\nHost: a\r\n\r\n',
  '\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  '\u0016\u0003\u0001hello world, this is not TLS at all',
  '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\nHost: a\n\n',
];

/** Random connections for a proxy with these listeners. */
export function randomConnections(
  draw: Draw,
  proxy: ProxyListeners,
  count: number,
): readonly FuzzConnection[] {
  const targets = targetsOf(proxy);
  return draw.list(count, count, () => connection(draw, proxy, targets));
}

interface Targets {
  readonly outbound: readonly Aim[];
  readonly inbound: readonly Aim[];
  readonly gateway: readonly Aim[];
  readonly names: readonly string[];
  readonly hosts: readonly string[];
}

interface Aim {
  readonly address: string;
  readonly port: number;
}

/** What listeners, chains and virtual hosts name. */
function targetsOf({ listeners, routes }: ProxyListeners): Targets {
  const chains = listeners.flatMap((listener) => listener.filterChains.map((chain) => ({ listener, chain })));
  const own = listeners.flatMap(({ address }) => {
    const socket = address?.address;
    return socket?.case === 'socketAddress'
      ? [{ address: socket.value.address, port: Number(socket.value.portSpecifier.value) }]
      : [];
  });
  const matched = (isInbound: boolean): readonly Aim[] =>
    chains.flatMap(({ listener, chain: { filterChainMatch: match } }) => {
      if ((listener.name === 'virtualInbound') !== isInbound) return [];
      const ports = match?.destinationPort === undefined ? [] : [match.destinationPort];
      const addresses = match?.prefixRanges.map(({ addressPrefix }) => addressPrefix) ?? [];
      return ports.flatMap((port) =>
        (addresses.length === 0 ? ['0.0.0.0'] : addresses).map((address) => ({ address, port })),
      );
    });
  const captured = own.filter(({ port }) => port !== 15_001 && port !== 15_006);
  return {
    outbound: [...captured, ...matched(false)],
    inbound: matched(true),
    // PROXY protocol cannot speak of the address that stands for all.
    gateway: own.map((aim) => (aim.address === '0.0.0.0' ? { ...aim, address: '10.1.0.1' } : aim)),
    names: chains.flatMap(({ chain }) => chain.filterChainMatch?.serverNames ?? []),
    hosts: [...routes.values()].flatMap(({ virtualHosts }) => virtualHosts.flatMap(({ domains }) => domains)),
  };
}

function connection(draw: Draw, { place }: ProxyListeners, targets: Targets): FuzzConnection {
  const to = place === 'gateway' ? 'gateway' : draw.chance(0.3) ? 'inbound' : 'outbound';
  const speech = draw.one<Speech>(['http/1.1', 'http/1.1', 'http/1.1', 'http/1.0', 'h2c', 'bytes', 'bytes']);
  return {
    to,
    ...destination(draw, to, targets),
    ...(draw.chance(0.5) && { tls: { sni: serverName(draw, targets.names), alpn: draw.one(alpns) } }),
    speech,
    ...(speech === 'bytes' && { bytes: draw.one(bytes) }),
    method: draw.one(['GET', 'GET', 'POST']),
    host: host(draw, targets.hosts),
    path: draw.one(['/', '/a', '/a/b', '/v1/users/42', '/x?user=jason']),
    headers: draw.chance(0.2) ? { 'x-user': draw.one(['jason', 'ja', '42']) } : {},
  };
}

function destination(draw: Draw, to: FuzzConnection['to'], targets: Targets): Aim {
  const aims = targets[to];
  if (to === 'gateway') return draw.one(aims);
  const aim = aims.length > 0 && draw.chance(0.85) ? draw.one(aims) : undefined;
  const port = aim?.port ?? draw.one(otherPorts);
  if (to === 'inbound') return { address: draw.chance(0.9) ? '10.1.0.1' : '10.1.0.2', port };
  const wanted = aim?.address ?? '0.0.0.0';
  if (wanted === '::' || (wanted === '0.0.0.0' && draw.chance(0.1)))
    return { address: draw.one(otherAddresses6), port };
  return { address: wanted === '0.0.0.0' ? draw.one(otherAddresses) : wanted, port };
}

function serverName(draw: Draw, names: readonly string[]): string {
  if (names.length === 0 || draw.chance(0.2)) return draw.one(otherNames);
  const name = draw.one(names);
  const plain = name.startsWith('*.') ? `${draw.one(['x', 'y.x'])}${name.slice(1)}` : name;
  return plain === '*' ? 'nobody.test' : draw.chance(0.1) ? plain.toUpperCase() : plain;
}

function host(draw: Draw, hosts: readonly string[]): string {
  const known = hosts.length > 0 && draw.chance(0.85) ? draw.one(hosts) : 'nobody.test';
  const plain = known === '*' ? 'nobody.test' : known.startsWith('*') ? `x${known.slice(1)}` : known;
  return draw.chance(0.1) ? `${plain.replace(/:\d+$/, '')}:${draw.one([80, 443, 9000])}` : plain;
}
