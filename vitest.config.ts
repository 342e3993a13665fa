import { defineConfig } from 'vitest/config';

// Unit tests share nothing and touch no real client; the others start processes and real programs,
// and run one file at a time so that two cores are not fought over.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{shared,dmz,main-agent,repo,scripts}/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,attacks,chaos}/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          // As many rows at once as there are lanes to tell them in.
          maxConcurrency: 8,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          // What is polled for comes at once; a loaded machine may take longer.
          expect: { poll: { timeout: 30_000 } },
        },
      },
    ],
  },
});
