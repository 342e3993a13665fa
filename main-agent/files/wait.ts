import { setTimeout as delay } from 'node:timers/promises';

/** Resolves after a while, or at once when it is aborted; never rejects and never keeps the process alive. */
export async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal, ref: false });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}
