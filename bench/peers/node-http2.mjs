// node:http2 on both sides, doing the work of one gateway: node bench/peers/node-http2.mjs PORT BACKEND-PORT...
import { randomUUID } from 'node:crypto';
import http2 from 'node:http2';

const [port, ...backends] = process.argv.slice(2).map(Number);
const hosts = new Set(Array.from({ length: 100 }, (_, index) => `host-${index}.bench`));
const sessions = backends.map((backend) => http2.connect(`http://127.0.0.1:${backend}`));
let next = 0;

const server = http2.createServer({ settings: { maxConcurrentStreams: 1024 } });
server.on('stream', (stream, head) => {
  stream.on('error', () => {});
  if (!hosts.has(head[':authority'])) {
    stream.respond({ ':status': 404 }, { endStream: true });
    return;
  }
  delete head['x-internal'];
  head['x-route'] = 'default';
  head['x-request-id'] ??= randomUUID();
  head['x-forwarded-proto'] = 'http';
  head['x-forwarded-for'] = stream.session.socket.remoteAddress;
  next = (next + 1) % sessions.length;
  const upstream = sessions[next].request(head, { endStream: stream.endAfterHeaders });
  upstream.on('error', () => stream.close());
  let trailers;
  upstream.on('trailers', (received) => (trailers = received));
  upstream.on('response', (answer) => {
    // The load generator leaves in the middle of its last requests.
    if (stream.destroyed) return;
    delete answer['x-version'];
    answer['x-gateway'] = 'bench';
    stream.respond(answer, { waitForTrailers: true });
    stream.on('wantTrailers', () => (stream.destroyed ? undefined : stream.sendTrailers(trailers ?? {})));
    upstream.pipe(stream);
  });
  if (!stream.endAfterHeaders) stream.pipe(upstream);
});
server.listen(port, '127.0.0.1');
