// The test server behind walkthroughs and conformance cases: answers with what it saw.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import type { Controls } from './controls.ts';
import { controlHelp, readControls } from './controls.ts';
import { nginxAnswer, nginxLogLine } from './nginx.ts';

/** Who this server is: part of every answer. */
export interface EchoIdentity {
  readonly pod: string;
  readonly namespace: string;
  /** The workload's version label. */
  readonly version: string;
  /** Name of the machine. */
  readonly hostname: string;
}

export interface EchoOptions {
  readonly identity: EchoIdentity;
  readonly clock: Clock;
  /** Headers of every answer, before those that a caller asks for. */
  readonly headers: readonly (readonly [string, string])[];
  /** Answer and log as nginx does, instead of with what was seen. */
  readonly manners: 'echo' | 'nginx';
  /** Takes one line a request, without its newline. */
  readonly log: (line: string) => void;
}

export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** What the server saw of a request: the JSON of its answer. */
export interface EchoReport {
  readonly method: string;
  /** The request target as received. */
  readonly path: string;
  readonly httpVersion: string;
  /** Names and values in order and case as received. */
  readonly headers: readonly (readonly [string, string])[];
  /** `address:port` of the peer, and of the socket that took the request. */
  readonly source: string;
  readonly destination: string;
  readonly pod: string;
  readonly namespace: string;
  readonly version: string;
  readonly hostname: string;
  /** Bytes of the request's body, and its text where it is not longer than 64 KiB. */
  readonly bodyBytes: number;
  readonly body: string;
}

const reportedBodyBytesMax = 64 * 1024;
const rememberedRequestsMax = 10_000;
const filler = Buffer.alloc(64 * 1024, 'fairlead ');

/** An HTTP/1.1 server that is not listening yet. No request can make it throw. */
export function createEchoServer(options: EchoOptions): Server {
  const failures = new Map<string, number>();
  const server = createServer({ maxHeaderSize: 128 * 1024 }, (request, response) => {
    request.on('error', () => response.destroy());
    response.on('error', () => response.destroy());
    response.sendDate = options.manners === 'nginx' ? false : response.sendDate;
    serve(options, failures, request, response).catch((error: unknown) => {
      options.log(`could not answer ${request.method} ${request.url}: ${String(error)}`);
      response.destroy();
    });
  });
  // A proxy keeps idle connections for long and must not meet a server that closes them under it.
  server.keepAliveTimeout = 3_600_000;
  return server;
}

async function serve(
  options: EchoOptions,
  failures: Map<string, number>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startMs = options.clock.monotonicMs();
  const source = sourceOf(request);
  const finish = (status: number | 'reset', bodyBytes: number): void => {
    if (options.manners === 'nginx' && status !== 'reset') {
      options.log(nginxLogLine(request, status, bodyBytes, options.clock.now()));
    } else {
      const took = (options.clock.monotonicMs() - startMs).toFixed(1);
      options.log(
        `${new Date(options.clock.now()).toISOString()} ${source} ${request.method} ${printable(request.url ?? '')} ${status} ${bodyBytes}B ${took}ms`,
      );
    }
  };
  let controls: Controls;
  try {
    controls = readControls(request);
  } catch (error) {
    const help = controlHelp.map(([name, text]) => `  ${name}: ${text}`).join('\n');
    const body = Buffer.from(`${(error as Error).message}\n\nWhat can be asked:\n${help}\n`);
    request.resume();
    send(request, response, { status: 400, headers: [['content-type', 'text/plain']], body }, false);
    return finish(400, body.length);
  }
  const received = await readBody(request, controls.body ? 16 * 1024 * 1024 : reportedBodyBytesMax);
  if (controls.delayMs > 0) await sleep(options.clock, controls.delayMs);
  if (controls.close === 'before') {
    request.socket.resetAndDestroy();
    return finish('reset', 0);
  }
  const answer = answerFor(options, controls, failures, request, received);
  if (controls.close !== undefined) {
    await cutShort(request, response, answer, controls.close);
    return finish('reset', 0);
  }
  if (controls.sizeBytes === undefined) {
    send(request, response, answer, controls.chunked);
    return finish(answer.status, request.method === 'HEAD' ? 0 : answer.body.length);
  }
  const sent = await sendFiller(request, response, answer, controls.sizeBytes, controls.chunked);
  finish(answer.status, sent);
}

function answerFor(
  options: EchoOptions,
  controls: Controls,
  failures: Map<string, number>,
  request: IncomingMessage,
  received: ReceivedBody,
): Answer {
  if (options.manners === 'nginx') {
    const answer = nginxAnswer(request, options.clock.now());
    const asked = controls.status === 200 ? answer.status : controls.status;
    return {
      ...answer,
      status: asked,
      headers: [...answer.headers, ...options.headers, ...controls.headers],
    };
  }
  const status = controls.failFirst > 0 ? failingStatus(controls, failures, request) : controls.status;
  const path = (request.url ?? '/').split('?')[0];
  let type = controls.format === 'json' ? 'application/json' : 'text/plain';
  let body: Buffer;
  if (path === '/healthz' || path === '/health' || path === '/ready') {
    type = 'text/plain';
    body = Buffer.from('ok\n');
  } else if (controls.body) {
    type = request.headers['content-type'] ?? 'application/octet-stream';
    body = received.kept;
  } else {
    const report = reportOf(options.identity, request, received);
    body = Buffer.from(controls.format === 'json' ? reportJson(report) : reportText(report));
  }
  return { status, headers: [['content-type', type], ...options.headers, ...controls.headers], body };
}

/** Counts requests with the same x-request-id; the memory of the oldest is dropped. */
function failingStatus(controls: Controls, failures: Map<string, number>, request: IncomingMessage): number {
  const key = String(request.headers['x-request-id'] ?? '');
  const seen = failures.get(key) ?? 0;
  failures.delete(key);
  failures.set(key, seen + 1);
  if (failures.size > rememberedRequestsMax) {
    for (const oldest of failures.keys()) {
      failures.delete(oldest);
      break;
    }
  }
  return seen < controls.failFirst ? controls.status : 200;
}

function reportOf(identity: EchoIdentity, request: IncomingMessage, received: ReceivedBody): EchoReport {
  const headers: [string, string][] = [];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2)
    headers.push([request.rawHeaders[index] ?? '', request.rawHeaders[index + 1] ?? '']);
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    httpVersion: request.httpVersion,
    headers,
    source: sourceOf(request),
    destination: addressText(request.socket.localAddress, request.socket.localPort),
    ...identity,
    bodyBytes: received.bytes,
    body: received.bytes <= reportedBodyBytesMax ? received.kept.toString('utf8') : '',
  };
}

/** Indented JSON, each header on a line of its own. */
function reportJson(report: EchoReport): string {
  const text = JSON.stringify(report, undefined, 2);
  return `${text.replaceAll(/\[\n\s+("(?:[^"\\]|\\.)*"),\n\s+("(?:[^"\\]|\\.)*")\n\s+\]/g, '[$1, $2]')}\n`;
}

/** The request as it stood on the wire, then who took it. */
function reportText(report: EchoReport): string {
  const lines = [`${report.method} ${report.path} HTTP/${report.httpVersion}`];
  for (const [name, value] of report.headers) lines.push(`${name}: ${value}`);
  lines.push('', `source: ${report.source}`, `destination: ${report.destination}`);
  lines.push(
    `pod: ${report.pod}.${report.namespace}`,
    `version: ${report.version}`,
    `hostname: ${report.hostname}`,
  );
  if (report.body !== '') lines.push('', report.body);
  return `${lines.join('\n')}\n`;
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer, chunked: boolean): void {
  writeHead(response, answer, chunked ? undefined : answer.body.length);
  if (chunked && request.method !== 'HEAD') response.write(answer.body);
  response.end(chunked || request.method === 'HEAD' ? undefined : answer.body);
}

async function sendFiller(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  sizeBytes: number,
  chunked: boolean,
): Promise<number> {
  writeHead(response, answer, chunked ? undefined : sizeBytes);
  let left = request.method === 'HEAD' ? 0 : sizeBytes;
  const sent = left;
  while (left > 0 && !response.destroyed) {
    const part = left < filler.length ? filler.subarray(0, left) : filler;
    left -= part.length;
    if (!response.write(part)) await drained(response);
  }
  response.end();
  return sent;
}

/** Starts an answer, lets its bytes leave, then resets the connection. */
async function cutShort(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  point: 'headers' | 'body',
): Promise<void> {
  writeHead(response, answer, Math.max(answer.body.length, 2));
  const part = point === 'body' ? answer.body.subarray(0, answer.body.length >> 1) : '';
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    if (part.length === 0) {
      response.flushHeaders();
      request.socket.write('', () => resolve());
    } else response.write(part, () => resolve());
  });
  request.socket.resetAndDestroy();
}

/** Headers in the given order; a length is added unless one stands there, a later equal name replaces. */
function writeHead(response: ServerResponse, answer: Answer, lengthBytes: number | undefined): void {
  const flat: string[] = [];
  let hasLength = lengthBytes === undefined;
  for (const [index, [name, value]] of answer.headers.entries()) {
    const lower = name.toLowerCase();
    const replaced = answer.headers.slice(index + 1).some(([other]) => other.toLowerCase() === lower);
    if (replaced && lower !== 'set-cookie') continue;
    if (lower === 'content-length') {
      if (lengthBytes === undefined) continue;
      hasLength = true;
      flat.push(name, String(lengthBytes));
    } else flat.push(name, value);
  }
  if (!hasLength) flat.push('content-length', String(lengthBytes));
  response.writeHead(answer.status, flat);
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

interface ReceivedBody {
  readonly bytes: number;
  readonly kept: Buffer;
}

/** Reads all, keeps the first `keptBytesMax`. Resolves too where the peer goes away. */
function readBody(request: IncomingMessage, keptBytesMax: number): Promise<ReceivedBody> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    let kept = 0;
    request.on('data', (part: Buffer) => {
      bytes += part.length;
      if (kept >= keptBytesMax) return;
      const taken = part.subarray(0, keptBytesMax - kept);
      kept += taken.length;
      parts.push(taken);
    });
    const done = (): void => resolve({ bytes, kept: Buffer.concat(parts) });
    request.on('end', done);
    request.on('close', done);
  });
}

function sourceOf(request: IncomingMessage): string {
  return addressText(request.socket.remoteAddress, request.socket.remotePort);
}

function addressText(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return '-';
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '_');
}
