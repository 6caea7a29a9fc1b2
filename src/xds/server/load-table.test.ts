import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { ClusterStatsSchema } from '../../api/gen/envoy/config/endpoint/v3/load_report_pb.js';
import { LoadTable, otherName } from './load-table.ts';

function stats(clusterName: string, issued: number, inProgress = 0, zone = 'a', totalDroppedRequests = 0) {
  return create(ClusterStatsSchema, {
    clusterName,
    totalDroppedRequests: BigInt(totalDroppedRequests),
    upstreamLocalityStats: [
      {
        locality: { region: 'r', zone },
        totalIssuedRequests: BigInt(issued),
        totalSuccessfulRequests: BigInt(issued - 1),
        totalErrorRequests: 1n,
        totalRequestsInProgress: BigInt(inProgress),
      },
    ],
  });
}

test('LoadTable: what clients report adds up by cluster and locality (partly B5.10)', () => {
  const table = new LoadTable();
  const [one, two] = [table.open(), table.open()];
  one.report([stats('b', 3), stats('a', 5, 2, 'a', 7)]);
  two.report([stats('a', 2, 1), stats('a', 4, 1, 'z')]);
  one.report([stats('a', 1, 4)]);
  expect(table.reports).toBe(3);
  const place = { priority: 0, failed: 1, inProgress: 0 };
  expect(table.clusters()).toEqual([
    {
      cluster: 'a',
      service: '',
      dropped: 7,
      localities: [
        { ...place, locality: 'r/a', issued: 8, succeeded: 5, failed: 3, inProgress: 5 },
        { ...place, locality: 'r/z', issued: 4, succeeded: 3, inProgress: 1 },
      ],
    },
    {
      cluster: 'b',
      service: '',
      dropped: 0,
      localities: [{ ...place, locality: 'r/a', issued: 3, succeeded: 2 }],
    },
  ]);
});

test('LoadTable: a client that has gone has nothing in progress; what it did stays', () => {
  const table = new LoadTable();
  const reporter = table.open();
  reporter.report([stats('a', 5, 3)]);
  reporter.close();
  reporter.close();
  expect(table.clusters()[0]?.localities[0]).toMatchObject({ issued: 5, inProgress: 0 });
});

test('LoadTable: names that clients make up cost no memory without bound (partly B5.10)', () => {
  const table = new LoadTable();
  const reporter = table.open();
  for (let index = 0; index < 10_100; index++) reporter.report([stats(`c${index}`, 1)]);
  for (let index = 0; index < 300; index++) reporter.report([stats('c0', 1, 0, `z${index}`)]);
  reporter.report([stats('x'.repeat(2000), 1)]);
  const clusters = table.clusters();
  expect(clusters.length).toBe(10_001);
  const other = clusters.find(({ cluster }) => cluster === otherName);
  expect(other?.localities).toEqual([expect.objectContaining({ issued: 101 })]);
  const first = clusters.find(({ cluster }) => cluster === 'c0');
  expect(first?.localities.length).toBe(101);
  expect(first?.localities.find(({ locality }) => locality === otherName)?.issued).toBe(201);
});

test('LoadTable: localities of all clusters together, and what one client has in progress, are bounded (traps 20)', () => {
  const table = new LoadTable();
  const client = table.open();
  const busy = Array.from({ length: 500 }, (_, cluster) =>
    create(ClusterStatsSchema, {
      clusterName: `c${cluster}`,
      upstreamLocalityStats: Array.from({ length: 100 }, (__, zone) => ({
        locality: { zone: `z${zone}` },
        totalRequestsInProgress: 1n,
      })),
    }),
  );
  client.report(busy);
  const rows = table.clusters().flatMap(({ localities }) => localities);
  expect(rows.length).toBeGreaterThanOrEqual(20_000);
  expect(rows.length).toBeLessThanOrEqual(20_500);
  const inProgress = (): number =>
    table
      .clusters()
      .flatMap(({ localities }) => localities)
      .reduce((sum, each) => sum + each.inProgress, 0);
  expect(inProgress()).toBeLessThan(5000);
  client.close();
  expect(inProgress()).toBe(0);
});

test('LoadTable: a locality of slashes without end takes no time (traps 11)', () => {
  const table = new LoadTable();
  const beginMs = performance.now();
  table.open().report([stats('a', 2, 0, `${'/'.repeat(500_000)}x`)]);
  expect(performance.now() - beginMs).toBeLessThan(2000);
  expect(table.clusters()[0]?.localities[0]?.locality).toBe(otherName);
});
