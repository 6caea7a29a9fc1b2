// Every case on every target. The titles are what docs/coverage.md counts.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Mesh } from '../test/support/mesh.ts';
import { needs } from '../test/support/tools.ts';
import type { ConformanceCase, Step } from './case.ts';
import { readCases } from './case.ts';
import { decideByExplaining } from './explain-target.ts';
import { knownFailures } from './known-failures.ts';
import { decide } from './matchers-target.ts';
import { runStep, settled, startTarget } from './mesh-target.ts';

const cases = readCases(join(import.meta.dirname, 'cases'));

describe('matchers', () => {
  for (const [conformanceCase, step] of allSteps()) {
    // What no route decides (bodies, time, upstream answers) is for the other targets.
    if (step.expect.decision === undefined) continue;
    test(title('matchers', conformanceCase, step), () => {
      judge('matchers', conformanceCase, step, decide(conformanceCase, step));
    });
  }
});

describe('explain', () => {
  for (const [conformanceCase, step] of allSteps()) {
    if (step.expect.decision === undefined) continue;
    // No rows: what explain says proves nothing about what a proxy does.
    test(`[explain] ${conformanceCase.name} › ${step.name}`, async () => {
      judge('explain', conformanceCase, step, await decideByExplaining(conformanceCase, step));
    });
  }
});

describe.each([
  { target: 'proxy', dataPlane: 'fairlead', network: 93 },
  { target: 'envoy', dataPlane: 'envoy', network: 94 },
] as const)('$target', ({ target, dataPlane, network }) => {
  const absent = dataPlane === 'envoy' && needs('envoy');
  let mesh: Mesh | undefined;
  beforeAll(async () => {
    if (absent) return;
    mesh = await startTarget(cases, dataPlane, network);
    await settled(mesh);
  }, 180_000);
  afterAll(async () => {
    await mesh?.stop();
  });

  for (const [conformanceCase, step] of allSteps()) {
    test.skipIf(absent)(title(target, conformanceCase, step), { timeout: 60_000 }, async () => {
      if (mesh === undefined) throw new Error('the mesh did not start');
      judge(target, conformanceCase, step, await runStep(mesh, conformanceCase, step));
    });
  }
});

test('known failures: each names a step that exists', () => {
  const known = new Set(
    ['matchers', 'explain', 'proxy', 'envoy'].flatMap((target) =>
      allSteps().map(([conformanceCase, step]) => stepKey(target, conformanceCase, step)),
    ),
  );
  expect(Object.keys(knownFailures).filter((key) => !known.has(key))).toEqual([]);
});

function allSteps(): [ConformanceCase, Step][] {
  return cases.flatMap((conformanceCase) =>
    conformanceCase.steps.map((step): [ConformanceCase, Step] => [conformanceCase, step]),
  );
}

function title(target: string, { name, rows }: ConformanceCase, step: Step): string {
  return `[${target}] ${name} › ${step.name} (${rows.join(', ')})`;
}

function stepKey(target: string, { name }: ConformanceCase, step: Step): string {
  return `${target} ${name} › ${step.name}`;
}

function judge(
  target: string,
  conformanceCase: ConformanceCase,
  step: Step,
  problems: readonly string[],
): void {
  const reason = knownFailures[stepKey(target, conformanceCase, step)];
  if (reason === undefined) expect(problems).toEqual([]);
  else expect(problems, `listed in known-failures (${reason}), yet it passes: take it out`).not.toEqual([]);
}
