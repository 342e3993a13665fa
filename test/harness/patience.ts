/**
 * How long a test waits for what comes at once on an idle machine. Two cores that twenty processes fight over are a
 * slower run and no failure; what hangs still ends before the test's own timeout (vitest.config.ts).
 */
export const patienceMs = 150_000;
