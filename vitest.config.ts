import { defineConfig } from 'vitest/config';

const common = {
  // A test that fails is a finding, so nothing is retried at a developer's desk. The gate runs on shared machines that
  // may stand still for seconds: one more try there, and the report marks each test that needed it.
  retry: process.env['CI'] ? 1 : 0,
  testTimeout: 30_000,
  hookTimeout: 60_000,
  pool: 'forks' as const,
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          include: ['src/**/*.test.ts', 'tools/**/*.test.ts', 'samples/**/*.test.ts', 'bench/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...common,
          // Whole meshes: one at a time, after everything else, so that they have the machine.
          name: 'mesh',
          include: ['test/**/*.test.ts', 'conformance/**/*.test.ts', 'fuzz/**/*.test.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
