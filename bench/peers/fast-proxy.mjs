// The peer `fast-proxy`: node bench/peers/fast-proxy.mjs PORT BACKEND_PORT ...
import http from 'node:http';
import fastProxy from 'fast-proxy';

const [port, ...backends] = process.argv.slice(2).map(Number);
const proxies = fastProxy({ base: `http://127.0.0.1:${backends[0]}`, maxSockets: 256 });
const hosts = new Map(Array.from({ length: 100 }, (_, i) => [`host-${i}.bench`, true]));
let next = 0;
http
  .createServer((request, response) => {
    if (!hosts.has(request.headers.host)) {
      response.writeHead(404);
      response.end();
      return;
    }
    next = (next + 1) % backends.length;
    proxies.proxy(request, response, request.url, { base: `http://127.0.0.1:${backends[next]}` });
  })
  .listen(port, '127.0.0.1');
