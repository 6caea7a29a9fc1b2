// `npm run fuzz -- [first seed] [cases]`: looks for meshes on which our matchers, our proxy and stock Envoy differ.
// What it finds becomes a file in fuzz/cases.
import { differences } from './differential.ts';
import { randomCase } from './generate.ts';

const ports = { ours: 22000, envoy: 22400, backend: 22990 };
/** Listeners that one Envoy is started with: two a case. */
const batch = 100;

const [first = 1, count = 200] = process.argv.slice(2).map(Number);
let found = 0;
for (let seed = first; seed < first + count; seed += batch) {
  const size = Math.min(batch, first + count - seed);
  const cases = Array.from({ length: size }, (_, index) => randomCase(seed + index));
  for (const { name, request, what } of await differences(cases, ports)) {
    found++;
    if (found <= 20) console.log(`${name}: ${JSON.stringify(request)}\n${what}\n`);
  }
  console.log(`seeds ${seed} to ${seed + size - 1}: ${found} differences so far`);
}
process.exitCode = found === 0 ? 0 : 1;
