import { expect, test } from 'vitest';
import { Histogram } from './histogram.ts';
import { formatReport } from './print.ts';

const none = new Histogram().summary();

test('formatReport: columns are aligned, units change with size, what was not measured is a dash', () => {
  const connect = new Histogram();
  for (const value of [4, 20, 12_000]) connect.add(value);
  const text = formatReport({
    proxies: 3,
    open: 2,
    converged: 1,
    connectMs: connect.summary(),
    changeMs: none,
    changes: 2,
    requests: 12,
    requestBytes: 3456,
    byType: {
      Cluster: { responses: 3, bytes: 12_345_678, resources: 300, removed: 1, acks: 2, nacks: 1 },
      Listener: { responses: 3, bytes: 20_000, resources: 6, removed: 0, acks: 3, nacks: 0 },
    },
    ends: { 'gRPC status 8: too many': 4 },
  });
  expect(text).toBe(`3 proxies, 2 connected, 1 have all that they asked for

                           COUNT      MIN    P50     P90     P99     MAX
connect -> converged           3  4.00 ms  20 ms  12.0 s  12.0 s  12.0 s
change -> ACK (2 changes)      0        -      -       -       -       -

TYPE      RESPONSES  RESOURCES  REMOVED  BYTES  ACKS  NACKS
Cluster           3        300        1  12 MB     2      1
Listener          3          6        0  20 kB     3      0

requests: 12, 3456 B
streams ended: 4, gRPC status 8: too many
`);
});
