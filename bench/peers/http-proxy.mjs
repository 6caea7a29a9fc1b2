// The peer `http-proxy`: node bench/peers/http-proxy.mjs PORT BACKEND_PORT ...
import http from 'node:http';
import httpProxy from 'http-proxy';

const [port, ...backends] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const proxy = httpProxy.createProxyServer({ agent, xfwd: true });
proxy.on('error', (error, request, response) => {
  response.writeHead(502);
  response.end(error.message);
});
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
    proxy.web(request, response, { target: `http://127.0.0.1:${backends[next]}` });
  })
  .listen(port, '127.0.0.1');
