import type { Clock } from '#shared/clock.ts';

/**
 * A look that takes its time (a relay is dialled), kept for a while for those who ask often. What was bad is looked at
 * again at the next question, so that what was mended is told as mended.
 */
export class KeptLook<T> {
  readonly #look: () => Promise<T>;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #keepMs: (seen: T) => number;
  #seen: { readonly value: T; readonly atMs: number } | undefined;
  #running: Promise<T> | undefined;

  /** `keepMs`: how long what was seen is good enough. */
  constructor(
    look: () => Promise<T>,
    options: { readonly clock: Pick<Clock, 'monotonic'>; readonly keepMs: (seen: T) => number },
  ) {
    this.#look = look;
    this.#clock = options.clock;
    this.#keepMs = options.keepMs;
  }

  get(): Promise<T> {
    const seen = this.#seen;
    const isGood = seen !== undefined && this.#clock.monotonic() - seen.atMs < this.#keepMs(seen.value);
    return isGood ? Promise.resolve(seen.value) : this.refresh();
  }

  /** Looks now; who asks meanwhile gets the same. */
  refresh(): Promise<T> {
    this.#running ??= this.#look()
      .then((value) => {
        this.#seen = { value, atMs: this.#clock.monotonic() };
        return value;
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }
}
