// Who gets no answer from the debug pages although it comes from this machine: pages of other sites in its browser;
// and how many may ask at a time.
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { call } from '../../../test/support/http.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import type { PilotServer } from '../pilot.ts';
import { startPilot } from '../pilot.ts';
import { isLoopback } from './loopback.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function start(): Promise<PilotServer> {
  const pilot = (await startPilot({
    store: new ConfigStore(),
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  })) as PilotServer;
  opened.push(pilot);
  return pilot;
}

function statusOf(pilot: PilotServer, path: string, headers: Readonly<Record<string, string>>) {
  return call({ url: `http://127.0.0.1:${pilot.httpPort}${path}`, headers }).then(({ status }) => status);
}

test('debug pages: a name that leads to this machine is not this machine (traps 16: DNS rebinding)', async () => {
  const pilot = await start();
  for (const host of ['127.0.0.1', '127.0.0.1:15014', 'localhost:15014', '[::1]:15014', '[::ffff:127.0.0.1]'])
    expect(await statusOf(pilot, '/debug/configz', { host }), host).toBe(200);
  for (const host of [
    '127.0.0.1.evil.test',
    '127.evil.test:15014',
    '::ffff:127.evil.test',
    'localhost.evil.test',
    '127.0.0.1@evil.test',
    'evil.test',
  ])
    expect(await statusOf(pilot, '/debug/configz', { host }), host).toBe(401);
  // Headers of proxies say nothing of who asks.
  const forwarded = { host: 'evil.test', 'x-forwarded-for': '127.0.0.1', forwarded: 'for=127.0.0.1' };
  expect(await statusOf(pilot, '/debug/configz', forwarded)).toBe(401);
});

test('debug pages: nothing is done for a page of another site (traps 16)', async () => {
  const pilot = await start();
  const push = '/debug/adsz?push=true';
  expect(await statusOf(pilot, push, { 'sec-fetch-site': 'cross-site' })).toBe(403);
  // Another port of this machine.
  expect(await statusOf(pilot, push, { 'sec-fetch-site': 'same-site' })).toBe(403);
  expect(await statusOf(pilot, push, { origin: 'http://evil.test' })).toBe(403);
  expect(await statusOf(pilot, push, { origin: 'null' })).toBe(403);
  expect(pilot.versionInfo).toMatch(/\/1$/);
  // What a person types, a page of ours, and tools.
  expect(await statusOf(pilot, push, { 'sec-fetch-site': 'none' })).toBe(200);
  expect(await statusOf(pilot, push, { 'sec-fetch-site': 'same-origin' })).toBe(200);
  expect(await statusOf(pilot, push, { origin: 'http://127.0.0.1:1', host: '127.0.0.1:1' })).toBe(200);
  expect(await statusOf(pilot, push, {})).toBe(200);
});

test('debug pages: connections are counted; when their clients go, others are answered (traps 17)', async () => {
  const pilot = await start();
  const sockets: Socket[] = [];
  let cut = 0;
  for (let count = 0; count < 1100; count++) {
    const socket = connect(pilot.httpPort, '127.0.0.1', () => {
      socket.write('GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
    });
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => cut++);
    sockets.push(socket);
  }
  await waitFor('too many to be cut', () => cut >= 100 || undefined, 20_000);
  expect(cut).toBeLessThanOrEqual(110);
  for (const socket of sockets) socket.destroy();
  await waitFor('an answer', () => statusOf(pilot, '/ready', {}).catch(() => undefined), 5000);
}, 40_000);

test('isLoopback: addresses alone', () => {
  for (const address of ['127.0.0.1', '127.1.2.3', '::1', '[::1]', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])
    expect(isLoopback(address), address).toBe(true);
  for (const address of [
    '127.1',
    '127.0.0.1.evil.test',
    '::ffff:10.0.0.1',
    '::ffff:127.x',
    'localhost',
    '',
    '0.0.0.0',
  ])
    expect(isLoopback(address), address).toBe(false);
});
