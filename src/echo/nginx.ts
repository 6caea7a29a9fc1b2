// The manners of a stock nginx 1.25.3: so that walkthroughs written for it give the same headers
// (names, order, case, length of the page) and the same log line.
import type { IncomingMessage } from 'node:http';
import type { Answer } from './http-server.ts';

const serverName = 'nginx/1.25.3';
/** Length of nginx's own welcome page: what `content-length: 615` of the walkthroughs means. */
const welcomeBytes = 615;

const welcomePage = page(
  'It works',
  'This is the small test server of Fairlead. It answers with the headers of nginx, so that examples written for nginx show here what they show there.',
  welcomeBytes,
);
const notFoundPage = page('404 Not Found', serverName, 153);
const methodPage = page('405 Not Allowed', serverName, 157);

/** What nginx with its default site answers: its page on `/` and `/index.html`, 404 elsewhere. */
export function nginxAnswer(request: Pick<IncomingMessage, 'method' | 'url'>, nowMs: number): Answer {
  const path = (request.url ?? '/').split('?')[0];
  const readOnly = request.method === 'GET' || request.method === 'HEAD';
  const date = new Date(nowMs).toUTCString();
  if (readOnly && (path === '/' || path === '/index.html')) {
    return {
      status: 200,
      headers: [
        ['Server', serverName],
        ['Date', date],
        ['Content-Type', 'text/html'],
        ['Content-Length', String(welcomeBytes)],
        ['Last-Modified', 'Tue, 24 Oct 2023 13:46:47 GMT'],
        ['Connection', 'keep-alive'],
        ['ETag', '"6537cac7-267"'],
        ['Accept-Ranges', 'bytes'],
      ],
      body: welcomePage,
    };
  }
  const body = readOnly ? notFoundPage : methodPage;
  return {
    status: readOnly ? 404 : 405,
    headers: [
      ['Server', serverName],
      ['Date', date],
      ['Content-Type', 'text/html'],
      ['Content-Length', String(body.length)],
      ['Connection', 'keep-alive'],
    ],
    body,
  };
}

/** nginx's `main` format: address, time, request line, status, body bytes, referer, agent, forwarded-for. */
export function nginxLogLine(
  request: IncomingMessage,
  status: number,
  bodyBytes: number,
  nowMs: number,
): string {
  const time = new Date(nowMs);
  const month = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'][
    time.getUTCMonth()
  ];
  const day = String(time.getUTCDate()).padStart(2, '0');
  const stamp = `${day}/${month}/${time.getUTCFullYear()}:${time.toISOString().slice(11, 19)} +0000`;
  const quoted = (name: string): string => {
    const value = request.headers[name];
    // A caller must not be able to write a line of its own.
    return (typeof value === 'string' && value !== '' ? value : '-').replaceAll(/["\\\p{Cc}]/gu, '_');
  };
  const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`.replaceAll('"', '%22');
  const source = request.socket.remoteAddress ?? '-';
  return `${source} - - [${stamp}] "${line}" ${status} ${bodyBytes} "${quoted('referer')}" "${quoted('user-agent')}" "${quoted('x-forwarded-for')}"`;
}

/** A page of exactly `bytes` bytes (ASCII), filled up before its last tag. */
function page(title: string, text: string, bytes: number): Buffer {
  const head = `<html>\n<head><title>${title}</title></head>\n<body>\n<h1>${title}</h1>\n<p>${text}</p>\n`;
  const tail = '</body>\n</html>\n';
  return Buffer.from(head + ' '.repeat(Math.max(0, bytes - head.length - tail.length)) + tail, 'latin1');
}
