// One connection, from a client that a PROXY header says to be elsewhere, and the backend behind all clusters.
import { connect as connectHttp2 } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import type { Certificate } from '../../test/support/certificates.ts';
import type { FuzzConnection } from './generate.ts';

export const clientAddresses = { 4: '10.1.0.9', 6: '2001:db8::9' } as const;
/** How long a client waits for an answer before it goes. */
const patienceMs = 1500;

/** Answers HTTP/1 and bytes, and lets go of all else, so that no client waits. */
export function startStreamBackend(address: string, port: number): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (bytes) => {
      const isHttp = /^[A-Z]+ \S+ HTTP\/1\.[01]\r\n/.test(bytes.toString('latin1'));
      if (isHttp) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      else socket.end(bytes[0] === 0x16 ? '' : 'bye\n');
    });
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, address, () => resolve(server));
  });
}

export interface Ends {
  /** Of the client: the proxy's logs know it by this address. */
  readonly from: string;
  readonly address: string;
  readonly port: number;
}

/** Speaks, and hangs up when answered. */
export async function speak(ends: Ends, connection: FuzzConnection, certificate: Certificate): Promise<void> {
  const socket = connect({ host: ends.address, port: ends.port, localAddress: ends.from });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', reject);
  });
  const { address, port } = connection;
  const family = address.includes(':') ? 6 : 4;
  socket.write(`PROXY TCP${family} ${clientAddresses[family]} ${address} 40000 ${port}\r\n`);
  const timer = setTimeout(() => socket.destroy(), patienceMs);
  const stream = connection.tls === undefined ? socket : await secured(socket, connection.tls, certificate);
  if (stream !== undefined) await talk(stream, connection);
  socket.destroy();
  clearTimeout(timer);
  await closed;
}

/** Undefined where the handshake fails. */
function secured(
  socket: Socket,
  { sni, alpn }: NonNullable<FuzzConnection['tls']>,
  certificate: Certificate,
): Promise<TLSSocket | undefined> {
  return new Promise((resolve) => {
    const stream = connectTls({
      socket,
      cert: certificate.chain,
      key: certificate.key,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(sni !== '' && { servername: sni }),
      ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
    });
    stream.once('secureConnect', () => resolve(stream));
    stream.on('error', () => resolve(undefined));
    socket.once('close', () => resolve(undefined));
  });
}

function talk(stream: Socket, connection: FuzzConnection): Promise<void> {
  const { speech, bytes, method, host, path, headers } = connection;
  const ended = new Promise<void>((resolve) => {
    stream.once('close', () => resolve());
    stream.once('end', () => resolve());
    stream.on('error', () => resolve());
  });
  const agreed = 'alpnProtocol' in stream ? stream.alpnProtocol : false;
  const isHttp2 = agreed === 'h2' ? speech !== 'bytes' : speech === 'h2c' && agreed === false;
  if (isHttp2) return Promise.race([ended, talkHttp2(stream, connection)]);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  stream.write(
    speech === 'bytes'
      ? Buffer.from(bytes ?? '', 'latin1')
      : `${method} ${path} ${speech === 'http/1.0' ? 'HTTP/1.0' : 'HTTP/1.1'}\r\nHost: ${host}\r\n${lines.join('')}Connection: close\r\nContent-Length: 0\r\n\r\n`,
  );
  const answered = new Promise<void>((resolve) => {
    stream.once('data', () => resolve());
  });
  return Promise.race([ended, answered]);
}

function talkHttp2(stream: Socket, { method, host, path, headers }: FuzzConnection): Promise<void> {
  return new Promise((resolve) => {
    const session = connectHttp2('http://any', { createConnection: () => stream });
    session.on('error', () => resolve());
    const request = session.request({
      ':method': method,
      ':authority': host,
      ':path': path,
      ':scheme': 'encrypted' in stream ? 'https' : 'http',
      ...headers,
    });
    request.on('error', () => resolve());
    request.on('response', () => resolve());
    request.on('close', () => resolve());
    request.end();
  });
}
