import { defineConfig } from 'vitest/config';

// Unit tests share nothing and touch no real client: a file for each core. The others start processes and real
// programs, each file its own; two of them at once, since each waits more than half of its time. The rows of the
// conformance suite are in one file.
//
// The timeouts are for what hangs. A machine under load is slow, in hooks most of all: browsers and processes start
// there.
const poll = { timeout: 30_000 };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          maxWorkers: '100%',
          include: ['test/{shared,dmz,main-agent,repo,scripts,simulation}/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          expect: { poll },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,attacks,chaos}/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          expect: { poll },
        },
      },
      {
        test: {
          name: 'conformance',
          // And the rush, which measures what main can do: nothing may run beside it.
          include: ['test/conformance/**/*.test.ts', 'test/e2e/rush.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
          expect: { poll },
          // As many rows at once as there are lanes to tell them in.
          maxConcurrency: 8,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/{e2e,fuzz}/**/*.test.ts'],
          exclude: ['test/e2e/rush.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
          expect: { poll: { timeout: 150_000 } },
        },
      },
    ],
  },
});
