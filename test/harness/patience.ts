/**
 * How long a test waits for what comes at once on an idle machine. Two cores that twenty processes fight over are a
 * slower run and no failure; what hangs still ends before the test's own timeout (vitest.config.ts).
 */
export const patienceMs = 150_000;

const wait = setTimeout;
/** Tries it every 5 ms until it does not throw. As `expect.poll`, which has fake timers advance while it waits. */
export async function eventually(assert: () => void): Promise<void> {
  for (let left = 6_000; ; left -= 1) {
    try {
      assert();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
    await new Promise((resolve) => wait(resolve, 5));
  }
}
