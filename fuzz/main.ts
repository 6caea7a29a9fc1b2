// Looks for meshes on which our matchers, our proxy and stock Envoy differ. What it finds becomes a file in fuzz/cases.
import { connectionDifferences, randomConnectionCase } from './connections/differential.ts';
import { differences } from './differential.ts';
import { randomCase } from './generate.ts';

const usage = `Usage: npm run fuzz -- [requests|connections] [FIRST-SEED] [COUNT]

  requests     (the default) HTTP requests to routes: our matchers, our proxy and stock Envoy must agree on the
               route, the cluster, the path and the headers
  connections  plain text, HTTP and TLS to the listeners of sidecars and gateways: our matchers and stock Envoy must
               agree on the listener, the filter chain, the route and the cluster

FIRST-SEED is 1 and COUNT 200, unless given: each seed is one random mesh, the same on every machine.
Needs envoy on PATH; connections need openssl, too. The exit code is 1 where something differs.`;

// None of what the tests listen on.
const requestPorts = { ours: 23_200, envoy: 23_600, backend: 23_005 };
const places = { address: '127.114.0.1', firstPort: 23_500, backendPort: 23_003, adminPort: 23_004 };

interface Found {
  readonly name: string;
  readonly subject: unknown;
  readonly what: string;
}

interface Kind {
  /** Seeds of one run: those of requests share an Envoy. */
  readonly batch: number;
  readonly run: (seeds: readonly number[]) => Promise<readonly Found[]>;
}

const kinds: Readonly<Record<string, Kind>> = {
  requests: {
    batch: 100,
    run: async (seeds) =>
      (await differences(seeds.map(randomCase), requestPorts)).map(({ name, request, what }) => ({
        name,
        subject: request,
        what,
      })),
  },
  connections: {
    batch: 20,
    run: async (seeds) =>
      (await connectionDifferences(seeds.map(randomConnectionCase), places)).map(
        ({ name, connection, what }) => ({ name, subject: connection, what }),
      ),
  },
};

const args = process.argv.slice(2);
const name = args[0] !== undefined && /^[a-z-]/i.test(args[0]) ? args.shift() : 'requests';
const kind = kinds[name ?? ''];
const [first = 1, count = 200] = args.map(Number);
if (name === '-h' || name === '--help') console.log(usage);
else if (kind === undefined || args.length > 2 || !Number.isInteger(first) || !Number.isInteger(count)) {
  console.error(usage);
  process.exitCode = 2;
} else process.exitCode = (await search(kind)) === 0 ? 0 : 1;

async function search({ batch, run }: Kind): Promise<number> {
  let found = 0;
  for (let seed = first; seed < first + count; seed += batch) {
    const size = Math.min(batch, first + count - seed);
    const seeds = Array.from({ length: size }, (_, index) => seed + index);
    // oxlint-disable-next-line no-await-in-loop -- one Envoy at a time has the ports
    for (const each of await run(seeds)) {
      found++;
      if (found <= 20) console.log(`${each.name}: ${JSON.stringify(each.subject)}\n${each.what}\n`);
    }
    console.log(`seeds ${seed} to ${seed + size - 1}: ${found} differences so far`);
  }
  return found;
}
