// Access log formats, filters, and what a peer cannot do to a line.
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { messageFromJson } from '../../api/any.ts';
import { AccessLogSchema } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { socketAddress } from '../io/socket-address.ts';
import { StatsStore } from '../stats/stats.ts';
import type { MessageHeaders } from '../stream-info.ts';
import { StreamInfo, flagBits } from '../stream-info.ts';
import { compileAccessLogs } from './access-log.ts';
import { FileSinks } from './file-sink.ts';

let directory = '';
const clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
let stats: StatsStore;
let sinks: FileSinks;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-log-'));
  stats = new StatsStore();
  sinks = new FileSinks(stats, clock);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What Istio tells proxies to write (inventory C13.01). */
const istioFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

function request(headers: Record<string, string> = {}): StreamInfo {
  const info = new StreamInfo();
  info.reset(clock.now(), 1000);
  info.method = 'GET';
  info.originalPath = '/old?q=1';
  info.path = '/new?q=1';
  info.protocol = 'HTTP/1.1';
  info.authority = 'web.local';
  info.responseCode = 200;
  info.responseCodeDetails = 'via_upstream';
  info.bytesSent = 42;
  info.endMonotonicMs = 1012.9;
  info.routeName = 'default';
  info.upstreamCluster = 'outbound|80||web';
  info.upstreamHost = socketAddress('10.0.0.1', 8080);
  info.upstreamLocalAddress = socketAddress('10.0.0.9', 50_000);
  info.downstreamLocalAddress = socketAddress('10.0.0.2', 80);
  info.downstreamRemoteAddress = socketAddress('fe80::1', 1234);
  info.requestHeaders = messageHeaders(headers);
  info.responseHeaders = messageHeaders({ 'x-envoy-upstream-service-time': '7' });
  return info;
}

function lines(config: JsonObject, infos: readonly StreamInfo[], filter?: JsonObject): string[] {
  const path = join(directory, 'access.log');
  const logger = compileAccessLogs(
    [
      messageFromJson(AccessLogSchema, {
        name: 'file',
        ...(filter === undefined ? {} : { filter }),
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path,
          ...config,
        },
      }),
    ],
    { sinks, hostname: 'pod-1', environment: { ZONE: 'z1' }, random: () => 0.5 },
  );
  for (const info of infos) logger.log(info);
  sinks.flushSync();
  return readFileSync(path, 'latin1').split('\n').slice(0, -1);
}

const text = (format: string): JsonObject => ({
  log_format: { text_format_source: { inline_string: format } },
});

test("compileAccessLogs: Istio's default text (C13.01, D7.01)", () => {
  const info = request({ 'user-agent': 'curl/8', 'x-request-id': 'id-1' });
  expect(lines(text(istioFormat), [info])).toEqual([
    '[2026-01-02T03:04:05.678Z] "GET /old?q=1 HTTP/1.1" 200 - via_upstream - "-" 0 42 12 7 "-" "curl/8" "id-1" ' +
      '"web.local" "10.0.0.1:8080" outbound|80||web 10.0.0.9:50000 10.0.0.2:80 [fe80::1]:1234 - default',
  ]);
});

test("compileAccessLogs: Envoy's default where no format is given (D7.01)", () => {
  expect(lines({}, [request()])).toEqual([
    '[2026-01-02T03:04:05.678Z] "GET /old?q=1 HTTP/1.1" 200 - 0 42 12 7 "-" "-" "-" "web.local" "10.0.0.1:8080"',
  ]);
});

test('compileAccessLogs: JSON keeps types, and null for what is absent (C13.02, D7.01)', () => {
  const [line = ''] = lines(
    {
      log_format: {
        json_format: {
          response_code: '%RESPONSE_CODE%',
          duration: '%DURATION%',
          flags: '%RESPONSE_FLAGS%',
          sni: '%REQUESTED_SERVER_NAME%',
          both: '%REQ(:METHOD)% to %UPSTREAM_CLUSTER%',
          nested: { agent: '%REQ(USER-AGENT)%' },
        },
      },
    },
    [request({ 'user-agent': 'a"b\\c\xc3\xa4' })],
  );
  expect(JSON.parse(Buffer.from(line, 'latin1').toString('utf8'))).toEqual({
    response_code: 200,
    duration: 12,
    flags: null,
    sni: null,
    both: 'GET to outbound|80||web',
    nested: { agent: 'a"b\\cä' },
  });
});

test('compileAccessLogs: operators beyond the default (partly D7.02)', () => {
  const format =
    '%START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%|%REQ_WITHOUT_QUERY(:PATH)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|' +
    '%DOWNSTREAM_LOCAL_PORT%|%CONNECTION_ID%|%HOSTNAME%|%ENVIRONMENT(ZONE)%|%REQ(USER-AGENT):3%|%%|' +
    '%DYNAMIC_METADATA(a:b)%|%TRAILER(x)%|%UPSTREAM_REMOTE_ADDRESS%|%RESPONSE_DURATION%\n';
  expect(lines(text(format), [request({ 'user-agent': 'abcdef' })])).toEqual([
    '2026/01/02 03:04:05.678 1767323045|/new|fe80::1|80|0|pod-1|z1|abc|%|-|-|10.0.0.1:8080|-',
  ]);
});

test('compileAccessLogs: response flags, joined (D7.03)', () => {
  const info = request();
  info.responseFlags = flagBits.UF | flagBits.URX;
  expect(lines(text('%RESPONSE_FLAGS%\n'), [info])).toEqual(['URX,UF']);
});

test('compileAccessLogs: a header cannot end a line or a quoted part (traps row 20)', () => {
  const attack = 'x" 200 -\n[2026] "GET /forged HTTP/1.1\t\\';
  const [line, ...more] = lines(text('"%REQ(USER-AGENT)%"\n'), [request({ 'user-agent': attack })]);
  expect(more).toEqual([]);
  expect(line).toBe('"x\\" 200 -\\x0a[2026] \\"GET /forged HTTP/1.1\\x09\\\\"');
  const [json = '', ...moreJson] = lines(
    { path: join(directory, 'b.log'), log_format: { json_format: { ua: '%REQ(USER-AGENT)%' } } },
    [request({ 'user-agent': attack })],
  );
  expect(moreJson).toEqual([]);
  expect(json).toBe(line);
});

test('compileAccessLogs: filters on status, duration, flags, headers, and their combinations (D7.01)', () => {
  const slow = request();
  slow.endMonotonicMs = 3000;
  slow.routeName = 'slow';
  const failed = request();
  failed.responseCode = 503;
  failed.responseFlags = flagBits.UH;
  failed.routeName = 'failed';
  const curl = request({ 'user-agent': 'curl/8' });
  curl.routeName = 'curl';
  const all = [request(), slow, failed, curl];
  const kept = (filter: JsonObject): string[] => {
    rmSync(directory, { recursive: true, force: true });
    directory = mkdtempSync(join(tmpdir(), 'fairlead-log-'));
    return lines(text('%ROUTE_NAME%\n'), all, filter);
  };
  const atLeast = (value: number): JsonObject => ({
    comparison: { op: 'GE', value: { default_value: value, runtime_key: 'k' } },
  });
  expect(kept({ status_code_filter: atLeast(500) })).toEqual(['failed']);
  expect(kept({ duration_filter: atLeast(1000) })).toEqual(['slow']);
  expect(kept({ response_flag_filter: { flags: ['UH', 'NR'] } })).toEqual(['failed']);
  expect(kept({ response_flag_filter: {} })).toEqual(['failed']);
  expect(
    kept({ header_filter: { header: { name: 'user-agent', string_match: { prefix: 'curl' } } } }),
  ).toEqual(['curl']);
  expect(
    kept({
      or_filter: { filters: [{ status_code_filter: atLeast(500) }, { duration_filter: atLeast(1000) }] },
    }),
  ).toEqual(['slow', 'failed']);
  expect(
    kept({
      and_filter: { filters: [{ status_code_filter: atLeast(500) }, { duration_filter: atLeast(1000) }] },
    }),
  ).toEqual([]);
  expect(kept({ not_health_check_filter: {} })).toHaveLength(4);
});

test('compileAccessLogs: what is not supported is refused by its name (partly D7.02)', () => {
  expect(() => lines(text('%CEL(request.path)%'), [])).toThrow(/access_log\[0\].*%CEL% is not supported/);
  expect(() => lines(text('%NOT AN OPERATOR%'), [])).toThrow(/cannot read the operator/);
  expect(() => lines({}, [], { grpc_status_filter: {} })).toThrow(/grpcStatusFilter: is not supported/);
  expect(() => lines({ path: join(directory, 'no/such/dir') }, [])).toThrow(/cannot open/);
});

test('FileSinks: lines are gathered and written after a second, or when 64 KiB are full (D7.01)', async () => {
  const path = join(directory, 'a.log');
  const sink = sinks.open(path);
  sink.write('one\n');
  expect(readFileSync(path, 'latin1')).toBe('');
  clock.advance(1000);
  await expect.poll(() => readFileSync(path, 'latin1')).toBe('one\n');
  sink.write(`${'x'.repeat(70_000)}\n`);
  await expect.poll(() => readFileSync(path, 'latin1').length).toBe(70_005);
});

test('FileSinks: what does not fit while the disk is busy is dropped and counted (D7.01)', () => {
  const sink = sinks.open(join(directory, 'a.log'));
  const line = `${'x'.repeat(63_000)}\n`;
  for (let i = 0; i < 12; i++) sink.write(line);
  const dropped = [...stats.counters()].find(({ id }) => id.name === 'filesystem.lines_dropped');
  expect(dropped?.value).toBeGreaterThan(0);
});

test('FileSinks: reopen goes on in a new file after a rotation (D9.02)', () => {
  const path = join(directory, 'a.log');
  const sink = sinks.open(path);
  sink.write('before\n');
  sinks.flushSync();
  renameSync(path, `${path}.1`);
  sinks.reopen();
  sink.write('after\n');
  sinks.flushSync();
  expect(readFileSync(path, 'latin1')).toBe('after\n');
  expect(readFileSync(`${path}.1`, 'latin1')).toBe('before\n');
});

function messageHeaders(headers: Readonly<Record<string, string>>): MessageHeaders {
  const get = (name: string): string | undefined => headers[name];
  return { get, first: get, some: (name, test) => (name in headers ? test(headers[name] ?? '') : undefined) };
}
